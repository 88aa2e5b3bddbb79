"""Asks a server as users of Triton do: python triton.py HOST:PORT MODEL."""
import sys

import numpy
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

address, model = sys.argv[1:]
client = http.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert not client.is_model_ready("other")
assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
about = client.get_model_metadata(model)
assert [tensor["name"] for tensor in about["inputs"]] == ["images"], about
tasks = {tensor["name"]: tensor for tensor in about["outputs"]}

images = numpy.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=numpy.uint8)


def infer(values, datatype, binary, names, **more):
    tensor = http.InferInput("images", values.shape, datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    outputs = [http.InferRequestedOutput(name, binary_data=binary) for name in names]
    return client.infer(model, [tensor], outputs=outputs, **more)


binary = infer(images, "UINT8", True, ["depth", "semseg", "normals"], request_id="7")
assert binary.get_response()["id"] == "7"
text = infer(images, "UINT8", False, ["depth", "semseg", "normals"])
packed = infer(images, "UINT8", True, ["depth"], request_compression_algorithm="gzip")
for name in ["depth", "semseg", "normals"]:
    found = binary.as_numpy(name)
    assert list(found.shape[1:]) == tasks[name]["shape"][1:], (name, found.shape)
    assert found.dtype == {"FP32": numpy.float32, "INT32": numpy.int32}[tasks[name]["datatype"]]
    same = numpy.isclose(found, text.as_numpy(name), atol=1e-4).mean()
    assert same > 0.999, (name, same)
assert numpy.allclose(packed.as_numpy("depth"), binary.as_numpy("depth"), atol=1e-4)
length = numpy.linalg.norm(binary.as_numpy("normals"), axis=1)
assert numpy.allclose(length, 1, atol=1e-4)

every = client.infer(model, [http.InferInput("images", [1, 30, 40, 3], "UINT8")
                             .set_data_from_numpy(images[:1])])
assert {output["name"] for output in every.get_response()["outputs"]} == set(tasks)

planes = about["parameters"]["network_input"]
size = planes["shape"][2:]
zeros = infer(numpy.zeros((1, 3, *size), numpy.float32), "FP32", True, ["sal"])
assert zeros.as_numpy("sal").shape == (1, 1, *size)

waiting = [client.async_infer(model, [http.InferInput("images", [1, 30, 40, 3], "UINT8")
                                      .set_data_from_numpy(images[1:])]) for _ in range(8)]
for answer in waiting:
    found = answer.get_result().as_numpy("depth")
    assert numpy.allclose(found, binary.as_numpy("depth")[1:], atol=1e-4)

for names, values, words in [(["colour"], images, "task `colour`: expected"),
                             (["depth"], images[0], "found UINT8 of shape [30, 40, 3]")]:
    try:
        infer(values, "UINT8", True, names)
    except InferenceServerException as error:
        assert words in error.message(), error.message()
    else:
        raise AssertionError(f"{words} was not said")
print("tritonclient: all as expected")
