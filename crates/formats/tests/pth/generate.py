"""Writes the files of this folder: `python generate.py`. Needs PyTorch; the tests do not.

Good files come from `torch.save`. Bad ones are put together by hand, because no honest writer
makes them. None of them is ever unpickled here.
"""

import collections
import datetime
import enum
import functools
import os
import pathlib
import struct
import sys
import types
import zipfile

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(HERE, name)


def numbers(*shape):
    """0, 1, 2, ... in this shape."""
    count = 1
    for extent in shape:
        count *= extent
    return torch.arange(count, dtype=torch.float32).reshape(shape)


def good():
    state = collections.OrderedDict()
    state["weight"] = numbers(2, 3)
    state["bias"] = torch.nn.Parameter(-numbers(3))
    state["scalar"] = torch.tensor(7, dtype=torch.int64)
    state["empty"] = torch.zeros(0, 4)
    for legacy in (False, True):
        end = "_legacy.bin" if legacy else "_zip.pth"
        save = dict(_use_new_zipfile_serialization=not legacy)
        torch.save(state, path("flat" + end), **save)
        nested = {"epoch": 3, "lr": 0.5, "model": {"state_dict": state}, "best": None, "done": True}
        torch.save(nested, path("nested" + end), **save)
        torch.save(views(), path("views" + end), **save)
        torch.save(kinds(), path("kinds" + end), **save)
    parallel = {"module." + name: tensor for name, tensor in state.items()}
    torch.save({"state_dict": parallel, "args": __import__("argparse").Namespace(lr=0.1)},
               path("parallel.pt"), pickle_protocol=4)
    module = torch.nn.Linear(3, 2)
    module.load_state_dict({"weight": numbers(2, 3), "bias": numbers(2)})
    torch.save(module.state_dict(), path("metadata.pth"))


def views():
    """Tensors that share one storage: all of it, turned, a slice, a column, and every second."""
    whole = numbers(3, 4)
    return {
        "whole": whole,
        "turned": whole.t(),
        "rows": whole[1:],
        "column": whole[:, 2],
        "second": whole.view(-1)[1::2],
    }


def kinds():
    values = torch.tensor([0.0, 1.0, 2.0, 100.0])
    names = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"]
    tensors = {name: values.to(getattr(torch, name)) for name in names}
    return {**tensors, "bool": values.to(torch.bool)}


def elsewhere(module, **names):
    """Classes of a package that readers do not have."""
    parts = module.split(".")
    for k in range(len(parts)):
        sys.modules.setdefault(".".join(parts[:k + 1]), types.ModuleType(parts[k]))
    for name, made in names.items():
        made.__module__, made.__qualname__ = module, name
        setattr(sys.modules[module], name, made)
    return list(names.values())


def objects():
    """What training programs keep beside the weights, and classes that nobody here knows."""
    state = {"a.weight": numbers(2, 3), "a.bias": torch.nn.Parameter(-numbers(3))}
    history, attributes, ordered, colour = elsewhere(
        "trainer.things",
        History=type("History", (), {"__init__": lambda self: setattr(self, "log", [1.0, numbers(2)])}),
        Attributes=type("Attributes", (dict,), {}),
        Ordered=type("Ordered", (collections.OrderedDict,), {}),
        Colour=enum.Enum("Colour", "red blue"))
    marked = torch.nn.Parameter(numbers(3))
    marked.group = attributes(lr=0.5)
    beside = {
        "history": history(), "config": attributes(lr=0.1, nested=attributes(depth=2)),
        "path": pathlib.PurePosixPath("out/best"), "when": datetime.datetime(2024, 5, 6),
        "array": numpy.arange(6.0).reshape(2, 3), "number": numpy.float64(0.5),
        "colour": colour.red, "partial": functools.partial(print, "executed"),
        "names": {"a", "b"}, "frozen": frozenset({1}), "pair": ordered(x=1),
        "complex": torch.zeros(2, dtype=torch.complex64), "huge": 1 << 70, "bytes": bytearray(b"b"),
        "default": collections.defaultdict(list, a=[1]), "counter": collections.Counter("aab"),
    }
    for protocol in (2, 4, 5):
        torch.save({"state_dict": state, **beside}, path(f"objects_{protocol}.pth"),
                   pickle_protocol=protocol)
    del beside["complex"]
    torch.save({"state_dict": state, **beside}, path("objects_legacy.bin"),
               _use_new_zipfile_serialization=False)
    torch.save({"model": ordered({**state, "a.scale": marked})}, path("subclass.pth"))
    torch.save({"model": {**state, "a.log": history()}}, path("bad_inside.pth"))
    torch.save({"model": history(), "epoch": 3}, path("bad_module.pth"))
    ema = {name: tensor.detach() + 1 for name, tensor in state.items()}
    training = {"state": {0: {"exp_avg": numbers(3)}}, "param_groups": []}
    torch.save({"state_dict": state, "state_dict_ema": ema, "optimizer": training, "epoch": 2},
               path("averaged.pth"))
    torch.save({"student": state, "teacher": ema, "optimizer": training}, path("teacher.pth"))
    torch.save({**state, "a._extra_state": history()}, path("extra_state.pth"))
    torch.save({"first": state, "second": ema}, path("several.pth"))
    torch.save({"run": {"weights": state}, "args": {"model": {"name": "vit"}}}, path("only.pth"))


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def storage(key="0", kind="FloatStorage", length=4):
    """The reference to a storage."""
    id = text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + integer(length)
    return b"(" + id + b"tQ"


def tensor(offset=0, size=(4,), stride=(1,), **kwargs):
    axes = lambda values: b"(" + b"".join(map(integer, values)) + b"t"
    parts = storage(**kwargs) + integer(offset) + axes(size) + axes(stride) + b"\x89N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + parts + b"tR"


def pickle(body):
    return b"\x80\x02" + body + b"."


def dictionary(**values):
    return b"}(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def archive(name, body, members=None, method=zipfile.ZIP_STORED):
    data = struct.pack("<4f", 0, 1, 2, 3)
    members = {"data/0": data, **(members or {})}
    with zipfile.ZipFile(path(name), "w", method) as file:
        file.writestr("archive/data.pkl", pickle(body))
        for member, content in members.items():
            file.writestr("archive/" + member, content)


def bad():
    archive("bad_system.pth", dictionary(weight=b"cos\nsystem\n(" + text("touch executed") + b"tR"))
    archive("bad_global.pth", dictionary(weight=b"cevil.module\nThing\n)\x81"))
    stacked = b"\x8c\x08builtins\x8c\x04eval\x93(" + text("1 + 1") + b"tR"
    archive("bad_stacked.pth", dictionary(weight=stacked))
    archive("bad_opcode.pth", b"\x82\x01")
    archive("bad_escape.pth", dictionary(weight=tensor(key="../../../secret")))
    archive("bad_member.pth", dictionary(weight=tensor(key="7")))
    archive("bad_length.pth", dictionary(weight=tensor(length=1 << 62)))
    archive("bad_short.pth", dictionary(weight=tensor(length=5)))
    archive("bad_text.pth", b"X\xff\xff\xff\xff")
    archive("bad_view.pth", dictionary(weight=tensor(offset=1)))
    archive("bad_stride.pth", dictionary(weight=tensor(stride=(-1,), offset=3)))
    archive("bad_expand.pth", dictionary(weight=tensor(size=(1 << 40,), stride=(0,))))
    archive("bad_product.pth", dictionary(weight=tensor(size=(0, 1 << 40, 1 << 40), stride=(1, 1, 1))))
    archive("bad_none.pth", dictionary(epoch=integer(3)))
    archive("bad_packed.pth", dictionary(weight=tensor()), method=zipfile.ZIP_DEFLATED)
    archive("bad_order.pth", dictionary(weight=tensor()), {"byteorder": b"big"})
    archive("bad_script.pth", dictionary(weight=tensor()), {"constants.pkl": b""})
    # A dictionary that holds itself.
    archive("bad_circle.pth", b"}q\x00" + text("model") + b"h\x00s")
    many = {f"w{k}": tensor(size=(4,)) for k in range(20)}
    archive("bad_shared.pth", dictionary(**many))
    whole = open(path("flat_zip.pth"), "rb").read()
    at = whole.index(struct.pack("<2f", 4, 5))
    with open(path("bad_checksum.pth"), "wb") as file:
        file.write(whole[:at] + b"\x01" + whole[at + 1:])
    with open(path("bad_plain.pth"), "wb") as file:
        file.write(pickle(b"cposix\nsystem\n(" + text("touch executed") + b"tR"))
    with open(path("bad_foreign.pth"), "wb") as file:
        file.write(pickle(b"}"))
    whole = bytearray(open(path("flat_legacy.bin"), "rb").read())
    at = whole.rindex(struct.pack("<Q", 6), 0, len(whole))
    whole[at:at + 8] = struct.pack("<Q", 1 << 60)
    with open(path("bad_legacy.pth"), "wb") as file:
        file.write(whole)


if __name__ == "__main__":
    good()
    objects()
    bad()
