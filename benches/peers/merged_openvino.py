"""A forward pass of `FOLDER/model.onnx`, which our side wrote, by OpenVINO."""

import openvino
import torch
from openvino import properties
from openvino.properties import hint
from safetensors.torch import load_file

from worker import arguments, serve


def output_name(output):
    """What the model calls it, beside names that the runtime gives to inner values."""
    (name,) = (name for name in output.names if not name.startswith("/"))
    return name


def main():
    options = arguments(tasks=1, batch=4, size=224, precision="fp32")
    images = load_file(f"{options.folder}/images.safetensors")["images"].numpy()
    core = openvino.Core()
    model = core.read_model(f"{options.folder}/model.onnx")
    model.reshape({"image": list(images.shape)})
    # Maps of int8 are in the file; what is left of such a model is bfloat16 on our side.
    kind = openvino.Type.f32 if options.precision == "fp32" else openvino.Type.bf16
    settings = {
        hint.inference_precision: kind,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        hint.enable_cpu_pinning: False,
        properties.inference_num_threads: options.threads,
    }
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    names = [output_name(output) for output in compiled.outputs]

    def run():
        return request.infer({"image": images}, share_inputs=True, share_outputs=True)

    def check():
        found = run()
        return {f"output.{name}": torch.from_numpy(found[name].copy()) for name in names}

    run()
    serve(run, check, options.batch, f"OpenVINO {openvino.__version__.split('-')[0]}")


main()
