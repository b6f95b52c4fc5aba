"""Caffe's nets with weights (.caffemodel), written in format V2 by protobuf's wire format.

Field numbers are those of BVLC/caffe, src/caffe/proto/caffe.proto.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

_VARINT, _BYTES = 0, 2


@dataclass(frozen=True)
class LayerToWrite:
    """A convolution (weights of four axes) or an inner product (of two)."""

    name: str
    weight: Tensor
    bias: Tensor
    stride: int = 1
    padding: int = 0
    groups: int = 1


def caffemodel_bytes(name: str, layers: Sequence[LayerToWrite]) -> bytes:
    """The content of a .caffemodel: float32 blobs, one layer behind the other."""
    content = [_field(1, name.encode())]
    below = "data"
    for layer in layers:
        content.append(_field(100, _layer(layer, below)))
        below = layer.name
    return b"".join(content)


def _layer(layer: LayerToWrite, below: str) -> bytes:
    convolution = layer.weight.ndim == 4
    parts = [
        _field(1, layer.name.encode()),
        _field(2, b"Convolution" if convolution else b"InnerProduct"),
        _field(3, below.encode()),
        _field(4, layer.name.encode()),
        _field(7, _blob(layer.weight)),
        _field(7, _blob(layer.bias)),
    ]
    outputs = _number(1, len(layer.weight))
    if convolution:
        side = layer.weight.shape[-1]
        settings = ((3, layer.padding), (4, side), (5, layer.groups), (6, layer.stride))
        parts.append(_field(106, outputs + b"".join(_number(n, value) for n, value in settings)))
    else:
        parts.append(_field(117, outputs))
    return b"".join(parts)


def _blob(values: Tensor) -> bytes:
    axes = b"".join(_varint(length) for length in values.shape)
    numbers = values.detach().cpu().contiguous().numpy().astype("<f4").tobytes()
    return _field(7, _field(1, axes)) + _field(5, numbers)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    """An integer of 7 bits a byte, lowest first."""
    content = bytearray()
    while value >= 0x80:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*content, value])
