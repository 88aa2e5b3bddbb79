"""Compares a merged EMTAL model with the ViT that timm makes of its plain part.

Needs: timm 1.0.31, torch 2.11.0, safetensors, pillow.
Run: python docs/results/timm_vit.py photo.png            # draws a photograph of 64 x 64 pixels
     polyptych predict RUN/merged photo.png --out seen --raw
     python docs/results/timm_vit.py photo.png RUN/merged/backbone.safetensors seen/photo.safetensors
"""
import sys

import numpy
import safetensors.torch
import timm
import torch
from PIL import Image

if len(sys.argv) == 2:
    pixels = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(0))
    Image.fromarray(pixels.byte().numpy()).save(sys.argv[1])
    sys.exit()

weights = safetensors.torch.load_file(sys.argv[2])
vit = timm.models.vision_transformer.VisionTransformer(
    img_size=64, patch_size=8, embed_dim=160, depth=6, num_heads=5, class_token=False,
    global_pool="avg", num_classes=weights["head.weight"].shape[0])
print(f"timm {timm.__version__}, torch {torch.__version__}: {vit.load_state_dict(weights)}")
count = sum(p.numel() for p in vit.parameters())
print(f"{count} parameters in timm's model, {sum(t.numel() for t in weights.values())} in the file")
image = torch.tensor(numpy.asarray(Image.open(sys.argv[1]))).permute(2, 0, 1) / 255
mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([.485, .456, .406], [.229, .224, .225]))
with torch.no_grad():
    theirs = vit.eval()(((image - mean) / std)[None])[0]
maps = safetensors.torch.load_file(sys.argv[3])
ours = torch.cat([maps[task].flatten() for task in sorted(maps)])
print(f"logits up to {theirs.abs().max():.3f}, largest difference {(ours - theirs).abs().max():.1e}")
