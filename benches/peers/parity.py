"""Writes small models of timm, TorchVision and Hugging Face with random values, one image each and
the outputs that their own packages give, for `cargo xtask parity`.

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


def saved(folder, model):
    """The tensors under the names of the package's files, which Hugging Face's modules lack."""
    if not hasattr(model, "save_pretrained"):
        return model.state_dict()
    model.save_pretrained(folder / "saved")
    return safetensors.torch.load_file(folder / "saved/model.safetensors")


def write(folder, index, case):
    source, make, size, what, number, config = case
    entry = dict(source=source, size=size, what=what, config=config)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(index))
    try:
        model, read = make(size, number)
        output = read(spread(model)(image))
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        return dict(entry, failed=str(error).splitlines()[0][:120])
    weights = {f"weights.{name}": tensor for name, tensor in saved(folder, model).items()}
    tensors = dict(weights, image=image, output=output)
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(tensors, folder / f"{index}.safetensors")
    return entry


def main(folder):
    torch.set_num_threads(1)
    names = ("torch", "timm", "torchvision", "transformers")
    versions = {name: importlib.metadata.version(name) for name in names}
    with torch.no_grad():
        entries = [write(folder, index, case) for index, case in enumerate(cases())]
    (folder / "cases.json").write_text(json.dumps(dict(versions=versions, cases=entries)))


main(pathlib.Path(sys.argv[1]))
