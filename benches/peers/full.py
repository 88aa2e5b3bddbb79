"""One training step of full fine-tuning of timm's ViT-B/16."""

from classifier import train

train()
