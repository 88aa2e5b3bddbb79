"""Writes tiny checkpoints of every source that is read, with what the source's package makes of
them, beside this file.

Needs: torch 2.11.0, timm 1.0.31, torchvision 0.26.0, transformers 5.23.0, peft 0.21.2,
safetensors. Run: PYTHONHASHSEED=0 python crates/backbones/tests/peers/make.py
PEFT writes lists in the order of hashes; with a seed for them the same bytes come again.
"""
import json
import pathlib
import re
import shutil

import numpy
import peft
import safetensors.torch
import timm
import torch
import torchvision
import transformers

HERE = pathlib.Path(__file__).parent
SWIN = dict(embed_dim=12, depths=(2, 2), num_heads=(2, 4), window_size=4, mlp_ratio=2.0)
seen = {}


def spread(model):
    """Draws every parameter anew, so that none is zero or one and each counts."""
    generator = torch.Generator().manual_seed(len(seen) + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            gain = parameter.dim() == 1 and name.endswith(("weight", "gamma", "lambda1"))
            parameter.copy_(noise * 0.2 + gain)
    return model.eval()


def note(name, model, x, read=lambda out: out):
    with torch.no_grad():
        seen[name] = read(model(x)).contiguous()


def logits(out):
    return out.logits


def timm_vit(in_chans=3):
    return timm.models.vision_transformer.VisionTransformer(
        in_chans=in_chans, img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2.0,
        num_classes=5)


def timm_swin():
    return timm.models.swin_transformer.SwinTransformer(
        img_size=32, patch_size=4, num_classes=5, **SWIN)


def microsoft_swin(x):
    """The authors' layout, proved by timm's own filter for it."""
    swin = spread(timm_swin())
    note("microsoft_swin", swin, x)
    old = {}
    for name, tensor in swin.state_dict().items():
        earlier = lambda match: f"layers.{int(match[1]) - 1}.downsample"
        name = re.sub(r"layers\.(\d+)\.downsample", earlier, name)
        old[name.replace("head.fc.", "head.")] = tensor
    for stage, layer in enumerate(swin.layers):
        for index, block in enumerate(layer.blocks):
            path = f"layers.{stage}.blocks.{index}"
            old[f"{path}.attn.relative_position_index"] = block.attn.relative_position_index
            if block.attn_mask is not None:
                old[f"{path}.attn_mask"] = block.attn_mask
    again = timm_swin().eval()
    again.load_state_dict(timm.models.swin_transformer.checkpoint_filter_fn(old, again))
    assert torch.equal(again(x), swin(x))
    torch.save({"model": old, "epoch": 3}, HERE / "microsoft_swin.pth")


def torchvision_models(small, large):
    vit = spread(torchvision.models.VisionTransformer(
        image_size=16, patch_size=4, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=48,
        num_classes=5))
    note("torchvision_vit", vit, small)
    torch.save(vit.state_dict(), HERE / "torchvision_vit.pth")
    swin = spread(torchvision.models.SwinTransformer(
        patch_size=[4, 4], embed_dim=12, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4],
        mlp_ratio=2.0, num_classes=5))
    note("torchvision_swin", swin, large)
    torch.save(swin.state_dict(), HERE / "torchvision_swin.pth")


def huggingface(small, large):
    common = dict(num_labels=5, patch_size=4)
    block = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, image_size=16)
    vit = spread(transformers.ViTForImageClassification(
        transformers.ViTConfig(intermediate_size=48, **block, **common)))
    note("huggingface_vit", vit, small, logits)
    vit.save_pretrained(HERE / "huggingface_vit")
    swin = spread(transformers.SwinForImageClassification(
        transformers.SwinConfig(image_size=32, **SWIN, **common)))
    note("huggingface_swin", swin, large, logits)
    swin.save_pretrained(HERE / "huggingface_swin", max_shard_size="40KB")
    dino = spread(transformers.Dinov2Model(
        transformers.Dinov2Config(mlp_ratio=2, **block, patch_size=4)))
    note("huggingface_dinov2", dino, small, lambda out: out.last_hidden_state)
    folder = HERE / "huggingface_dinov2"
    dino.save_pretrained(folder)
    whole = folder / "model.safetensors"
    torch.save(safetensors.torch.load_file(whole), folder / "pytorch_model.bin")
    whole.unlink()
    return vit


def augreg(x):
    """NumPy's layout, proved by timm's own reader."""
    vit = spread(timm_vit())
    arrays, top = {}, {
        "cls_token": "cls", "pos_embed": "Transformer/posembed_input/pos_embedding",
        "norm.weight": "Transformer/encoder_norm/scale",
        "norm.bias": "Transformer/encoder_norm/bias",
        "patch_embed.proj.bias": "embedding/bias", "head.bias": "head/bias"}
    state = {name: tensor.numpy() for name, tensor in vit.state_dict().items()}
    for name, to in top.items():
        arrays[to] = state[name]
    arrays["embedding/kernel"] = state["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
    arrays["head/kernel"] = state["head.weight"].T
    for index in range(2):
        old, new = f"blocks.{index}.", f"Transformer/encoderblock_{index}/"
        attention = new + "MultiHeadDotProductAttention_1/"
        weights, biases = (numpy.split(state[f"{old}attn.qkv.{k}"], 3) for k in ("weight", "bias"))
        for part, weight, bias in zip(("query", "key", "value"), weights, biases):
            arrays[f"{attention}{part}/kernel"] = weight.T.reshape(24, 3, 8)
            arrays[f"{attention}{part}/bias"] = bias.reshape(3, 8)
        arrays[attention + "out/kernel"] = state[old + "attn.proj.weight"].T.reshape(3, 8, 24)
        arrays[attention + "out/bias"] = state[old + "attn.proj.bias"]
        for ours, theirs in (("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_2")):
            arrays[f"{new}{theirs}/scale"] = state[f"{old}{ours}.weight"]
            arrays[f"{new}{theirs}/bias"] = state[f"{old}{ours}.bias"]
        for ours, theirs in (("fc1", "Dense_0"), ("fc2", "Dense_1")):
            arrays[f"{new}MlpBlock_3/{theirs}/kernel"] = state[f"{old}mlp.{ours}.weight"].T
            arrays[f"{new}MlpBlock_3/{theirs}/bias"] = state[f"{old}mlp.{ours}.bias"]
    numpy.savez(HERE / "augreg_vit.npz", **arrays)
    again = timm_vit().eval()
    again.load_pretrained(str(HERE / "augreg_vit.npz"))
    assert torch.equal(again(x), vit(x))
    note("augreg_vit", vit, x)


def adapters(x, huggingface_vit):
    vit = spread(timm_vit())
    safetensors.torch.save_file(vit.state_dict(), HERE / "timm_vit.safetensors")
    note("timm_vit", vit, x)
    state = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    for name, dora, targets in (("peft_timm_lora", False, ["qkv", "fc1"]),
                                ("peft_timm_dora", True, ["qkv", "mlp.fc2"])):
        base = timm_vit()
        base.load_state_dict(state)
        config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=targets, use_dora=dora)
        adapter(name, peft.get_peft_model(base, config), x)
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "o_proj"])
    adapter("peft_huggingface_lora", peft.get_peft_model(huggingface_vit, config), x, logits)


def other_channels():
    """The colour weights of `timm_vit` for other images, by timm's own loader."""
    seen["channels"] = torch.randn(2, 6, 16, 16, generator=torch.Generator().manual_seed(7))
    file = {"file": str(HERE / "timm_vit.safetensors"), "first_conv": "patch_embed.proj",
            "classifier": "head", "num_classes": 5}
    for in_chans in (1, 2, 5, 6):
        vit = timm_vit(in_chans).eval()
        timm.models.load_pretrained(vit, file, num_classes=5, in_chans=in_chans)
        note(f"timm_vit_in_chans_{in_chans}", vit, seen["channels"][:, :in_chans])


def adapter(name, model, x, read=lambda out: out):
    generator = torch.Generator().manual_seed(len(seen))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.1 * noise)
    note(name, model.eval(), x, read)
    model.save_pretrained(HERE / name)
    (HERE / name / "README.md").unlink(missing_ok=True)


def main():
    torch.manual_seed(0)
    for old in HERE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    generator = torch.Generator().manual_seed(0)
    small, large = (torch.randn(2, 3, side, side, generator=generator) for side in (16, 32))
    microsoft_swin(large)
    torchvision_models(small, large)
    vit = huggingface(small, large)
    augreg(small)
    adapters(small, vit)
    other_channels()
    seen.update(small=small, large=large)
    safetensors.torch.save_file(seen, HERE / "seen.safetensors")
    print(json.dumps({name: list(tensor.shape) for name, tensor in seen.items()}))


main()
