"""Files of other programs, written for tests: Caffe's by protobuf, Torch7's by a writer of ours."""

import struct
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

_SCALARS = {"float": 2, "double": 1, "int64": 3, "int32": 5, "bool": 8, "string": 9, "enum": 5}
_MESSAGES = {
    "BlobShape": [("dim", 1, "int64", "packed")],
    "BlobProto": [
        ("shape", 7, "BlobShape", ""),
        ("data", 5, "float", "packed"),
        ("double_data", 8, "double", "packed"),
        *((name, n, "int32", "") for n, name in enumerate(("num", "channels", "height"), start=1)),
        ("width", 4, "int32", ""),
    ],
    "Convolution": [("num_output", 1, "int32", ""), ("group", 5, "int32", "")],
    "InnerProduct": [("num_output", 1, "int32", ""), ("transpose", 6, "bool", "")],
    "BatchNorm": [("eps", 3, "float", "")],
    "Layer": [
        ("name", 1, "string", ""),
        ("type", 2, "string", ""),
        ("bottom", 3, "string", "repeated"),
        ("top", 4, "string", "repeated"),
        ("blobs", 7, "BlobProto", "repeated"),
        ("convolution_param", 106, "Convolution", ""),
        ("inner_product_param", 117, "InnerProduct", ""),
        ("batch_norm_param", 139, "BatchNorm", ""),
    ],
    "V0Layer": [
        ("name", 1, "string", ""),
        ("type", 2, "string", ""),
        ("group", 9, "int32", ""),
        ("blobs", 50, "BlobProto", "repeated"),
    ],
    "V1Layer": [
        ("layer", 1, "V0Layer", ""),
        ("bottom", 2, "string", "repeated"),
        ("top", 3, "string", "repeated"),
        ("name", 4, "string", ""),
        ("type", 5, "int32", ""),
        ("blobs", 6, "BlobProto", "repeated"),
        ("convolution_param", 10, "Convolution", ""),
    ],
    "Net": [
        ("name", 1, "string", ""),
        ("layers", 2, "V1Layer", "repeated"),
        ("layer", 100, "Layer", "repeated"),
    ],
}
"""The fields of caffe.proto that carry weights: name, number, type, label."""


@cache
def caffe_messages(packed: bool = True) -> dict[str, Any]:
    """protobuf's classes of these messages; floats unpacked as the oldest files have them."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name=f"caffe_{packed}.proto", package=f"caffe_{packed}", syntax="proto2"
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, label in fields:
            field = described.field.add(name=name, number=number, label=3 if label else 1)
            if kind in _SCALARS:
                field.type = _SCALARS[kind]  # type: ignore[assignment]
                field.options.packed = packed and label == "packed"
            else:
                field.type = 11  # type: ignore[assignment]
                field.type_name = f".caffe_{packed}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe_{packed}.{name}"))
        for name in _MESSAGES
    }


def fill_blob(blob: Any, value: Tensor, legacy: bool = False) -> None:
    """Put a tensor into a BlobProto; `legacy` with four axes, ones in front."""
    numbers = value.flatten().tolist()
    (blob.double_data if value.dtype == torch.float64 else blob.data).extend(numbers)
    if legacy:
        axes = [1] * (4 - value.ndim) + list(value.shape)
        blob.num, blob.channels, blob.height, blob.width = axes
    else:
        blob.shape.dim.extend(value.shape)


def caffe_net(layers: dict[str, list[Tensor]], packed: bool = True, **types: str) -> Any:
    """A V2 net: a chain of layers, of type Convolution or as `types` says."""
    net = caffe_messages(packed)["Net"]()
    below = "data"
    for name, blobs in layers.items():
        layer = net.layer.add(name=name, type=types.get(name, "Convolution"))
        layer.bottom.append(below)
        layer.top.append(name)
        for value in blobs:
            fill_blob(layer.blobs.add(), value)
        below = name
    return net


class Torch7Writer:
    """Writes objects as torch.save of Torch7 does: binary, 8-byte longs."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.indices: dict[int, int] = {}

    def write(self, value: Any) -> "Torch7Writer":
        """A number, text, boolean, None, tensor, list, dict, or a pair (class name, dict)."""
        if value is None:
            self._ints(0)
        elif isinstance(value, bool):
            self._ints(5, value)
        elif isinstance(value, int | float):
            self._ints(1)
            self.parts.append(struct.pack("<d", value))
        elif isinstance(value, str):
            self._ints(2)
            self._text(value)
        else:
            self._indexed(value)
        return self

    def bytes(self) -> bytes:
        """What was written."""
        return b"".join(self.parts)

    def _indexed(self, value: Any) -> None:
        kind = 3 if isinstance(value, dict | list) else 4
        known = id(value) in self.indices
        self._ints(kind, self.indices.setdefault(id(value), len(self.indices) + 1))
        if known:
            return
        if isinstance(value, dict | list):
            pairs = value.items() if isinstance(value, dict) else enumerate(value, start=1)
            self._ints(len(value))
            for key, inner in pairs:
                self.write(key).write(inner)
        elif isinstance(value, Tensor):
            self._tensor(value)
        else:
            self._class(value[0])
            self.write(value[1])

    def _tensor(self, value: Tensor) -> None:
        value = value.contiguous()
        kind = {torch.float32: "Float", torch.float64: "Double", torch.uint8: "Byte"}[value.dtype]
        self._class(f"torch.{kind}Tensor")
        self._ints(value.ndim)
        self._longs(*value.shape, *value.stride(), 1)
        self._ints(4, 10_000 + len(self.parts))
        self._class(f"torch.{kind}Storage")
        self._longs(value.numel())
        self.parts.append(np.asarray(value).tobytes())

    def _class(self, name: str) -> None:
        self._text("V 1")
        self._text(name)

    def _text(self, text: str) -> None:
        self._ints(len(text.encode()))
        self.parts.append(text.encode())

    def _ints(self, *values: int) -> None:
        self.parts.append(struct.pack(f"<{len(values)}i", *values))

    def _longs(self, *values: int) -> None:
        self.parts.append(struct.pack(f"<{len(values)}q", *values))
