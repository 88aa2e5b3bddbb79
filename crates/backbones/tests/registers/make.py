"""Writes tiny ViTs with register tokens as timm and Hugging Face have them, with what their
packages make of them, beside this file.

Needs: torch 2.11.0, timm 1.0.31, transformers 5.24.0, safetensors.
Run: python crates/backbones/tests/registers/make.py
"""
import pathlib

import safetensors.torch
import timm
import torch
import transformers

HERE = pathlib.Path(__file__).parent
SIZE = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0)
VARIANTS = {
    "dinov2": dict(reg_tokens=4, no_embed_class=True, init_values=0.5, num_classes=0),
    "gap": dict(reg_tokens=2, no_embed_class=True, class_token=False, global_pool="avg",
                num_classes=3),
    "embedded": dict(reg_tokens=3, num_classes=3),
    "deit3": dict(no_embed_class=True, init_values=0.5, num_classes=3),
}


def spread(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            gain = parameter.dim() == 1 and name.endswith(("weight", "gamma", "lambda1"))
            parameter.copy_(noise * 0.2 + gain)
    return model.eval()


def main():
    generator = torch.Generator().manual_seed(0)
    seen = {"image": torch.randn(2, 3, 16, 16, generator=generator),
            "wide": torch.randn(1, 3, 12, 24, generator=generator)}
    with torch.no_grad():
        for seed, (name, args) in enumerate(VARIANTS.items(), 1):
            vit = spread(timm.models.vision_transformer.VisionTransformer(**SIZE, **args), seed)
            seen[f"timm_{name}"] = vit.forward_features(seen["image"])
            if args["num_classes"]:
                seen[f"timm_{name}.logits"] = vit(seen["image"])
            safetensors.torch.save_file(vit.state_dict(), HERE / f"timm_{name}.safetensors")
            wide = timm.models.vision_transformer.VisionTransformer(
                **SIZE, **args, dynamic_img_size=True).eval()
            wide.load_state_dict(vit.state_dict())
            seen[f"timm_{name}.wide"] = wide.forward_features(seen["wide"])
        hugging = spread(transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(
                hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=16,
                patch_size=4, mlp_ratio=2)), 9)
        seen["huggingface"] = hugging(seen["image"]).last_hidden_state
        hugging.save_pretrained(HERE / "huggingface")
    safetensors.torch.save_file(seen, HERE / "seen.safetensors")


main()
