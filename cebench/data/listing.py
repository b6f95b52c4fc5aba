"""The files below a folder, links followed without going round in circles."""

from collections.abc import Iterator
from pathlib import Path

from cebench.errors import InputError
from cebench.files import without_links


def files_below(root: Path, *, lenient: bool = False) -> Iterator[Path]:
    """Every file below the folder `root` that is not hidden, links followed.

    Raises:
        InputError: a link leads nowhere or back to a folder above it.
        OSError: a folder is absent or cannot be read.
        If `lenient`, all of these are passed over.
    """
    pending = [(root, frozenset({without_links(root)}))]
    while pending:
        folder, above = pending.pop()
        for entry in _entries(folder, lenient):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                real = entry.resolve()
                if real not in above:
                    pending.append((entry, above | {real}))
                elif not lenient:
                    raise InputError(f"{entry}: the link leads back to {real}; remove it")
            elif entry.is_file():
                yield entry
            elif entry.is_symlink() and not lenient:
                raise InputError(f"{entry}: the link leads nowhere; mend or remove it")


def _entries(folder: Path, lenient: bool) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        if lenient:
            return []
        raise
