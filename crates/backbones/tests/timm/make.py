"""Writes tiny models of timm's with all parameters drawn anew, and what timm makes of two images of
different sizes, beside this file: one file per model, whose header holds our configuration.

Needs: torch 2.11.0, timm 1.0.31, transformers 5.24.0, safetensors.
Run: python crates/backbones/tests/timm/make.py [NAME..]
"""
import json
import pathlib
import sys

import safetensors.torch
import timm
import torch
import transformers
from timm.models.convnext import ConvNeXt
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
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


def vit(cls=VisionTransformer, norm_eps=1e-6, **own):
    """A ViT: the model for any size, our configuration, the last blocks of its stages."""
    args = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0,
                num_classes=CLASSES, class_token=True, global_pool="token") | own
    norm = {} if norm_eps == 1e-6 else dict(norm_layer=lambda dim, **k: torch.nn.LayerNorm(dim, eps=norm_eps, **k))
    model = cls(**args, **norm, dynamic_img_size=True, dynamic_img_pad=True)
    config = dict(architecture="vit", qkv_bias=True, init_values=None, drop_path_rate=0.0,
                  norm_eps=norm_eps, distilled=cls is VisionTransformerDistilled) | args
    return model, config | dict(img_size=[args["img_size"]] * 2), [0, 1]


def swinv2(**own):
    args = dict(img_size=64, patch_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 2),
                window_size=8, mlp_ratio=2.0, num_classes=CLASSES) | own
    # Windows stay those of the planned size.
    model = SwinTransformerV2(**args, dynamic_img_size=True)
    config = dict(architecture="swinv2", qkv_bias=True, drop_path_rate=0.0) | args
    return model, config | dict(img_size=[args["img_size"]] * 2), [0, 1]


def pvt_v2(**own):
    args = dict(depths=(1, 2), embed_dims=(8, 16), num_heads=(1, 2), sr_ratios=(2, 1),
                mlp_ratios=(2.0, 2.0), num_classes=CLASSES) | own
    config = dict(architecture="pvt_v2", img_size=[32, 32], qkv_bias=True, drop_path_rate=0.0)
    return PyramidVisionTransformerV2(**args), config | args, [0, 1]


def convnext(**own):
    args = dict(depths=(1, 1, 2, 1), dims=(8, 12, 16, 20), num_classes=CLASSES) | own
    config = dict(architecture="convnext", img_size=[64, 64], patch_size=4, ls_init_value=1e-6,
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
    return model, config | dict(img_size=[args["img_size"]] * 2), [0, 1]


def dinov3(**own):
    return eva(norm_eps=1e-5, **dict(
        qkv_bias=False, init_values=1e-5, rope_type="dinov3", rope_temperature=100.0,
        rope_rotate_half=True, use_abs_pos_emb=False, num_reg_tokens=4, use_fc_norm=False) | own)


def eva02(**own):
    return eva(**dict(mlp_ratio=4 * 2 / 3, swiglu_mlp=True, ref_feat_shape=(16, 16)) | own)


FAMILIES = {
    "vit_clip": lambda: vit(pre_norm=True, norm_eps=1e-5),
    "vit_clip_quickgelu": lambda: vit(pre_norm=True, norm_eps=1e-5, act_layer="quick_gelu"),
    "vit_siglip": lambda: vit(class_token=False, global_pool="map"),
    "vit_siglip2": lambda: vit(class_token=False, global_pool="map", act_layer="gelu_tanh"),
    "vit_siglip_gap": lambda: vit(class_token=False, global_pool="avg", fc_norm=False),
    "vit_distilled": lambda: vit(VisionTransformerDistilled),
    "swinv2": lambda: swinv2(),
    "swinv2_tuned": lambda: swinv2(window_size=4, pretrained_window_sizes=(3, 2)),
    "pvt_v2": lambda: pvt_v2(),
    "pvt_v2_linear": lambda: pvt_v2(linear=True),
    "convnext": lambda: convnext(),
    "dinov3": lambda: dinov3(),
    "dinov3_plus": lambda: dinov3(qkv_bias=True, swiglu_mlp=True, swiglu_align_to=8, mlp_ratio=1.8),
    "eva02": lambda: eva02(),
    "eva02_scaled": lambda: eva02(scale_mlp=True, qkv_fused=False),
    "eva02_clip": lambda: eva02(scale_mlp=True, qkv_fused=False, scale_attn_inner=True,
                                global_pool="token"),
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
            features, levels = model.forward_features(image), levels_of(model, image, stages)
            tensors[f"{size}.image"] = image
            tensors[f"{size}.features"] = features
            tensors[f"{size}.logits"] = model.forward_head(features)
            tensors |= {f"{size}.level{i}": level for i, level in enumerate(levels)}
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    save(name, tensors, config, "timm")


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
                                     ("gamma_2", "ls2.gamma")]:
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


for seed, name in enumerate(FAMILIES, 1):
    if name in sys.argv[1:] or not sys.argv[1:]:
        make(name, seed)
if not sys.argv[1:]:
    meta_dinov3()
    huggingface_dinov3()
