"""Writes tiny models of timm's with all parameters drawn anew, and what timm makes of two images of
different sizes, beside this file: one file per model, whose header holds our configuration.

Needs: torch 2.11.0, timm 1.0.31, transformers 5.24.0, safetensors.
Run: python crates/backbones/tests/timm/make.py [NAME..]
"""
import functools
import json
import pathlib
import re
import sys
import tempfile

import safetensors.torch
import timm
import torch
import transformers
from timm.layers import SwiGLUPacked
from timm.models.beit import Beit
from timm.models.convnext import ConvNeXt
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.hiera import Hiera
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer

HERE = pathlib.Path(__file__).parent
CLASSES = 3


def spread(model, seed):
    """Draws every parameter anew, so that none is zero or one and each counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            gain = parameter.dim() == 1 and name.endswith(("weight", "gamma", "gamma_1", "gamma_2"))
            parameter.copy_(noise * 0.2 + gain)
    return model.eval()


def sides(size):
    return list(size) if isinstance(size, (list, tuple)) else [size, size]


def vit(cls=VisionTransformer, norm_eps=1e-6, **own):
    """A ViT: the model for any size, our configuration, the last blocks of its stages."""
    args = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0,
                num_classes=CLASSES, class_token=True, global_pool="token") | own
    norm = {} if norm_eps == 1e-6 else dict(norm_layer=lambda dim, **k: torch.nn.LayerNorm(dim, eps=norm_eps, **k))
    model = cls(**args, **norm, dynamic_img_size=True, dynamic_img_pad=True)
    config = dict(architecture="vit", qkv_bias=True, init_values=None, drop_path_rate=0.0,
                  norm_eps=norm_eps, distilled=cls is VisionTransformerDistilled) | args
    return model, config | dict(img_size=sides(args["img_size"])), [0, 1]


def vit_swiglu(**own):
    gated = functools.partial(VisionTransformer, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU)
    model, config, stages = vit(gated, mlp_ratio=3.0, init_values=0.1, **own)
    return model, config | dict(swiglu_mlp=True), stages


def swinv2(**own):
    args = dict(img_size=64, patch_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 2),
                window_size=8, mlp_ratio=2.0, num_classes=CLASSES) | own
    # Windows stay those of the planned size.
    model = SwinTransformerV2(**args, dynamic_img_size=True)
    config = dict(architecture="swinv2", qkv_bias=True, drop_path_rate=0.0) | args
    return model, config | dict(img_size=sides(args["img_size"])), [0, 1]


def pvt_v2(**own):
    size = own.pop("img_size", 32)
    args = dict(depths=(1, 2), embed_dims=(8, 16), num_heads=(1, 2), sr_ratios=(2, 1),
                mlp_ratios=(2.0, 2.0), num_classes=CLASSES) | own
    config = dict(architecture="pvt_v2", img_size=sides(size), qkv_bias=True, drop_path_rate=0.0)
    return PyramidVisionTransformerV2(**args), config | args, [0, 1]


def convnext(**own):
    size = own.pop("img_size", 64)
    args = dict(depths=(1, 1, 2, 1), dims=(8, 12, 16, 20), num_classes=CLASSES) | own
    config = dict(architecture="convnext", img_size=sides(size), patch_size=4, ls_init_value=1e-6,
                  drop_path_rate=0.0)
    return ConvNeXt(**args), config | args, [0, 1, 2, 3]


def eva(norm_eps=1e-6, **own):
    args = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0,
                num_classes=CLASSES, qkv_bias=True, qkv_fused=True, class_token=True,
                init_values=None, use_rot_pos_emb=True, use_abs_pos_emb=True, global_pool="avg",
                rope_temperature=10000.0) | own
    norm = {} if norm_eps == 1e-6 else dict(
        norm_layer=lambda dim, **k: torch.nn.LayerNorm(dim, eps=norm_eps, **k))
    model = Eva(**args, **norm, dynamic_img_size=True, dynamic_img_pad=True)
    config = dict(architecture="eva", drop_path_rate=0.0, norm_eps=norm_eps) | args
    return model, config | dict(img_size=sides(args["img_size"])), [0, 1]


def beit(**own):
    args = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0,
                num_classes=CLASSES, qkv_bias=True, init_values=0.1, use_abs_pos_emb=False,
                use_rel_pos_bias=True, use_shared_rel_pos_bias=False, global_pool="avg") | own
    config = dict(architecture="beit", drop_path_rate=0.0) | args
    return Beit(**args), config | dict(img_size=sides(args["img_size"])), [0, 1]


def hiera(**own):
    args = dict(img_size=(64, 64), embed_dim=8, num_heads=1, stages=(1, 2, 1), q_pool=2,
                mask_unit_size=(4, 4), mask_unit_attn=(True, True, False), mlp_ratio=2.0,
                num_classes=CLASSES, use_expand_proj=True, init_values=None,
                abs_win_pos_embed=False, global_pos_size=(14, 14)) | own
    config = dict(architecture="hiera", drop_path_rate=0.0) | args | dict(mask_unit_size=4)
    del config["q_pool"]
    return Hiera(**args), config | dict(img_size=list(args["img_size"])), [0, 1, 2]


def dinov3(**own):
    return eva(norm_eps=1e-5, **dict(
        qkv_bias=False, init_values=1e-5, rope_type="dinov3", rope_temperature=100.0,
        rope_rotate_half=True, use_abs_pos_emb=False, num_reg_tokens=4, use_fc_norm=False) | own)


def eva02(**own):
    return eva(**dict(mlp_ratio=4 * 2 / 3, swiglu_mlp=True, ref_feat_shape=(16, 16)) | own)


ABSWIN = dict(use_expand_proj=False, init_values=0.1, abs_win_pos_embed=True, global_pos_size=(5, 5))
FAMILIES = {
    "vit_clip": lambda **own: vit(pre_norm=True, norm_eps=1e-5, **own),
    "vit_clip_quickgelu": lambda **own: vit(pre_norm=True, norm_eps=1e-5, act_layer="quick_gelu", **own),
    "vit_siglip": lambda **own: vit(class_token=False, global_pool="map", **own),
    "vit_siglip2": lambda **own: vit(class_token=False, global_pool="map", act_layer="gelu_tanh", **own),
    "vit_siglip_gap": lambda **own: vit(class_token=False, global_pool="avg", fc_norm=False, **own),
    "vit_distilled": lambda **own: vit(VisionTransformerDistilled, **own),
    "swinv2": lambda **own: swinv2(**own),
    "swinv2_tuned": lambda **own: swinv2(window_size=4, pretrained_window_sizes=(3, 2), **own),
    "pvt_v2": lambda **own: pvt_v2(**own),
    "pvt_v2_linear": lambda **own: pvt_v2(linear=True, **own),
    "convnext": lambda **own: convnext(**own),
    "dinov3": lambda **own: dinov3(**own),
    "dinov3_plus": lambda **own: dinov3(qkv_bias=True, swiglu_mlp=True, swiglu_align_to=8, mlp_ratio=1.8, **own),
    "eva02": lambda **own: eva02(**own),
    "eva02_scaled": lambda **own: eva02(scale_mlp=True, qkv_fused=False, **own),
    "eva02_clip": lambda **own: eva02(scale_mlp=True, qkv_fused=False, scale_attn_inner=True,
                                global_pool="token", **own),
    "vit_mae": lambda **own: vit(num_classes=0, **own),
    "vit_ijepa": lambda **own: vit(class_token=False, global_pool="avg", fc_norm=False, **own),
    "beit": lambda **own: beit(**own),
    "beit_shared": lambda **own: beit(use_abs_pos_emb=True, use_rel_pos_bias=False,
                                use_shared_rel_pos_bias=True, global_pool="token",
                                init_values=None, **own),
    "hiera": lambda **own: hiera(**own),
    "hiera_abswin": lambda **own: hiera(**ABSWIN, **own),
    "vit_swiglu": lambda **own: vit_swiglu(**own),
}


def make(name, seed):
    model, config, stages = FAMILIES[name]()
    spread(model, seed)
    [side, _] = config["img_size"]
    generator = torch.Generator().manual_seed(seed)
    images = {"native": torch.randn(2, 3, side, side, generator=generator),
              "wide": torch.randn(1, 3, side // 2, side * 3 // 2, generator=generator)}
    tensors = {f"weights.{key}": value.contiguous() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for size, image in images.items():
            model = at_size(name, model, image)
            features, levels = model.forward_features(image), levels_of(model, image, stages)
            tensors[f"{size}.image"] = image
            tensors[f"{size}.logits"] = model.forward_head(features)
            # timm flattens the map of a Hiera.
            tensors[f"{size}.features"] = levels[-1] if "hiera" in name else features
            tensors |= {f"{size}.level{i}": level for i, level in enumerate(levels)}
    tensors = {key: value.clone().contiguous() for key, value in tensors.items()}
    save(name, tensors, config, "timm")


def at_size(name, model, image):
    """The model for images of this size, where it does not run at any."""
    size = tuple(image.shape[2:])
    if name.startswith("beit"):
        model.set_input_size(size)
    if name.startswith("hiera") and size != (64, 64):
        # timm has no way to another size; positions of patches go the way of its ViTs.
        state = model.state_dict()
        if state["pos_embed"].dim() == 3:
            grid = [side // 4 for side in size]
            state["pos_embed"] = timm.layers.resample_abs_pos_embed(
                state["pos_embed"], new_size=grid, num_prefix_tokens=0)
        own = dict(img_size=size) | ABSWIN if "abswin" in name else dict(img_size=size)
        model = hiera(**own)[0].eval()
        model.load_state_dict(state)
    return model


def save(name, tensors, config, source):
    header = dict(config=json.dumps(config), source=source)
    safetensors.torch.save_file(tensors, HERE / f"{name}.safetensors", header)


def levels_of(model, image, stages):
    """`[batch, channels, height, width]` each, in front of the final norm."""
    return model.forward_intermediates(
        image, indices=stages, norm=False, intermediates_only=True, output_fmt="NCHW")


def meta_dinov3():
    """The weights of `dinov3_plus` under the names of Meta's files, as timm reads those."""
    file = safetensors.torch.load_file(HERE / "dinov3_plus.safetensors")
    with safetensors.safe_open(HERE / "dinov3_plus.safetensors", "pt") as opened:
        config = json.loads(opened.metadata()["config"])
    weights = {key[8:]: value for key, value in file.items() if key.startswith("weights.")}
    meta = {"mask_token": torch.zeros(1, 16), "rope_embed.periods": torch.ones(2)}
    for key, value in weights.items():
        if key.endswith("q_bias"):
            parts = value, torch.zeros_like(value), weights[key.replace("q_bias", "v_bias")]
            meta[key.replace("q_bias", "qkv.bias")] = torch.cat(parts)
        elif not key.endswith("v_bias"):
            for of_timm, of_meta in [("reg_token", "storage_tokens"), ("gamma_1", "ls1.gamma"),
                                     ("gamma_2", "ls2.gamma"), ("mlp.fc1_g", "mlp.w1"),
                                     ("mlp.fc1_x", "mlp.w2"), ("mlp.fc2", "mlp.w3")]:
                key = key.replace(of_timm, of_meta)
            meta[key] = value
    model = FAMILIES["dinov3_plus"]()[0]
    read = timm.models.eva.checkpoint_filter_fn(dict(meta), model)
    assert read.keys() == weights.keys() and all(read[k].equal(weights[k]) for k in read)
    seen = {key: value for key, value in file.items() if not key.startswith("weights.")}
    tensors = seen | {f"weights.{key}": value.contiguous() for key, value in meta.items()}
    save("meta_dinov3", tensors, config, "Meta's DINOv3")


def huggingface_dinov3():
    model = spread(transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(
        image_size=16, patch_size=4, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, num_register_tokens=4, use_gated_mlp=True, hidden_act="silu")), 99)
    _, config, _ = dinov3(qkv_bias=True, swiglu_mlp=True, swiglu_align_to=8, num_classes=0)
    generator = torch.Generator().manual_seed(99)
    tensors = {f"weights.{key}": value.contiguous() for key, value in model.state_dict().items()}
    for size, shape in [("native", (2, 3, 16, 16)), ("wide", (1, 3, 12, 24))]:
        image = torch.randn(shape, generator=generator)
        with torch.no_grad():
            features = model(image).last_hidden_state
        tensors |= {f"{size}.image": image, f"{size}.features": features,
                    f"{size}.logits": features[:, 5:].mean(1)}
    save("huggingface_dinov3", tensors, config, "Hugging Face's DINOv3")


def renamed(weights, table):
    def name_of(name):
        for pattern, to in table:
            name, count = re.subn(pattern, to, name)
            if count:
                return name
        return name
    return {name_of(name): value for name, value in weights.items()}


def next_stage(start):
    return lambda match: f"{start}{int(match[1]) + 1}{match[2]}"


def pvt_v2_authors(weights):
    weights = {name.replace("mlp.dwconv.", "mlp.dwconv.dwconv."): v for name, v in weights.items()}
    return renamed(weights, [
        (r"^patch_embed\.", "patch_embed1."), (r"^stages\.(\d)\.downsample(.*)", next_stage("patch_embed")),
        (r"^stages\.(\d)\.blocks(.*)", next_stage("block")), (r"^stages\.(\d)\.norm(.*)", next_stage("norm"))])


def convnext_authors(weights):
    return renamed(weights, [
        (r"^stem\.", "downsample_layers.0."), (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"^stages\.(\d)\.blocks\.(\d)\.conv_dw", r"stages.\1.\2.dwconv"),
        (r"^stages\.(\d)\.blocks\.(\d)\.mlp\.fc", r"stages.\1.\2.pwconv"),
        (r"^stages\.(\d)\.blocks\.", r"stages.\1."), (r"^head\.norm", "norm"), (r"^head\.fc", "head")])


def hiera_authors(weights):
    return renamed(weights, [(r"^head\.fc", "head.projection"), (r"^head\.norm", "norm")])


def open_clip(weights):
    weights = dict(weights)
    del weights["head.bias"]
    weights["head.weight"] = weights["head.weight"].T
    weights["cls_token"], weights["pos_embed"] = weights["cls_token"][0, 0], weights["pos_embed"][0]
    named = renamed(weights, [
        (r"^cls_token", "visual.class_embedding"), (r"^pos_embed", "visual.positional_embedding"),
        (r"^patch_embed\.proj", "visual.conv1"), (r"^norm_pre", "visual.ln_pre"),
        (r"^norm\.", "visual.ln_post."), (r"^head\.weight", "visual.proj"),
        (r"^blocks\.(\d)\.norm", r"visual.transformer.resblocks.\1.ln_"),
        (r"^blocks\.(\d)\.attn\.qkv\.", r"visual.transformer.resblocks.\1.attn.in_proj_"),
        (r"^blocks\.(\d)\.attn\.proj", r"visual.transformer.resblocks.\1.attn.out_proj"),
        (r"^blocks\.(\d)\.mlp\.fc1", r"visual.transformer.resblocks.\1.mlp.c_fc"),
        (r"^blocks\.(\d)\.mlp\.fc2", r"visual.transformer.resblocks.\1.mlp.c_proj")])
    return named | {"logit_scale": torch.ones([]), "token_embedding.weight": torch.ones(2, 4)}


def mae_with_decoder(weights):
    ones = torch.ones(1, 1, 4)
    return weights | {"mask_token": ones, "decoder_pos_embed": ones, "decoder_embed.bias": ones[0, 0],
                      "decoder_blocks.0.norm1.bias": ones[0, 0], "decoder_pred.bias": ones[0, 0]}


def dinov2_authors(weights):
    named = renamed(weights, [(r"\.mlp\.fc1\.", ".mlp.w12."), (r"\.mlp\.fc2\.", ".mlp.w3.")])
    return named | {"mask_token": torch.ones(1, 16)}


# Layouts of the authors, proved by timm's own filters, and the source that they belong to.
AUTHORS = {
    "authors_pvt_v2": ("pvt_v2", pvt_v2_authors, timm.models.pvt_v2, "PVT v2's authors"),
    "authors_convnext": ("convnext", convnext_authors, timm.models.convnext, "ConvNeXt's authors"),
    "authors_hiera": ("hiera", hiera_authors, timm.models.hiera, "Hiera's authors"),
    "open_clip": ("vit_clip_quickgelu", open_clip, timm.models.vision_transformer, "OpenCLIP"),
    "authors_mae": ("vit_mae", mae_with_decoder, None, "timm"),
    "authors_dinov2": ("vit_swiglu", dinov2_authors, timm.models.vision_transformer, "timm"),
}


def authors(name, seed):
    family, layout, package, source = AUTHORS[name]
    model, config, _ = FAMILIES[family]()
    spread(model, seed)
    if name == "open_clip":
        torch.nn.init.zeros_(model.head.bias)
    weights = layout(model.state_dict())
    if package is not None:
        own = {key: value for key, value in weights.items() if not key.startswith(("logit", "token"))}
        read = package.checkpoint_filter_fn(dict(own), model)
        model.load_state_dict(read)
    [side, _] = config["img_size"]
    image = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        seen = {"native.image": image, "native.logits": model(image)}
    tensors = seen | {f"weights.{key}": value for key, value in weights.items()}
    save(name, {key: value.clone().contiguous() for key, value in tensors.items()}, config, source)


BLOCK = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
PYRAMID = dict(embed_dim=8, depths=[1, 2], num_heads=[1, 2], window_size=4, mlp_ratio=2.0)


def patches(side):
    return dict(image_size=side, patch_size=4, **BLOCK)


def of_timm(family):
    return FAMILIES[family]()[1]


def with_classes(model):
    """Logits, and the features of the trunk, which are those of the final norm where it stands
    before the pooling."""
    trunk = getattr(model, model.base_model_prefix)
    return lambda image: (trunk(image).last_hidden_state, model(image).logits)


def pooled(image_tower):
    return lambda image: (None, image_tower(image).pooler_output)


def mae(model):
    def run(image):
        count = (image.shape[2] // 4) * (image.shape[3] // 4)
        noise = torch.arange(count)[None].expand(len(image), -1).float()
        trunk = model.vit
        trunk.config.mask_ratio = trunk.embeddings.config.mask_ratio = 0.0
        tokens = trunk(image, noise=noise).last_hidden_state
        return tokens, tokens[:, 0]
    return run


def naflex(model):
    """SigLIP 2's tower of any aspect, on images that are square."""
    def run(image):
        (count, colours, height, width), side = image.shape, model.config.patch_size
        rows, columns = height // side, width // side
        cut = image.reshape(count, colours, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
        patches = cut.reshape(count, rows * columns, side * side * colours)
        shapes = torch.tensor([[rows, columns]] * count)
        return None, model(patches, torch.ones(count, rows * columns), shapes).pooler_output
    return run


# What is made, how it runs, our configuration and whether it runs at another size.
HUGGING_FACE = {
    "huggingface_clip": (
        lambda side: transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(projection_dim=CLASSES, **patches(side))),
        lambda model: lambda image: (None, model(image).image_embeds),
        lambda: of_timm("vit_clip_quickgelu"), "Hugging Face's CLIP and SigLIP"),
    "huggingface_siglip": (
        lambda side: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**patches(side))), pooled,
        lambda: of_timm("vit_siglip2") | dict(num_classes=0), "Hugging Face's CLIP and SigLIP"),
    "huggingface_beit": (
        lambda side: transformers.BeitForImageClassification(transformers.BeitConfig(
            num_labels=CLASSES, use_relative_position_bias=True, **patches(side))),
        with_classes, lambda: of_timm("beit"), "Hugging Face's BEiT"),
    "huggingface_beit_shared": (
        lambda side: transformers.BeitForImageClassification(transformers.BeitConfig(
            num_labels=CLASSES, use_shared_relative_position_bias=True,
            use_absolute_position_embeddings=True, **patches(side))),
        with_classes,
        lambda: of_timm("beit_shared") | dict(global_pool="avg", init_values=0.1),
        "Hugging Face's BEiT"),
    "huggingface_mae": (
        lambda side: transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(
            decoder_hidden_size=8, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
            decoder_intermediate_size=8, **patches(side))),
        mae, lambda: of_timm("vit_mae"), "Hugging Face's ViT"),
    "huggingface_ijepa": (
        lambda side: transformers.IJepaModel(transformers.IJepaConfig(**patches(side))),
        lambda model: lambda image: (model(image).last_hidden_state,
                                     model(image).last_hidden_state.mean(1)),
        lambda: of_timm("vit_ijepa") | dict(num_classes=0), "Hugging Face's ViT"),
    "huggingface_swinv2": (
        lambda side: transformers.Swinv2ForImageClassification(transformers.Swinv2Config(
            image_size=side, num_labels=CLASSES, **PYRAMID)),
        lambda model: lambda image: (None, model(image).logits),
        lambda: of_timm("swinv2") | dict(depths=(1, 2), window_size=4), "Hugging Face's Swin V2"),
    "huggingface_pvt_v2": (
        lambda side: transformers.PvtV2ForImageClassification(transformers.PvtV2Config(
            image_size=side, num_encoder_blocks=2, depths=[1, 2], hidden_sizes=[8, 16],
            num_attention_heads=[1, 2], sr_ratios=[2, 1], mlp_ratios=[2, 2], patch_sizes=[7, 3],
            strides=[4, 2], num_labels=CLASSES, layer_norm_eps=1e-6)),
        lambda model: lambda image: (None, model(image).logits),
        lambda: of_timm("pvt_v2"), "Hugging Face's PVT v2"),
    "huggingface_convnext": (
        lambda side: transformers.ConvNextForImageClassification(transformers.ConvNextConfig(
            hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1], num_labels=CLASSES,
            layer_norm_eps=1e-6)),
        lambda model: lambda image: (None, model(image).logits),
        lambda: of_timm("convnext"), "Hugging Face's ConvNeXt"),
    "huggingface_dinov3_convnext": (
        lambda side: transformers.DINOv3ConvNextModel(transformers.DINOv3ConvNextConfig(
            hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1])),
        pooled, lambda: of_timm("convnext") | dict(num_classes=0), "Hugging Face's ConvNeXt"),
    "huggingface_hiera": (
        lambda side: transformers.HieraForImageClassification(transformers.HieraConfig(
            embed_dim=8, image_size=[side, side], depths=[1, 2, 1], num_heads=[1, 2, 4],
            mlp_ratio=2.0, masked_unit_size=[4, 4], masked_unit_attention=[True, True, False],
            num_query_pool=2, num_labels=CLASSES)),
        lambda model: lambda image: (None, model(image).logits),
        lambda: of_timm("hiera"), "Hugging Face's Hiera"),
    "huggingface_dinov2": (
        lambda side: transformers.Dinov2Model(transformers.Dinov2Config(
            image_size=side, patch_size=4, hidden_size=16, num_hidden_layers=2,
            num_attention_heads=2, use_swiglu_ffn=True)),
        lambda model: lambda image: (model(image).last_hidden_state,
                                     model(image).last_hidden_state[:, 0]),
        lambda: of_timm("vit_swiglu") | dict(num_classes=0, mlp_ratio=6.0),
        "Hugging Face's ViT"),
    "huggingface_deit": (
        lambda side: transformers.DeiTForImageClassificationWithTeacher(transformers.DeiTConfig(
            num_labels=CLASSES, **patches(side))),
        lambda model: lambda image: (None, model(image).logits),
        lambda: of_timm("vit_distilled"), "Hugging Face's ViT"),
    "huggingface_dinov2_modules": (
        lambda side: transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(
            image_size=side, patch_size=4, hidden_size=16, num_hidden_layers=2,
            num_attention_heads=2, mlp_ratio=2, num_register_tokens=4)),
        lambda model: lambda image: (model(image).last_hidden_state,
                                     model(image).last_hidden_state[:, 0]),
        lambda: of_timm("vit_clip") | dict(num_classes=0, pre_norm=False, norm_eps=1e-6,
                                           init_values=1.0, reg_tokens=4, no_embed_class=True),
        "Hugging Face's ViT"),
    "huggingface_siglip2_naflex": (
        lambda side: transformers.Siglip2VisionModel(transformers.Siglip2VisionConfig(
            patch_size=4, num_patches=(side // 4) ** 2, **BLOCK)),
        naflex, lambda: of_timm("vit_siglip2") | dict(num_classes=0),
        "Hugging Face's CLIP and SigLIP"),
}


def saved(model):
    """The tensors under the names of files, which the modules of some versions lack."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return safetensors.torch.load_file(pathlib.Path(folder) / "model.safetensors")


def huggingface(name, seed):
    make_model, run_of, config, source = HUGGING_FACE[name]
    config = config()
    [side, _] = config["img_size"]
    model = spread(make_model(side), seed)
    run = run_of(model)
    generator = torch.Generator().manual_seed(seed)
    # Since version 5 a plain state dict has the names of modules, files have those from before.
    weights = model.state_dict() if name.endswith("_modules") else saved(model)
    tensors = {f"weights.{key}": value for key, value in weights.items()}
    image = torch.randn(2, 3, side, side, generator=generator)
    with torch.no_grad():
        features, logits = run(image)
    tensors |= {"native.image": image, "native.logits": logits}
    # Behind a norm that comes after the pooling, there is none before it.
    if features is not None and config["architecture"] != "hiera":
        tensors["native.features"] = features
    tensors = {key: value.clone().contiguous() for key, value in tensors.items()}
    save(name, tensors, config, source)


def main(chosen):
    for seed, name in enumerate(FAMILIES, 1):
        if name in chosen or not chosen:
            make(name, seed)
    for seed, name in enumerate(HUGGING_FACE, 101):
        if name in chosen or not chosen:
            huggingface(name, seed)
    for seed, name in enumerate(AUTHORS, 201):
        if name in chosen or not chosen:
            authors(name, seed)
    if not chosen:
        meta_dinov3()
        huggingface_dinov3()


if __name__ == "__main__":
    main(sys.argv[1:])
