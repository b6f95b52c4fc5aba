"""Protocol Buffers' wire format, read within bounds: what .caffemodel files are written in.

Source: protobuf.dev, "Encoding". A message is a row of fields, each a number with a kind of value.
"""

from collections.abc import Iterator

import numpy as np

from cebench.weights.readers.content import DamagedError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 1_000_000
"""Largest number of fields of a file: a net has thousands, a million take minutes."""

Value = int | memoryview
Field = tuple[int, int, Value]
"""Number of a field, kind, and value: an integer for VARINT, otherwise bytes."""


class WireReader:
    """Fields of the messages of one file; DamagedError beyond MAX_FIELDS of them."""

    def __init__(self) -> None:
        self.fields_left = MAX_FIELDS

    def fields(self, message: memoryview) -> Iterator[Field]:
        """The fields of one message, in order.

        A row of fixed-width fields of one number, which is how lists of floats were written once,
        is one field with the bytes of all its values.
        """
        at = 0
        while at < len(message):
            self.fields_left -= 1
            if self.fields_left < 0:
                raise DamagedError(f"more than {MAX_FIELDS:,} fields; no net has so many")
            start = at
            key, at = varint(message, at)
            number, kind = key >> 3, key & 7
            value: Value
            if kind == VARINT:
                value, at = varint(message, at)
            elif kind == BYTES:
                length, at = varint(message, at)
                value, at = _part(message, at, length), at + length
            elif kind in (FIXED32, FIXED64):
                width = 4 if kind == FIXED32 else 8
                _part(message, at, width)
                value, at = _fixed_width_values(message, start, at - start, width)
            else:
                raise DamagedError(f"a field of unknown kind {kind}")
            if number == 0:
                raise DamagedError("a field with the number 0")
            yield number, kind, value


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """An unsigned integer of 7 bits a byte, and where it ends."""
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise DamagedError("a number that does not end")


def _part(message: memoryview, at: int, length: int) -> memoryview:
    if length > len(message) - at:
        raise DamagedError(
            f"a field of {length:,} bytes where {len(message) - at:,} are left; it is truncated "
            "or damaged"
        )
    return message[at : at + length]


def _fixed_width_values(
    message: memoryview, start: int, key_width: int, width: int
) -> tuple[memoryview, int]:
    """The values of all fields from `start` on that repeat its key, and where they end."""
    row = key_width + width
    key = message[start : start + key_width]
    if message[start + row : start + row + key_width] != key:  # The usual case, and fast.
        return message[start + key_width : start + row], start + row
    content = np.frombuffer(message, np.uint8)[start:]
    rows = content[: len(content) // row * row].reshape(-1, row)
    keys = rows[:, :key_width]
    count, step = 1, 16
    while count < len(rows):
        same = (keys[count : count + step] == np.frombuffer(key, np.uint8)).all(1)
        count += len(same) if same.all() else int(same.argmin())
        if not same.all():
            break
        step *= 2
    return memoryview(rows[:count, key_width:].tobytes()), start + count * row
