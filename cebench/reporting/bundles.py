"""Bundles: a zip file of runs whose numbers anyone can score again, without the photographs.

`bundle.json` holds the SHA-256 of every other file, the archive's comment that of all bytes before
it. Nothing is ever unpacked to the disk.
"""

import functools
import hashlib
import io
import json
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cebench.errors import InputError
from cebench.files import remove_leftovers, write_atomically
from cebench.reporting.records import Record, load_record_content

SCHEMA = 1
MANIFEST = "bundle.json"
MAX_BYTES = 512 * 2**20
"""Greatest size of a bundle, and of all its files together when unpacked."""
MAX_FILES = 20_000
_MANIFEST_BYTES = 400
"""More than the manifest has for each file: its name and its hash."""
_NAME = re.compile(
    r"bundle\.json"
    r"|records/[\w.+-]{1,200}\.json"
    r"|outcomes/[\w.+-]{1,200}\.safetensors"
    r"|recipes/[\w.+-]{1,200}\.toml"
    r"|weights/[\w.+-]{1,200}\.json",
    re.ASCII,
)
_LATEST = (1980, 1, 1, 0, 0, 0)
"""Every file's time: equal runs give equal bytes."""
_DIGITS = 64
_DAMAGE = (zipfile.BadZipFile, ValueError, NotImplementedError, OSError)
"""What the standard library says of damaged archives."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that is safe to read; its files may still be damaged."""

    path: Path
    content: bytes
    names: tuple[str, ...]
    """Its files but for `bundle.json`, in order."""

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(self.content))

    @functools.cached_property
    def _hashes(self) -> Mapping[str, str]:
        return _manifest(self.path, self._member(MANIFEST), self.names)

    @property
    def records(self) -> list[str]:
        """Names of the records, without folder and ending."""
        return [Path(name).stem for name in self.names if name.startswith("records/")]

    def read(self, name: str) -> bytes:
        """A file's checked content; InputError if it is damaged."""
        content = self._member(name)
        if hashlib.sha256(content).hexdigest() != self._hashes[name]:
            raise InputError(
                f"{self.path}: {name} is damaged or edited: its SHA-256 is not the one in "
                f"{MANIFEST}; get the bundle again"
            )
        return content

    def record(self, stem: str) -> Record:
        """The record of that name."""
        name = f"records/{stem}.json"
        return load_record_content(self.read(name), self.path / name)

    def check_digest(self) -> None:
        """InputError unless every byte is the one that was written."""
        digest = hashlib.sha256(self.content[:-_DIGITS]).hexdigest().encode()
        if self.content[-_DIGITS:] != digest:
            raise InputError(
                f"{self.path}: changed since `cebench pack` wrote it: its last {_DIGITS} "
                "characters are not the SHA-256 of the bytes before them; get the bundle again"
            )

    def _member(self, name: str) -> bytes:
        try:
            with self._archive.open(name) as file:
                return file.read(MAX_BYTES)
        except (*_DAMAGE, KeyError, EOFError, zlib.error) as error:
            raise InputError(f"{self.path}: {name} is damaged ({error})") from None


def open_bundle(path: Path) -> Bundle:
    """The bundle in `path`; InputError if it is none, or not safe to read."""
    if not path.is_file():
        raise InputError(f"{path}: no such bundle; expected a file that `cebench pack` wrote")
    state = path.stat()
    if state.st_size > MAX_BYTES:
        raise InputError(f"{path}: over {MAX_BYTES // 2**20} MiB: no bundle of cebench")
    return _opened(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _opened(path: Path, _modified: int, _size: int) -> Bundle:
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = archive.infolist()
    except _DAMAGE as error:
        raise InputError(f"{path}: no zip file, or damaged ({error})") from None
    if len(files) > MAX_FILES:
        raise InputError(f"{path}: {len(files)} files; a bundle has at most {MAX_FILES}")
    for file in files:
        _check_file(path, file)
    names = [file.filename for file in files]
    doubled = next((name for name, count in Counter(names).items() if count > 1), None)
    if doubled is not None:
        raise InputError(f"{path}: holds {doubled} twice; a bundle has every file once")
    if MANIFEST not in names:
        raise InputError(f"{path}: holds no {MANIFEST}; expected a bundle of `cebench pack`")
    total = sum(file.file_size for file in files)
    if total > MAX_BYTES:
        raise InputError(
            f"{path}: {total / 2**20:,.0f} MiB when unpacked; a bundle has at most "
            f"{MAX_BYTES // 2**20}"
        )
    return Bundle(path, content, tuple(sorted(name for name in names if name != MANIFEST)))


def check_size(path: Path, files: Mapping[str, bytes]) -> None:
    """InputError where a bundle of `files` would be larger than those that are read."""
    total = sum(map(len, files.values())) + _MANIFEST_BYTES * (1 + len(files))
    if len(files) >= MAX_FILES or total > MAX_BYTES:
        raise InputError(
            f"{path}: {len(files):,} files of {total / 2**20:,.0f} MiB; a bundle has at most "
            f"{MAX_FILES:,} of {MAX_BYTES // 2**20}: pack fewer runs into each"
        )


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle of `files` (name -> content) atomically; equal files give equal bytes."""
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    manifest = json.dumps({"schema": SCHEMA, "files": hashes}, indent=1).encode() + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in {MANIFEST: manifest, **{n: files[n] for n in hashes}}.items():
            entry = zipfile.ZipInfo(name, _LATEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
        archive.comment = b"cebench bundle, SHA-256 of all before: " + b"0" * _DIGITS
    written = buffer.getvalue()[:-_DIGITS]
    remove_leftovers(path)
    write_atomically(path, written + hashlib.sha256(written).hexdigest().encode())


def bundle_around(path: Path) -> Path | None:
    """The bundle that `path`, as `X.zip/records/NAME.json`, lies in, or None for a real path."""
    return next((parent for parent in path.parents if parent.is_file()), None)


def _check_file(path: Path, file: zipfile.ZipInfo) -> None:
    """InputError for a file that no bundle has: another place, a link, a bomb."""
    kind = stat.S_IFMT(file.external_attr >> 16)
    if not _NAME.fullmatch(file.filename):
        raise InputError(
            f"{path}: holds {file.filename!r}; a bundle holds records/, outcomes/, recipes/ and "
            "weights/ alone"
        )
    if kind not in (0, stat.S_IFREG):
        raise InputError(f"{path}: {file.filename} is a link or no file; not read")
    if file.flag_bits & 1:
        raise InputError(f"{path}: {file.filename} is encrypted; not read")
    if file.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path}: {file.filename} is packed in a way that bundles do not use")


def _manifest(path: Path, content: bytes, names: tuple[str, ...]) -> dict[str, str]:
    try:
        stated: dict[str, Any] = json.loads(content)
        schema, hashes = stated["schema"], dict(stated["files"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: {MANIFEST} is damaged ({error}); get the bundle again") from None
    if schema != SCHEMA:
        raise InputError(f"{path}: a bundle of schema {schema!r}, expected {SCHEMA}")
    other = {*names} ^ {*hashes}
    if other:
        raise InputError(
            f"{path}: {MANIFEST} and the archive differ in {min(other)}; get the bundle again"
        )
    return {str(name): str(value) for name, value in hashes.items()}
