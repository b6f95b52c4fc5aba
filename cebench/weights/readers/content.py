"""The bytes of a weights file, and what is wrong with those that are no weights at all."""

from pathlib import Path

from cebench.errors import InputError

_OTHER_CONTENT = (
    (b"<!doctype", "a web page, so the download failed; open the address in a browser and look"),
    (b"<html", "a web page, so the download failed; open the address in a browser and look"),
    (b"<?xml", "an XML document, so the download failed; open the address in a browser and look"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (b"{", "JSON; give the file of tensors; join the parts of a sharded checkpoint into one first"),
    (b"\x89hdf", "an HDF5 file; load it in the program that wrote it and save it otherwise"),
    (b"\x1f\x8b", "compressed by gzip; unpack it first"),
    (b"bzh", "compressed by bzip2; unpack it first"),
    (b"\xfd7zxz", "compressed by xz; unpack it first"),
)
"""How files begin that often stand under the name of a weights file, in lower case."""


class DamagedError(ValueError):
    """What a reader found in the bytes of a file that cannot be; readers add the file's name."""


def check_is_weights_file(file: Path) -> None:
    """InputError where `file` is absent, empty or plainly something else, such as a web page."""
    if not file.is_file():
        what = "is a folder; give the file of tensors in it" if file.is_dir() else "no such file"
        raise InputError(f"{file}: {what}")
    try:
        with file.open("rb") as opened:
            start = opened.read(64).lstrip().lower()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    if not start:
        raise InputError(f"{file}: is empty; copy or download it again")
    for beginning, what in _OTHER_CONTENT:
        if start.startswith(beginning):
            raise InputError(f"{file}: is {what}")
