"""A forward pass of a backbone of timm with a head of classes."""

import contextlib

import timm
import torch
from safetensors.torch import load_file

from worker import arguments, serve


def main():
    defaults = {"tasks": 1, "batch": 4, "size": 224, "precision": "fp32"}
    options = arguments(backbone="vit_base_patch16_224", compile=0, **defaults)
    values = load_file(f"{options.folder}/weights.safetensors")
    state = {n.removeprefix("backbone."): v for n, v in values.items() if n.startswith("backbone.")}
    classes = values["heads.set.bias"].numel()
    # Convolutions take images of any size, and no argument for it.
    sized = timm.get_pretrained_cfg(options.backbone).fixed_input_size
    size = {"img_size": options.size} if sized else {}
    model = timm.create_model(options.backbone, num_classes=classes, **size).eval().to(options.device)
    for end in ("weight", "bias"):
        state[f"{model.default_cfg['classifier']}.{end}"] = values[f"heads.set.{end}"]
    model.load_state_dict(state)
    images = load_file(f"{options.folder}/images.safetensors", options.device)["images"]
    amp = contextlib.nullcontext()
    if options.precision == "bf16":
        amp = torch.autocast(options.device.split(":")[0], torch.bfloat16)
    call = torch.compile(model) if options.compile else model

    def run():
        with torch.no_grad(), amp:
            return call(images)

    run()
    versions = f"torch {torch.__version__}, timm {timm.__version__}"
    serve(run, lambda: {"output.set": run()}, options.batch, versions, options.device)


main()
