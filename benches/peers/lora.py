"""One training step of LoRA on a ViT-B/16: timm's backbone, PEFT's layers."""

import peft

from classifier import train

SITES = r".*\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"


def adapt(backbone):
    backbone.requires_grad_(False)
    config = peft.LoraConfig(r=16, lora_alpha=16, target_modules=SITES)
    return peft.inject_adapter_in_model(config, backbone)


def plain(name):
    return name.replace(".base_layer.", ".").replace(".default.", ".")


train(adapt, plain, f", peft {peft.__version__}")
