"""A forward pass of `FOLDER/model.onnx`, which our side wrote, by onnxruntime."""

import onnxruntime
import torch
from safetensors.torch import load_file

from worker import arguments, serve


def main():
    options = arguments(tasks=1, batch=4, size=224, precision="fp32")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        f"{options.folder}/model.onnx", settings, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    images = load_file(f"{options.folder}/images.safetensors")["images"].numpy()

    def run():
        return session.run(names, {"image": images})

    def check():
        return {f"output.{name}": torch.from_numpy(found) for name, found in zip(names, run())}

    run()
    serve(run, check, options.batch, f"onnxruntime {onnxruntime.__version__}")


main()
