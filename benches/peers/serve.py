"""What `polyptych serve` is compared with: the same model in PyTorch behind FastAPI.

Needs: torch, fastapi, uvicorn, pillow, numpy.
Run: polyptych export RUN/merged --format torchscript --out model.pt
     python benches/peers/serve.py model.pt 8100 [eager|script]
POST /predict?tasks=a,b answers with an .npz archive of maps at the photograph's size.

`eager` calls PyTorch's operations one by one from Python, as a module's `forward` does; `script`
hands them to TorchScript's executor. The operations are the same.
"""
import io
import json
import re
import sys

import fastapi
import numpy
import torch
import uvicorn
from PIL import Image, ImageOps

path, port, how_it_runs = (sys.argv[1:] + ["eager"])[:3]
settings = json.load(open(path + ".json", encoding="utf-8"))
pre = settings["preprocess"]


def operation(node):
    """The overload that a node of the graph names, and which of its arguments go by name."""
    name, overload = re.match(r"aten::(\w+)(?:\.(\w+))?\(", node.schema()).groups()
    op = getattr(getattr(torch.ops.aten, name), overload or "default")
    by_name = [a.name if a.kwarg_only else None for a in op._schema.arguments]

    def call(args):
        given = {name: arg for name, arg in zip(by_name, args) if name}
        return op(*args[: len(args) - len(given)], **given)

    return call


def step(node):
    """What a node computes of its inputs."""
    kind = node.kind()
    if kind == "prim::GetAttr":
        name = node.s("name")
        return lambda args: getattr(args[0], name)
    if kind == "prim::Constant":
        value = node.output().toIValue()
        return lambda args: value
    plain = {
        "prim::ListConstruct": list,
        "prim::TupleConstruct": tuple,
        "prim::ListUnpack": lambda args: args[0],
        "prim::TupleUnpack": lambda args: args[0],
        "prim::DictConstruct": lambda args: dict(zip(args[::2], args[1::2])),
        "prim::NumToTensor": lambda args: args[0],
        "aten::Int": lambda args: int(args[0]),
    }
    return plain.get(kind) or operation(node)


def eager(model):
    """A function that runs the graph of a TorchScript model from Python."""
    graph = model.inlined_graph
    self_, image = (value.debugName() for value in graph.inputs())
    values, steps = {self_: model}, []
    for node in graph.nodes():
        inputs = [value.debugName() for value in node.inputs()]
        outputs = [value.debugName() for value in node.outputs()]
        run = step(node)
        # Weights and numbers are read once.
        if all(name in values for name in inputs) and node.kind().startswith("prim::"):
            found = run([values[name] for name in inputs])
            values.update(zip(outputs, found if "Unpack" in node.kind() else [found]))
        else:
            steps.append((run, inputs, outputs, "Unpack" in node.kind()))
    last = {name: place for place, (_, inputs, _, _) in enumerate(steps) for name in inputs}
    done = [[n for n in set(inputs) if last[n] == place and n not in values]
            for place, (_, inputs, _, _) in enumerate(steps)]
    (answer,) = (value.debugName() for value in graph.outputs())

    def forward(x):
        now = dict(values)
        now[image] = x
        for (run, inputs, outputs, unpacks), free in zip(steps, done):
            found = run([now[name] for name in inputs])
            now.update(zip(outputs, found if unpacks else [found]))
            for name in free:
                if name != answer:
                    del now[name]
        return now[answer]

    return forward


script = torch.jit.load(path).eval()
model = eager(script) if how_it_runs == "eager" else script
mean, std = (torch.tensor(pre[key]).view(3, 1, 1) for key in ("mean", "std"))
app = fastapi.FastAPI()


def activated(raw, how):
    if how["activation"] == "argmax":
        return raw.argmax(0, keepdim=True).int()
    if how["activation"] == "sigmoid":
        return raw.sigmoid()
    if how["activation"] == "unit_length":
        return raw / (raw.norm(dim=0, keepdim=True) + how["eps"])
    return raw.clamp_min(how["min"]) if how["activation"] == "clamp_min" else raw


def answer(body, tasks):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")
    height, width = pre["size"]
    pixels = numpy.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    x = (torch.from_numpy(pixels.copy()).permute(2, 0, 1) * pre["scale"] - mean) / std
    with torch.inference_mode():
        raw = model(x.float()[None])
        maps = {}
        for task in tasks or settings["tasks"]:
            how = settings["tasks"][task]["output"]
            map = raw[how["name"]]
            if how["resize"]:
                size = image.size[::-1]
                map = torch.nn.functional.interpolate(map, size, mode="bilinear")
            maps[task] = activated(map[0], how).numpy()
    file = io.BytesIO()
    numpy.savez(file, **maps)
    return file.getvalue()


@app.post("/predict")
async def predict(request: fastapi.Request, tasks: str = ""):
    body = await request.body()
    names = [name for name in tasks.split(",") if name]
    # As for a function that is not async: on a thread of FastAPI's pool.
    content = await fastapi.concurrency.run_in_threadpool(answer, body, names)
    return fastapi.Response(content, media_type="application/zip")


@app.get("/v2/health/ready")
def ready():
    return {"ready": True}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
