"""What a packed store is on the disk, and whether it is whole.

A store is a folder of images that were decoded once:

    pixels.bin       uint8, image after image, each in row, column, RGB order
    signatures.bin   float16, SIGNATURE_VALUES per image: by its looks a photo is known again
    images.jsonl     first what the store was made from, then a line for each photo, in order
    skipped.csv      the photos that could not be read, and why; where there are any
    manifest.json    size and SHA-256 of the others; written last: its existence means it is done
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cebench.data.photos import Photo
from cebench.errors import InputError

PIXELS, SIGNATURES, IMAGES = "pixels.bin", "signatures.bin", "images.jsonl"
SKIPPED, MANIFEST = "skipped.csv", "manifest.json"
SCHEMA: Literal[1] = 1

_STRICT = ConfigDict(extra="forbid")
_BLOCK = 2**24


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Origin:
    """Sources and options of a store; two that differ never share a folder."""

    sources: tuple[str, ...]
    short_side: int | None
    """Pixels of the shorter side; None: as the files have them."""
    voc_image_set: str


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Listing:
    """First line of images.jsonl."""

    origin: Origin
    decoder: str
    """Such as "Pillow 13.0.0": another decoder may round pixels differently."""
    photos: int
    names_sha256: str
    """SHA-256 of the names of all photos that were found."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class FileFacts:
    """One file of a store."""

    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Manifest:
    """Content of manifest.json, which describes a packed store."""

    schema: Literal[1] = SCHEMA
    listing: Listing
    images: int
    skipped: int
    files: dict[str, FileFacts]


def is_store(path: Path) -> bool:
    """Whether `path` is a packed store, finished or not."""
    return (path / IMAGES).is_file() and (path / PIXELS).is_file()


def read_manifest(path: Path) -> Manifest:
    """The manifest of the store `path`.

    Raises:
        InputError: unfinished, unreadable, or a file of it is absent or has another size.
    """
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
        manifest = TypeAdapter(Manifest).validate_json(text)
    except FileNotFoundError:
        raise InputError(
            f"{path}: an unfinished store; run its `cebench data prepare` again to complete it"
        ) from None
    except (OSError, UnicodeDecodeError, ValidationError):
        raise InputError(
            f"{path / MANIFEST}: unreadable; remove {path} and prepare it anew"
        ) from None
    for name, facts in manifest.files.items():
        file = path / name
        size = file.stat().st_size if file.is_file() else None
        if size != facts.bytes:
            found = "is absent" if size is None else f"has {size} bytes"
            raise InputError(
                f"{file} {found}, the manifest says {facts.bytes}; remove {path} and prepare anew"
            )
    return manifest


def names_sha256(photos: Sequence[Photo]) -> str:
    """SHA-256 of the names of photos, as hexadecimal."""
    names = "\n".join(photo.name for photo in photos)
    return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()


def check_same_photos(path: Path, manifest: Manifest, photos: Sequence[Photo]) -> None:
    """InputError where the sources of the finished store `path` now hold other photos.

    Only files that were touched since it was finished are read.
    """
    names_changed = names_sha256(photos) != manifest.listing.names_sha256
    changed = "other names" if names_changed else _first_changed(path, photos)
    if changed:
        raise InputError(
            f"{path}: its sources changed since it was made ({changed}); remove it and prepare anew"
        )


def _first_changed(path: Path, photos: Sequence[Photo]) -> Path | None:
    lines = (path / IMAGES).read_bytes().splitlines()[1:]
    changed = changed_photos(lines, photos, (path / MANIFEST).stat().st_mtime)
    return next((photos[i].shown for i in changed if "sha256" in json.loads(lines[i])), None)


def changed_photos(lines: Sequence[bytes], photos: Sequence[Photo], since: float) -> Iterator[int]:
    """Places of the photos that are not, or no longer, what the `lines` of a store say of them.

    Only those touched at the time `since` or later are read. One that could not be read counts.
    """
    for place, (line, photo) in enumerate(zip(lines, photos, strict=False)):
        touched = photo.path.stat().st_ctime >= since
        if touched and json.loads(line).get("sha256") != photo.sha256():
            yield place


def damaged_files(path: Path, report: Callable[[int, int], None]) -> list[str]:
    """A line for each file of the store whose content is not what was written.

    report: called with (bytes read, bytes in all).
    """
    manifest = read_manifest(path)
    total = sum(facts.bytes for facts in manifest.files.values())
    done, problems = 0, []
    for name, facts in manifest.files.items():
        digest = hashlib.sha256()
        with (path / name).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                done += len(block)
                report(done, total)
        if digest.hexdigest() != facts.sha256:
            problems.append(f"{name}: SHA-256 differs from the manifest's; prepare the store anew")
    return problems
