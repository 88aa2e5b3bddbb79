"""Writes small models of timm, TorchVision and Hugging Face with random values, one image each and
what their own packages give, for `cargo xtask parity`: logits, or tokens where there is no
classifier, and of timm's models the pooled features and the levels too.

Needs: torch, timm, torchvision, transformers, safetensors. Run: python benches/peers/parity.py DIR
"""
import importlib.metadata
import json
import pathlib
import sys

import safetensors.torch
import timm
import torch
import torchvision
import transformers

# No compiled file beside the tests.
sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "crates/backbones/tests/timm"))
import make as families

SIDES = (100, 112, 120, 192, 208, 224, 240, 256, 368, 384)
OBLONG = ((208, 240), (112, 224), (120, 368))
SIZES = [(side, side) for side in SIDES] + list(OBLONG)
SWIN = dict(embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 4), mlp_ratio=2.0)
VIT = dict(embed_dim=16, depth=4, num_heads=2, mlp_ratio=2.0)


def spread(model):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            gain = parameter.dim() == 1 and name.endswith(("weight", "gamma", "lambda1"))
            parameter.copy_(noise * 0.2 + gain)
    return model.eval()


def swin_config(size, window):
    return dict(architecture="swin", img_size=size, patch_size=4, num_classes=5, window_size=window,
                qkv_bias=True, drop_path_rate=0.0, **SWIN)


def vit_config(size, patch, **more):
    return dict(dict(architecture="vit", img_size=size, patch_size=patch, num_classes=5,
                     qkv_bias=True, init_values=None, class_token=True, global_pool="token",
                     drop_path_rate=0.0, **VIT), **more)


def timm_swin(size, window):
    model = timm.models.swin_transformer.SwinTransformer(
        img_size=size, patch_size=4, num_classes=5, window_size=window, **SWIN)
    return model, lambda out: out


def torchvision_swin(size, window):
    model = torchvision.models.SwinTransformer(
        patch_size=[4, 4], window_size=[window, window], num_classes=5,
        **{key: list(value) if isinstance(value, tuple) else value for key, value in SWIN.items()})
    return model, lambda out: out


def huggingface_swin(size, window):
    model = transformers.SwinForImageClassification(transformers.SwinConfig(
        image_size=size, patch_size=4, window_size=window, num_labels=5, **SWIN))
    return model, lambda out: out.logits


def timm_vit(size, patch):
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=size, patch_size=patch, num_classes=5, **VIT)
    return model, lambda out: out


def timm_registers(size, patch):
    model = timm.models.vision_transformer.VisionTransformer(
        img_size=size, patch_size=patch, num_classes=5, reg_tokens=4, no_embed_class=True, **VIT)
    return model, lambda out: out


def huggingface_block(size, patch):
    return dict(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=size,
                patch_size=patch)


def huggingface_vit(size, patch):
    model = transformers.ViTForImageClassification(transformers.ViTConfig(
        intermediate_size=32, num_labels=5, **huggingface_block(size, patch)))
    return model, lambda out: out.logits


def dinov2(size, patch):
    model = transformers.Dinov2Model(transformers.Dinov2Config(
        mlp_ratio=2, **huggingface_block(size, patch)))
    return model, lambda out: out.last_hidden_state


def dinov2_registers(size, patch):
    model = transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(
        mlp_ratio=2, **huggingface_block(size, patch)))
    return model, lambda out: out.last_hidden_state


SWINS = {"timm Swin": timm_swin, "TorchVision Swin": torchvision_swin,
         "Hugging Face Swin": huggingface_swin}
VITS = {
    "timm ViT": (timm_vit, {}),
    "timm ViT, registers": (timm_registers, dict(reg_tokens=4, no_embed_class=True)),
    "Hugging Face ViT": (huggingface_vit, {}),
    "Hugging Face DINOv2": (dinov2, dict(num_classes=0, init_values=1.0)),
    "Hugging Face DINOv2, registers": (
        dinov2_registers,
        dict(num_classes=0, init_values=1.0, reg_tokens=4, no_embed_class=True)),
}


def cases():
    for window in (4, 7, 12):
        for size in SIZES:
            for source, make in SWINS.items():
                yield source, make, size, f"window {window}", window, swin_config(size, window)
    for patch in (8, 14):
        whole = [tuple(side // patch * patch for side in size) for size in SIZES]
        for size in dict.fromkeys(whole):
            for source, (make, more) in VITS.items():
                yield source, make, size, f"patch {patch}", patch, vit_config(size, patch, **more)


# Sides of images by architecture: of whole patches, strides or units.
OTHER_SIZES = {
    "vit": ((24, 24), (16, 28), (20, 12)),
    "eva": ((24, 24), (16, 28), (20, 12)),
    "beit": ((24, 24), (16, 28), (20, 12)),
    "swin": (),
    "swinv2": ((96, 96), (64, 128), (96, 64)),
    "pvt_v2": ((48, 48), (32, 56), (40, 96)),
    "convnext": ((96, 96), (64, 128), (96, 64)),
    "hiera": ((96, 96), (64, 96), (80, 48)),
}


def family_cases():
    """Every family of timm's that the tests have: built for a size, and built for its own and asked
    for another."""
    for name, family in families.FAMILIES.items():
        _, config, _ = family()
        own = tuple(config["img_size"])
        label = f"timm {name}"
        for size in (own, *OTHER_SIZES[config["architecture"]]):
            yield label, of_family(name, family, size, size), size, "built for the size"
            if size != own and config["architecture"] != "hiera":
                yield label, of_family(name, family, own, size), size, f"built for {own[0]}"
    for name, (make, run_of, config, source) in families.HUGGING_FACE.items():
        own = config()["img_size"][0]
        for side in (own, own * 3 // 2 if name != "huggingface_swinv2" else own * 2):
            yield (f"{source}: {name.removeprefix('huggingface_')}",
                   of_hugging_face(make, run_of, config, side), (side, side), "built for the size")


def of_family(name, family, planned, size):
    def case(image):
        own = {} if planned == tuple(family()[1]["img_size"]) else dict(img_size=planned)
        model, config, stages = family(**own)
        weights = {key: value.clone() for key, value in spread(model).state_dict().items()}
        if planned != size:
            model = families.at_size(name, model, image)
        features = model.forward_features(image)
        logits = model.forward_head(features)
        levels = families.levels_of(model, image, stages)
        outputs = dict(output=logits, pooled=model.forward_head(features, pre_logits=True))
        return weights, config, outputs | {f"level{i}": level for i, level in enumerate(levels)}
    return case


def of_hugging_face(make, run_of, config, side):
    def case(image):
        model = spread(make(side))
        _, logits = run_of(model)(image)
        return families.saved(model), config() | dict(img_size=[side, side]), dict(output=logits)
    return case


def write(folder, index, case):
    source, make, size, what, number, config = case
    entry = dict(source=source, size=size, what=what, config=config)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(index))
    try:
        model, read = make(size, number)
        output = read(spread(model)(image))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        return dict(entry, failed=str(error).splitlines()[0][:120])
    weights = families.saved(model) if hasattr(model, "save_pretrained") else model.state_dict()
    save(folder, index, weights, dict(image=image, output=output))
    return entry


def save(folder, index, weights, outputs):
    tensors = {f"weights.{name}": tensor for name, tensor in weights.items()} | outputs
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(tensors, folder / f"{index}.safetensors")


def write_family(folder, index, case):
    source, run, size, what = case
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(index))
    try:
        weights, config, outputs = run(image)
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        return dict(source=source, size=size, what=what, config=vit_config((16, 16), 4),
                    failed=str(error).splitlines()[0][:120])
    save(folder, index, weights, dict(outputs, image=image))
    return dict(source=source, size=size, what=what, config=config)


def main(folder):
    torch.set_num_threads(1)
    names = ("torch", "timm", "torchvision", "transformers")
    versions = {name: importlib.metadata.version(name) for name in names}
    with torch.no_grad():
        entries = [write(folder, index, case) for index, case in enumerate(cases())]
        start = len(entries)
        for index, case in enumerate(family_cases(), start):
            entries.append(write_family(folder, index, case))
    (folder / "cases.json").write_text(json.dumps(dict(versions=versions, cases=entries)))


main(pathlib.Path(sys.argv[1]))
