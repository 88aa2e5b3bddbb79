"""What the training peers have in common: values, batch, one step, and what is compared."""

import contextlib

import torch
from safetensors.torch import load_file
from torch import nn


class Step:
    """Trains `model`; `loss(outputs, targets)` is what is minimised, `outputs` are named."""

    def __init__(self, model, loss, options, ours=lambda name: name):
        """`ours` turns the name of a parameter of `model` into that of our checkpoints."""
        folder = options.folder
        self.loss, self.ours, self.batch = loss, ours, options.batch
        values = load_file(f"{folder}/weights.safetensors")
        state = {name: values.get(ours(name)) for name in model.state_dict()}
        lacks = [name for name, value in state.items() if value is None]
        assert all("num_batches_tracked" in name for name in lacks), lacks
        model.load_state_dict({n: v for n, v in state.items() if v is not None}, strict=False)
        self.model = model.to(options.device)
        self.call = torch.compile(self.model) if options.compile else self.model
        self.image = load_file(f"{folder}/images.safetensors", options.device)["images"]
        self.targets = load_file(f"{folder}/targets.safetensors", options.device)
        self.trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trainable, lr=1e-6, weight_decay=0.05, fused=True)
        self.amp = contextlib.nullcontext()
        if options.precision == "bf16":
            self.amp = torch.autocast(options.device.split(":")[0], torch.bfloat16)
        model.train()

    def backward(self):
        self.optimiser.zero_grad(set_to_none=True)
        with self.amp:
            outputs = self.call(self.image)
        total = self.loss({name: z.float() for name, z in outputs.items()}, self.targets)
        total.backward()
        return outputs, total

    def run(self):
        self.backward()
        nn.utils.clip_grad_norm_(self.trainable, 5.0)
        self.optimiser.step()

    def check(self):
        """Outputs, loss and gradients; dropout must be off."""
        outputs, total = self.backward()
        found = {f"output.{name}": z for name, z in outputs.items()} | {"loss": total}
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None:
                found[f"gradient.{self.ours(name)}"] = parameter.grad
        return found
