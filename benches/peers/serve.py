"""What `polyptych serve` is compared with: the same model in PyTorch behind FastAPI.

Needs: torch, fastapi, uvicorn, pillow, numpy.
Run: polyptych export RUN/merged --format torchscript --out model.pt
     python benches/peers/serve.py model.pt 8100
POST /predict?tasks=a,b answers with an .npz archive of maps at the photograph's size.
"""
import io
import json
import sys

import fastapi
import numpy
import torch
import uvicorn
from PIL import Image, ImageOps

path, port = sys.argv[1:]
settings = json.load(open(path + ".json", encoding="utf-8"))
pre = settings["preprocess"]
model = torch.jit.load(path).eval()
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
