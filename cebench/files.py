"""Writing files so that a reader sees the old content or the new, never a part."""

import contextlib
import csv
import fcntl
import glob
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from cebench.errors import InputError

_BREAKS_LINES = ("Cc", "Zl", "Zp", "Cs")
"""Categories of Unicode: control characters, separators of lines, and what is no character."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: temporary file beside it, fsync, rename, fsync of the folder."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    replace_atomically(path, write)


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file with one heading line, atomically."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    write_atomically(path, text.getvalue().encode())


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Heading of a CSV file in UTF-8, and its lines by the heading's names.

    Raises:
        ValueError: not such a file.
    """
    try:
        reader = csv.DictReader(StringIO(path.read_text(encoding="utf-8"), newline=""))
        return list(reader.fieldnames or ()), list(reader)
    except csv.Error as error:
        raise ValueError(str(error)) from None


def replace_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`; a failure leaves no trace.

    The file is flushed before the rename and the folder after it, so the new content is complete
    on the disk whenever the new name is.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            write(temporary)
        temporary.chmod(0o666 & ~_umask())  # safetensors would leave it to its owner alone
        with naming(path), temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Errors of the operating system within it name `path`: a full disk alone names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def check_writable(folder: Path, option: str = "--out") -> None:
    """InputError where `folder` cannot be written to, or not be made: told without writing."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not there.is_dir():
        what = "a file" if there.exists() else "a link that leads nowhere"
        where = "" if there == folder else f"{there} "
        raise InputError(f"{folder}: {where}is {what}; choose another {option}")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: cannot be written (Permission denied); choose another {option}"
        )


def check_writable_file(file: Path, example: str, option: str = "--out") -> None:
    """InputError where `file` is a folder or could not be written; example: a name for it."""
    if file.is_dir():
        raise InputError(f"{option} {file} is a folder; name a file, such as {file / example}")
    check_writable(file.parent, option)


@contextlib.contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make the folder `path` with those above it; if what follows fails, empty ones go again."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def walk(root: Path, *, lenient: bool = False) -> Iterator[tuple[Path, list[str], list[str]]]:
    """`os.walk` from the top: each folder, the names of those in it, the sorted names of its files.

    Links to folders are followed, but a folder is visited once; what is hidden below `root` is left
    out. OSError where a folder may not be read, unless `lenient`.
    """

    def refuse(error: OSError) -> None:
        if not lenient:
            raise error

    seen = set[str]()
    for place, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(place), folders, sorted(name for name in files if not name.startswith("."))


def is_locked(lock: Path) -> bool:
    """Whether a living process, here or on another machine, holds the `FileLock` of this path.

    It is opened for reading alone, so that another user's may be looked at; no, where it may not.
    """
    try:
        file = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


@contextlib.contextmanager
def readable_by_name(path: Path) -> Iterator[str]:
    """A name of the file for libraries that take UTF-8 alone; its own wherever that is UTF-8."""
    try:
        yield os.fspath(path).encode("utf-8").decode()
    except UnicodeEncodeError:
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"


def remove_temporaries(folder: Path) -> None:
    """Remove what `replace_atomically` left in and below a folder when it was killed.

    The caller must be the only one who writes there.
    """
    for path in folder.rglob(".*.tmp"):
        if path.is_file() and re.fullmatch(r"\..+\.\d+\.tmp", path.name):
            path.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what writers of `path` left beside it that were killed: their processes are gone."""
    for beside in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        number = beside.name.removeprefix(f".{path.name}.").removesuffix(".tmp")
        if number.isdecimal() and not is_running(int(number)):
            beside.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether a process of that number is there, anybody's."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # Somebody else's.
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def without_links(path: Path) -> Path:
    """The absolute path with links followed; what is in a circle of links stays as it is named.

    `Path.resolve` raises RuntimeError there, up to Python 3.12.
    """
    return Path(os.path.realpath(path))


def readable(path: Path | str) -> str:
    r"""A path as one line of text: bytes that are not UTF-8 appear as \xff, line breaks as \n."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if is_one_line(c) else c.encode("unicode_escape").decode() for c in text)


def is_one_line(text: str) -> bool:
    """Whether `text` can stand in a line of a table: all that programs print as names must."""
    return not any(unicodedata.category(character) in _BREAKS_LINES for character in text)


def check_one_line(text: str, option: str) -> str:
    """`text`, given as `option`; InputError unless it can stand in a line of a table."""
    if not is_one_line(text):
        raise InputError(
            f"{option} {text!r}: a name stands in one line of a table; leave out line breaks and "
            "other control characters"
        )
    return text


def read_utf8(path: Path) -> str:
    """The text of a file that a person wrote; InputError where it cannot be read or is no text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as such") from None


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
