"""Arrays of outcome files: integers in few bytes, checks that they fit, hashes."""

import hashlib
from typing import Any

import numpy as np


def narrow(values: np.ndarray) -> np.ndarray:
    """Not negative integers in as few bytes as they need."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def as_index(values: np.ndarray) -> np.ndarray:
    """Integers as int64; ValueError for other numbers."""
    check(values.dtype.kind in "ui", "an index")
    return values.astype(np.int64)


def is_below(values: np.ndarray, end: int) -> bool:
    """Whether `values` are integers from 0 to `end` - 1."""
    return values.dtype.kind in "ui" and bool(((values >= 0) & (values < end)).all())


def check(holds: Any, name: str) -> None:
    """ValueError that names an array unless `holds`."""
    if not holds:
        raise ValueError(f"{name} does not fit its images and classes")


def sha256_of(*arrays: np.ndarray) -> str:
    """Hash of the arrays' types, shapes and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
