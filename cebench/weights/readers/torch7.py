"""Torch7's serialised objects (.t7, .net), binary and ASCII, read without running any of them.

Objects of classes, functions included, become inert tables; only tensors and storages become
tensors. The format is that of torch/torch7, File.lua, generic/Tensor.c and generic/Storage.c.
"""

import math
import re
import struct
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cebench.errors import InputError
from cebench.weights.readers.content import DamagedError, check_is_weights_file

MAX_OBJECTS, MAX_DEPTH, MAX_AXES = 1_000_000, 10_000, 64
"""Limits on a file, on objects within objects, and on a tensor."""
MAX_VIEW = 2**31
"""Numbers of a tensor that repeats those of its storage."""

_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN, _FUNCTION, _INDEXED_7, _INDEXED_8 = range(9)
_DTYPES = {
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Half": "float16",
    "Float": "float32",
    "Double": "float64",
}
_ARRAY_CLASS = re.compile(rf"torch\.(Cuda)?({'|'.join(_DTYPES)})?(Tensor|Storage)")

Steps = Generator[None, Any, Any]
"""Reads one object: asks for each object within it by a bare yield and returns the whole."""


class Table(dict[Any, Any]):
    """A Lua table. It may be a key of tables, itself included, so it equals only itself."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:  # Tables that share tables would be written out again and again.
        return f"Table of {len(self)}"


@dataclass(eq=False, repr=False)
class TorchObject:
    """An object of a class that nothing here knows: its name and its fields."""

    class_name: str
    fields: Any = None


class _Stream(Protocol):
    """What a file's bytes say, from where reading stands; DamagedError beyond their end."""

    def numbers(self, dtype: str, count: int) -> np.ndarray: ...

    def text(self, length: int) -> bytes | memoryview: ...

    def int32(self) -> int: ...

    def float64(self) -> float: ...


def read_torch7(file: Path) -> Any:
    """The object in a file: None, bool, int, float, str, Tensor, Table or TorchObject.

    InputError for a file that is none, is cut off or describes what cannot be. Memory stays within
    a small multiple of the file's size, whatever the file declares.
    """
    check_is_weights_file(file)
    try:
        return parse_torch7(file.read_bytes())
    except DamagedError as error:
        raise InputError(f"{file}: not a Torch7 file: {error}") from None


def parse_torch7(content: bytes) -> Any:
    """The object written in `content`; DamagedError where there is none."""
    is_ascii = content[:1].isdigit() and content[1:2] == b"\n"
    stream: _Stream = _AsciiStream(content) if is_ascii else _BinaryStream(content)
    return _Parser(stream).root()


class _BinaryStream:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = memoryview(content), 0

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        kind = np.dtype(dtype).newbyteorder("<")
        return np.frombuffer(self.text(count * kind.itemsize), kind)

    def int32(self) -> int:
        return int.from_bytes(self.text(4), "little", signed=True)

    def float64(self) -> float:
        number: float = struct.unpack("<d", self.text(8))[0]
        return number

    def text(self, length: int) -> memoryview:
        left = len(self.content) - self.at
        if not 0 <= length <= left:
            raise DamagedError(f"{length:,} bytes where {left:,} are left")
        self.at += length
        return self.content[self.at - length : self.at]


class _AsciiStream:
    """Each row of numbers is a line of its own, and so is a string; an empty one is nothing."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        if dtype in ("uint8", "int8"):
            return np.frombuffer(self.text(count), dtype)
        end = self.content.find(b"\n", self.at) if count else self.at - 1
        if count < 0 or (count and end < 0):
            raise DamagedError(f"{count:,} numbers where the file ends")
        line, self.at = self.content[self.at : max(end, self.at)], end + 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = np.fromstring(line, dtype, sep=" ")
            except (DeprecationWarning, ValueError):
                raise DamagedError("a line that should hold numbers and does not") from None
        if len(found) != count:
            raise DamagedError(f"{len(found):,} numbers in a line that should hold {count:,}")
        return found

    def int32(self) -> int:
        return int(self.numbers("int32", 1)[0])

    def float64(self) -> float:
        return float(self.numbers("float64", 1)[0])

    def text(self, length: int) -> bytes:
        left = len(self.content) - self.at
        if not 0 <= length <= left:
            raise DamagedError(f"{length:,} bytes where {left:,} are left")
        start, self.at = self.at, self.at + length
        text = self.content[start : self.at]
        if length and self.content[self.at : self.at + 1] == b"\n":
            self.at += 1
        return text


class _Parser:
    def __init__(self, stream: _Stream) -> None:
        self.stream, self.known = stream, dict[int, Any]()
        self.objects_left = MAX_OBJECTS

    def root(self) -> Any:
        """The outermost object; objects within objects wait in a list, not in Python's stack."""
        waiting, result = [self._object()], None
        while waiting:
            try:
                waiting[-1].send(result)
            except StopIteration as end:
                waiting.pop()
                result = end.value
            else:
                if len(waiting) == MAX_DEPTH:
                    raise DamagedError(f"objects within objects, {MAX_DEPTH:,} deep")
                waiting.append(self._object())
                result = None
        return result

    def _longs(self, count: int) -> list[int]:
        numbers: list[int] = self.stream.numbers("int64", count).tolist()
        return numbers

    def _string(self) -> str:
        return bytes(self.stream.text(self.stream.int32())).decode("utf-8", "replace")

    def _object(self) -> Steps:
        self.objects_left -= 1
        if self.objects_left < 0:
            raise DamagedError(f"more than {MAX_OBJECTS:,} objects; no network has so many")
        kind = self.stream.int32()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            number = self.stream.float64()
            return int(number) if number.is_integer() else number
        if kind == _STRING:
            return self._string()
        if kind == _BOOLEAN:
            return self.stream.int32() != 0
        if kind == _FUNCTION:
            return (yield from self._function(TorchObject("function")))
        if kind not in (_TABLE, _TORCH, _INDEXED_7, _INDEXED_8):
            raise DamagedError(f"an object of unknown kind {kind}")
        index = self.stream.int32()
        if index in self.known:
            return self.known[index]
        return (yield from self._indexed(kind, index))

    def _indexed(self, kind: int, index: int) -> Steps:
        """An object that others may refer to, itself included: known before its parts are."""
        if kind == _TABLE:
            self.known[index] = table = Table()
            return (yield from self._table(table, self.stream.int32()))
        if kind != _TORCH:
            self.known[index] = function = TorchObject("function")
            return (yield from self._function(function))
        name = self._string()
        if name.startswith("V "):  # A version; files of before have the class at once.
            name = self._string()
        if array := _ARRAY_CLASS.fullmatch(name):
            dtype = _DTYPES[array[2] or "Float"]
            if array[2] is None and array[1] is None:
                raise DamagedError(f"an object of class {name}, which is abstract")
            if array[3] == "Storage":
                self.known[index] = self._storage(dtype)
            else:
                self.known[index] = yield from self._tensor(dtype)
            return self.known[index]
        self.known[index] = thing = TorchObject(name)
        if name in ("tds.Hash", "tds.Vec"):
            thing.fields = yield from self._tds(name)
        else:
            thing.fields = yield
        return thing

    def _table(self, table: Table, pairs: int) -> Steps:
        if pairs < 0:
            raise DamagedError(f"a table of {pairs} entries")
        for _ in range(pairs):
            key = yield
            table[key] = yield
        return table

    def _function(self, function: TorchObject) -> Steps:
        self.stream.text(self.stream.int32())  # Byte code, which is skipped.
        function.fields = Table(upvalues=(yield))
        return function

    def _tds(self, name: str) -> Steps:
        count = self.stream.int32()
        yield  # An allocator's note.
        if name == "tds.Hash":
            return (yield from self._table(Table(), count))
        table = Table()
        for index in range(1, count + 1):
            table[index] = yield
        return table

    def _storage(self, dtype: str) -> Tensor:
        (count,) = self._longs(1)
        # A copy: the file's bytes cannot be written to, which torch asks of its tensors.
        return torch.from_numpy(self.stream.numbers(dtype, count).astype(dtype))

    def _tensor(self, dtype: str) -> Steps:
        axes = self.stream.int32()
        if not 0 <= axes <= MAX_AXES:
            raise DamagedError(f"a tensor of {axes} axes")
        shape, strides = self._longs(axes), self._longs(axes)
        (offset,) = self._longs(1)
        storage = yield
        if storage is None or axes == 0:
            return torch.empty(0, dtype=getattr(torch, dtype))
        if not isinstance(storage, Tensor) or storage.dtype != getattr(torch, dtype):
            raise DamagedError("a tensor whose storage is something else")
        return _view(storage, shape, strides, offset - 1)


def _view(storage: Tensor, shape: list[int], strides: list[int], offset: int) -> Tensor:
    """A tensor over a storage, which it must not leave."""
    if min(*shape, *strides, offset) < 0:
        raise DamagedError(f"a tensor of shape {shape} with strides {strides} from {offset}")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if storage.ndim != 1 or (count and last >= len(storage)):
        raise DamagedError(
            f"a tensor that leaves its storage: number {last:,} of {storage.numel():,}"
        )
    if count > max(MAX_VIEW, len(storage)):
        raise DamagedError(f"a tensor of {count:,} numbers over a storage of {len(storage):,}")
    return storage.as_strided(shape, strides, offset if count else 0)


_PARAMETERS = ("weight", "bias", "running_mean", "running_var", "running_std")
_NETWORK_CLASSES = ("nn.", "cudnn.", "cunn.", "inn.", "nngraph.")
_DEEPEST_NAME = 64
"""Parts of a name. Networks have up to a dozen; a file could make names as long as itself."""


def named_tensors(root: Any) -> dict[str, Tensor]:
    """The tensors of an object by their places, numbered from 0 as PyTorch does: `0.2.weight`.

    Of modules these are parameters and running statistics, not outputs and gradients.
    """
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Tensor):
            found[".".join(place)] = value
        elif isinstance(value, Table | TorchObject) and id(value) not in seen:
            seen.add(id(value))
            if len(place) < _DEEPEST_NAME:
                waiting += [((*place, name), part) for name, part in reversed(_parts(value))]
    return found


def _parts(value: Table | TorchObject) -> list[tuple[str, Any]]:
    fields = value.fields if isinstance(value, TorchObject) else value
    if not isinstance(fields, Table):
        return [("value", fields)]
    if isinstance(value, TorchObject) and value.class_name.startswith(_NETWORK_CLASSES):
        own = [(name, fields[name]) for name in _PARAMETERS if name in fields]
        modules = fields.get("modules")
        return own + (_parts(modules) if isinstance(modules, Table) else [])
    numbered = sorted(key for key in fields if type(key) is int)
    named = [key for key in fields if isinstance(key, str)]
    return [(str(key - 1), fields[key]) for key in numbered] + [(k, fields[k]) for k in named]
