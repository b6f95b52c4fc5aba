"""Caffe's nets with weights (.caffemodel): layers and blobs of formats V0, V1 and V2.

Field numbers are those of BVLC/caffe, src/caffe/proto/caffe.proto.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cebench.errors import InputError
from cebench.weights.readers.content import DamagedError, check_is_weights_file
from cebench.weights.readers.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    Field,
    WireReader,
    varint,
)

MAX_LAYERS, MAX_BLOBS, MAX_AXES = 10_000, 64, 32
"""Limits on a net, a layer and a blob; Caffe itself allows 32 axes."""

_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
_V0_TYPES = {"conv": "Convolution", "innerproduct": "InnerProduct"}


@dataclass(frozen=True)
class CaffeLayer:
    """One layer of a net."""

    name: str
    type: str
    """As V2 names it, such as `Convolution`."""
    bottoms: tuple[str, ...]
    """Blobs that it takes; V0 keeps them, like the tops, beside the layer."""
    tops: tuple[str, ...]
    blobs: tuple[Tensor, ...]
    """Parameters, float32 or float64; biases of V0 and V1 are (1, 1, 1, N)."""
    groups: int = 1
    epsilon: float = 1e-5
    """Added to the variance by a BatchNorm layer."""


@dataclass(frozen=True)
class _Schema:
    """Numbers of the fields of a layer in one version of the format; 0 for none."""

    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    convolution: int = 0
    inner_product: int = 0
    batch_norm: int = 0
    group: int = 0


_V2 = _Schema(1, 2, 3, 4, 7, convolution=106, inner_product=117, batch_norm=139)
_V1 = _Schema(4, 5, 2, 3, 6, convolution=10, inner_product=17)
_V0 = _Schema(1, 2, 0, 0, 50, group=9)
_NET_V1, _NET_V2, _V0_IN_V1 = 2, 100, 1


def read_caffemodel(file: Path) -> list[CaffeLayer]:
    """The layers of a net in their order; InputError for a file that is no such net.

    Memory stays within a small multiple of the file's size, whatever the file declares.
    """
    check_is_weights_file(file)
    try:
        return parse_caffemodel(file.read_bytes())
    except DamagedError as error:
        raise InputError(f"{file}: not a .caffemodel: {error}") from None


def parse_caffemodel(content: bytes) -> list[CaffeLayer]:
    """The layers of the net written in `content`; DamagedError where it is not one."""
    wire = WireReader()
    layers: list[CaffeLayer] = []
    for number, kind, value in wire.fields(memoryview(content)):
        if kind == BYTES and number in (_NET_V1, _NET_V2):
            if len(layers) == MAX_LAYERS:
                raise DamagedError(f"more than {MAX_LAYERS:,} layers")
            assert isinstance(value, memoryview)
            layers.append(_layer(wire, value, _V1 if number == _NET_V1 else _V2))
    if not any(layer.blobs for layer in layers):
        raise DamagedError(f"no weights in it ({len(layers)} layers)")
    return layers


def _layer(wire: WireReader, message: memoryview, schema: _Schema) -> CaffeLayer:
    outer = inner = _by_number(wire, message)
    if schema is _V1 and _V0_IN_V1 in outer:
        inner, schema = _by_number(wire, _bytes(outer[_V0_IN_V1][-1])), _V0
    names = _V1 if schema is _V0 else schema
    blobs = inner.get(schema.blobs, [])
    if len(blobs) > MAX_BLOBS:
        raise DamagedError(f"a layer with {len(blobs)} blobs")
    layer_type = _type(inner.get(schema.type, []), schema)
    settings = {
        kind: _by_number(wire, _bytes(inner[number][-1]))
        for kind, number in vars(schema).items()
        if kind in ("convolution", "inner_product", "batch_norm") and number in inner
    }
    tensors = [_blob(wire, _bytes(field)) for field in blobs]
    if _number(settings.get("inner_product", {}).get(6, []), 0) and tensors:  # Stored transposed.
        tensors[0] = tensors[0].reshape(tensors[0].shape[-2:]).T.contiguous()
    groups = inner.get(schema.group, settings.get("convolution", {}).get(5, []))
    return CaffeLayer(
        name=_text(inner.get(schema.name, [])),
        type=layer_type,
        bottoms=tuple(_text([field]) for field in outer.get(names.bottom, [])),
        tops=tuple(_text([field]) for field in outer.get(names.top, [])),
        blobs=tuple(tensors),
        groups=_number(groups, 1),
        epsilon=_float(settings.get("batch_norm", {}).get(3, []), 1e-5),
    )


def _by_number(wire: WireReader, message: memoryview) -> dict[int, list[Field]]:
    fields: dict[int, list[Field]] = {}
    for field in wire.fields(message):
        fields.setdefault(field[0], []).append(field)
    return fields


def _type(fields: list[Field], schema: _Schema) -> str:
    if schema is _V1:
        number = _number(fields, 0)
        return _V1_TYPES.get(number, f"V1 type {number}")
    text = _text(fields)
    return _V0_TYPES.get(text, text) if schema is _V0 else text


def _blob(wire: WireReader, message: memoryview) -> Tensor:
    """A blob's numbers in its shape; both must agree."""
    fields = _by_number(wire, message)
    for number, dtype, fixed in ((5, "<f4", FIXED32), (8, "<f8", FIXED64)):
        if number in fields:
            parts = [_numbers(field, dtype, fixed) for field in fields[number]]
            values = torch.from_numpy(np.concatenate(parts).astype(dtype[1:]))
            break
    else:
        values = torch.empty(0)
    shape = _shape(wire, fields)
    if any(length >= 2**63 for length in shape) or math.prod(shape) != len(values):
        raise DamagedError(f"a blob of shape {shape} with {len(values):,} numbers")
    return values.view(shape)


def _numbers(field: Field, dtype: str, fixed: int) -> np.ndarray:
    content = _bytes(field, fixed)
    if len(content) % np.dtype(dtype).itemsize:
        raise DamagedError(f"numbers of {len(content)} bytes")
    return np.frombuffer(content, dtype)


def _shape(wire: WireReader, fields: Mapping[int, list[Field]]) -> tuple[int, ...]:
    """The axes of a blob: `shape`, or num, channels, height and width of older files."""
    if 7 not in fields:
        return tuple(_number(fields.get(number, []), 0) for number in (1, 2, 3, 4))
    axes: list[int] = []
    for number, _, value in wire.fields(_bytes(fields[7][-1])):
        if number == 1:  # Packed, they are integers one behind the other.
            axes += [value] if isinstance(value, int) else _packed(value)
        if len(axes) > MAX_AXES:
            raise DamagedError(f"a blob of more than {MAX_AXES} axes")
    return tuple(axes)


def _packed(content: memoryview) -> list[int]:
    axes: list[int] = []
    at = 0
    while at < len(content) and len(axes) <= MAX_AXES:
        value, at = varint(content, at)
        axes.append(value)
    return axes


def _bytes(field: Field, fixed: int = BYTES) -> memoryview:
    number, kind, value = field
    if kind not in (BYTES, fixed) or not isinstance(value, memoryview):
        raise DamagedError(f"field {number} is of another kind (wire type {kind})")
    return value


def _text(fields: list[Field]) -> str:
    return bytes(_bytes(fields[-1])).decode("utf-8", "replace") if fields else ""


def _number(fields: list[Field], absent: int) -> int:
    return fields[-1][2] if fields and isinstance(fields[-1][2], int) else absent


def _float(fields: list[Field], absent: float) -> float:
    return float(_numbers(fields[-1], "<f4", FIXED32)[-1]) if fields else absent
