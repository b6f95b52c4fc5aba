"""Fingerprints of data, hashed once: a listing of names, sizes and times tells what has changed."""

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cebench.config import Recipe
from cebench.data.fingerprint import fingerprint_files
from cebench.data.listing import files_below
from cebench.errors import InputError
from cebench.files import sha256_of, write_atomically
from cebench.training.data_state import names_a_file

_STORE = "manifest.json"
_VOC_FOLDERS = (
    "JPEGImages",
    "Annotations",
    "ImageSets",
    "SegmentationClass",
    "SegmentationObject",
    "SegmentationClassAug",
)


class DataFingerprints:
    """Fingerprints of files and folders, kept in a file between runs."""

    def __init__(self, cache: Path, *, keep: bool = True) -> None:
        """cache: the file, in the suite's folder; keep: whether it is written."""
        self._cache, self._keep = cache, keep
        self._asked: dict[Path, str] = {}
        self.listings: dict[str, str] = {}
        """Hash of the listing of every path that was asked for."""

    def __call__(self, path: Path) -> str:
        """SHA-256 of the names and contents of the files below `path`; InputError if it is absent.

        Of a packed store its manifest stands for all. Of a VOC year the six folders of the devkit
        count, so that results which are stored beside them change nothing.
        """
        if not path.exists():
            raise InputError(f"{path}: no such data; correct the suite file")
        if path in self._asked:
            return self._asked[path]
        known = self._read()
        listing = listing_sha256(path)
        self.listings[str(path)] = listing
        entry = known.get(str(path), {})
        if entry.get("listing") != listing:
            entry = {"listing": listing, "content": _content_sha256(path)}
            if self._keep:
                write_atomically(self._cache, json.dumps({**known, str(path): entry}).encode())
        self._asked[path] = entry["content"]
        return entry["content"]

    def of_recipe(self, recipe: Recipe) -> dict[str, Any]:
        """The options that decide what a run leaves; what they name by path, by its content."""
        values = recipe.model_dump(mode="json", exclude=set(recipe.without_effect))
        return {name: self._of_value(value) for name, value in values.items()}

    def _of_value(self, value: Any) -> Any:
        is_folder = isinstance(value, str) and os.sep in value and Path(value).is_dir()
        return self(Path(value).resolve()) if is_folder or names_a_file(value) else value

    def watch(self, path: Path) -> None:
        """Note what `path` lists, so that a change is noticed; its content is known otherwise."""
        self.listings[str(path)] = listing_sha256(path)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            found = json.loads(self._cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def listing_sha256(path: Path) -> str:
    """Hash of the names, sizes and modification times of the files of `path`; "" if absent."""
    if not path.exists():
        return ""
    digest = hashlib.sha256()
    for file in _files(path):
        found = file.stat()
        digest.update(b"%s\0%d\0%d\n" % (os.fsencode(file), found.st_size, found.st_mtime_ns))
    return digest.hexdigest()


def _content_sha256(path: Path) -> str:
    if path.is_file():
        return sha256_of(path)
    return fingerprint_files(list(_files(path)), root=path)


def _files(path: Path) -> Iterator[Path]:
    """The files that count, hidden ones left out, in a fixed order."""
    if path.is_file():
        yield path
        return
    if (path / _STORE).is_file():
        yield path / _STORE
        return
    is_year = cache(lambda folder: (folder / "JPEGImages").is_dir())
    for file in files_below(path, lenient=True):
        parts = file.relative_to(path).parts
        above = (path.joinpath(*parts[:depth]) for depth in range(len(parts)))
        if all(
            name in _VOC_FOLDERS or not is_year(f) for f, name in zip(above, parts, strict=True)
        ):
            yield file
