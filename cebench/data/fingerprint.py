"""One hash for the content of many files."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cebench.errors import InputError
from cebench.files import sha256_of


def fingerprint_files(paths: Sequence[Path], root: Path | None = None) -> str:
    """SHA-256, as 64 hex digits, over the sorted pairs (name, SHA-256 of the content).

    Args:
        paths: files; their order does not matter.
        root: names are relative to this folder, which must hold all files, so that a copy of the
            data elsewhere has the same fingerprint. None: the bare file names.

    Raises:
        InputError: a file cannot be read.
    """
    names = [path.name if root is None else path.relative_to(root).as_posix() for path in paths]
    try:
        with ThreadPoolExecutor() as pool:  # hashlib releases the interpreter lock.
            contents = list(pool.map(sha256_of, paths))
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
    return fingerprint(names, contents)


def fingerprint(names: Sequence[str], contents: Sequence[str]) -> str:
    """SHA-256 over sorted (name, SHA-256 of content) pairs, as `fingerprint_files` makes it."""
    return _digest(sorted(_lines(names, contents)))


def ordered_fingerprint(names: Sequence[str], contents: Sequence[str]) -> str:
    """SHA-256 over the same pairs in the order given, for what knows files by their position."""
    return _digest(_lines(names, contents))


def _lines(names: Sequence[str], contents: Sequence[str]) -> list[str]:
    return [f"{name}\0{content}\n" for name, content in zip(names, contents, strict=True)]


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()
