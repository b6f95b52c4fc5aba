"""Matrices in structs of MATLAB 5 files, read within bounds.

scipy's reader follows nested cells on the C stack: a file of 10 kB with 5,000 of them ends the
process. Here nothing recurses, what is not asked for is stepped over, and all compressed parts of a
file together unpack to no more than LIMIT bytes.

Source: MathWorks, MAT-File Format, chapter 1 (level 5).
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

LIMIT = 1 << 24
"""Bytes of a file, and of all its variables unpacked."""

_HEADER = 128
_BYTE_ORDERS = {b"IM": "<", b"MI": ">"}
_INT8, _UINT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 2, 5, 6, 14, 15
_STRUCT_CLASS, _UINT8_CLASS = 2, 9

_DEEPEST = 4
_LARGEST = 1 << 30
"""Bytes that all compressed parts of a file for scipy unpack to: 500 MB are VOC2007's proposals."""

Element = tuple[int, memoryview]
"""Its type and its bytes."""


def uint8_matrix(content: bytes, variable: str, field: str) -> np.ndarray:
    """The matrix `field` of the 1 x 1 struct `variable`, (rows, columns) uint8.

    Args:
        content: a MATLAB 5 file, compressed or not.
        variable: name of the struct.
        field: name of its field.

    Raises:
        ValueError: the file is damaged, larger than LIMIT as it is or unpacked, or holds something
            else.
    """
    if len(content) > LIMIT:
        raise ValueError(f"has more than {LIMIT >> 20} MiB")
    order, unpack = _byte_order(content), _Unpacker(LIMIT)
    for kind, data in _elements(memoryview(content)[_HEADER:], order):
        if kind == _COMPRESSED:
            kind, data = next(_elements(unpack(data), order), (0, data))
        if kind == _MATRIX:
            array_class, shape, name, values = _matrix(data, order)
            if name == variable:
                _expect(array_class == _STRUCT_CLASS and shape == (1, 1), f"{variable} is a struct")
                return _uint8(_field(values, field, order), order)
    raise ValueError(f"has no {variable}")


def check_nesting(content: bytes) -> None:
    """ValueError where arrays lie in arrays so deep that scipy's reader might end the process.

    Or where the file unpacks to more than 1 GiB. One variable after the other is unpacked and
    dropped again.

    content: a MATLAB 5 file. Of older forms, which cannot nest, and of 7.3 (HDF5), which scipy
        does not read, nothing is asked.
    """
    version = content[_HEADER - 4 : _HEADER - 2]
    if content[_HEADER - 2 : _HEADER] not in _BYTE_ORDERS or 2 in version:
        return
    order, unpack = _byte_order(content), _Unpacker(_LARGEST)
    path = [_elements(memoryview(content)[_HEADER:], order)]
    while path:
        element = next(path[-1], None)
        if element is None:
            path.pop()
        elif element[0] in (_COMPRESSED, _MATRIX):
            kind, part = element
            _expect(len(path) <= _DEEPEST, f"its arrays lie at most {_DEEPEST} deep in each other")
            path.append(_elements(unpack(part) if kind == _COMPRESSED else part, order))


def _byte_order(content: bytes) -> str:
    order = _BYTE_ORDERS.get(content[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("is no MATLAB 5 file")
    return order


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """The elements that lie one behind the other in `data`."""
    position = 0
    while position < len(data):
        _expect(position + 8 <= len(data), "its last element is whole")
        kind, size = struct.unpack_from(f"{order}II", data, position)
        start = position + 8
        if kind >> 16:  # The small format: both in the first four bytes, the data in the next.
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
            position += 8
            _expect(size <= 4, "small elements have up to 4 bytes")
        else:
            position = start + size + (0 if kind == _COMPRESSED else -size % 8)
        _expect(start + size <= len(data), "its elements are whole")
        yield kind, data[start : start + size]


class _Unpacker:
    """Unpacks the compressed parts of one file, which together may have `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit

    def __call__(self, data: memoryview) -> memoryview:
        unpacker = zlib.decompressobj()
        try:
            # 0 would mean without limit.
            unpacked = unpacker.decompress(data, max(self.left, 1))
        except zlib.error as error:
            raise ValueError("is damaged in its compressed part") from error
        self.left -= len(unpacked)
        whole = unpacker.eof and self.left >= 0
        _expect(whole, f"its compressed parts are whole and below {self.limit >> 20} MiB in all")
        return memoryview(unpacked)


def _matrix(data: memoryview, order: str) -> tuple[int, tuple[int, ...], str, Iterator[Element]]:
    """Class, shape and name of an array, and the elements of its values."""
    elements = _elements(data, order)
    flags, shape, name = (_take(elements, kind) for kind in (_UINT32, _INT32, _INT8))
    _expect(len(flags) == 8 and len(shape) % 4 == 0, "its arrays have flags and a shape")
    (array_class,) = struct.unpack_from(f"{order}I", flags)
    sizes = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    return array_class & 0xFF, sizes, bytes(name).decode("ascii", "replace"), elements


def _field(values: Iterator[Element], field: str, order: str) -> memoryview:
    """The array `field` of a 1 x 1 struct."""
    length_bytes, names = _take(values, _INT32), bytes(_take(values, _INT8))
    _expect(len(length_bytes) == 4, "its structs name their fields")
    (length,) = struct.unpack(f"{order}i", length_bytes)
    _expect(length > 0, "its structs name their fields")
    for start in range(0, len(names), length):
        array = _take(values, _MATRIX)
        if names[start : start + length].rstrip(b"\0") == field.encode():
            return array
    raise ValueError(f"has no field {field}")


def _uint8(array: memoryview, order: str) -> np.ndarray:
    array_class, shape, _, values = _matrix(array, order)
    _expect(array_class == _UINT8_CLASS and len(shape) == 2, "it is a matrix of uint8")
    data = _take(values, _UINT8)
    rows, columns = shape
    _expect(min(shape) > 0 and rows * columns == len(data), "it has as many values as its shape")
    return np.frombuffer(data, dtype=np.uint8).reshape(columns, rows).T.copy()


def _take(elements: Iterator[Element], kind: int) -> memoryview:
    found, data = next(elements, (0, memoryview(b"")))
    _expect(found == kind, f"an element of type {kind} stands where type {found} does")
    return data


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"is damaged or something else: expected that {what}")
