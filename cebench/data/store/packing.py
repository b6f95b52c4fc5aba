"""Makes a packed store: every photo decoded once, in a fixed order, by all processors.

Killed at any moment and repeated, it ends with the same bytes: pixels reach the disk before the
lines of images.jsonl that speak of them, and what no line speaks of is cut off and done again.
"""

import json
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import PIL
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from cebench.data.images import image_size, open_resized
from cebench.data.overlap import SIGNATURE_VALUES, identity
from cebench.data.photos import Photo, find_photos
from cebench.data.specks import is_speck, specks_warning
from cebench.data.store.manifest import (
    IMAGES,
    MANIFEST,
    PIXELS,
    SIGNATURES,
    SKIPPED,
    FileFacts,
    Listing,
    Manifest,
    Origin,
    changed_photos,
    check_same_photos,
    names_sha256,
    read_manifest,
)
from cebench.errors import CebenchError, InputError
from cebench.files import naming, readable, sha256_of, without_links, write_atomically, write_csv

_PHOTOS_PER_COMMIT = 128
_SIGNATURE_BYTES = 2 * SIGNATURE_VALUES
_LOCK = "store.lock"

logger = logging.getLogger("cebench")

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Packed:
    """One photo as the store keeps it."""

    row: dict[str, Any]
    """Its line of images.jsonl: name and problem, or name, category, size and identity."""
    pixels: bytes = b""
    signature: bytes = b""
    speck: tuple[PurePath, tuple[int, int]] | None = None
    """Which photo it is and its (width, height), where it was enlarged to a blur."""


def prepare_store(
    sources: Sequence[Path],
    out: Path,
    *,
    short_side: int | None,
    voc_image_set: str = "train",
    skip_bad: bool = False,
    workers: int = 1,
    report: Report = lambda done, total: None,
) -> Manifest:
    """Pack the photos of `sources` into the folder `out`, or go on where a former call ended.

    Args:
        sources: see `find_photos`.
        out: new, empty, or a store of the same origin; a finished one is returned as it is, unless
            its sources are there and changed.
        short_side: see `open_resized`; None keeps the sizes.
        voc_image_set: see `find_photos`.
        skip_bad: list unreadable photos in skipped.csv; otherwise the first one ends the work.
        workers: number of processes that decode.
        report: called with (photos done, photos in all).

    Raises:
        InputError: a source or a photo is bad, or `out` holds something else.
        CebenchError: the disk is full or `out` cannot be written.
    """
    paths = tuple(readable(without_links(source)) for source in sources)
    origin = Origin(sources=paths, short_side=short_side, voc_image_set=voc_image_set)
    if (out / MANIFEST).is_file():
        manifest = read_manifest(out)
        _require_same(out, asdict(manifest.listing.origin), asdict(origin))
        if all(source.exists() for source in sources):
            check_same_photos(out, manifest, find_photos(sources, voc_image_set))
    else:
        photos = find_photos(sources, voc_image_set)
        manifest = _locked(out, partial(_pack, out, origin, photos, skip_bad, workers, report))
    if manifest.skipped and not skip_bad:
        raise InputError(
            f"{out} lacks {manifest.skipped} unreadable images, listed in {out / SKIPPED}; accept "
            "that with --on-bad-image skip, or mend them and prepare a new store"
        )
    return manifest


def check_out(out: Path) -> None:
    """InputError where `out` holds other files than a store, or one that was begun."""
    taken = out.is_file() or (out.is_dir() and any(entry.name != _LOCK for entry in out.iterdir()))
    if taken and not (out / IMAGES).exists():
        raise InputError(f"{out}: holds files but no store; choose an empty or new --out")


def _locked(out: Path, work: Callable[[], Manifest]) -> Manifest:
    try:
        check_out(out)
        out.mkdir(parents=True, exist_ok=True)
        with FileLock(out / _LOCK, blocking=False):
            manifest = work()
            (out / _LOCK).unlink(missing_ok=True)
        return manifest
    except Timeout:
        raise InputError(f"{out}: another process is writing this store; wait for it") from None
    except OSError as error:
        raise CebenchError(
            f"cannot write {error.filename or out}: {error.strerror or error}; when that is "
            "mended, run the same command again"
        ) from error


def _pack(
    out: Path, origin: Origin, photos: list[Photo], skip_bad: bool, workers: int, report: Report
) -> Manifest:
    listing = Listing(
        origin=origin,
        decoder=f"Pillow {PIL.__version__}",
        photos=len(photos),
        names_sha256=names_sha256(photos),
    )
    done = _resume(out, listing, photos)
    report(done, len(photos))
    with closing(_decoded(photos[done:], origin.short_side, workers)) as decoded:
        checked = _checked(decoded, skip_bad, origin.short_side)
        _append(out, checked, done, len(photos), report)
    return _finish(out, listing)


def _resume(out: Path, listing: Listing, photos: Sequence[Photo]) -> int:
    """Cut the files of an interrupted call to what is certain; how many photos that is."""
    if not (out / IMAGES).exists():
        write_atomically(out / IMAGES, _line(asdict(listing)))
    first, *lines = (out / IMAGES).read_bytes().splitlines(keepends=True) or [b""]
    try:
        theirs = TypeAdapter(Listing).validate_json(first)
    except ValidationError:
        raise InputError(f"{out / IMAGES}: of no store; choose an empty or new --out") from None
    _require_same(out, asdict(theirs.origin), asdict(listing.origin))
    if theirs != listing:
        raise InputError(
            f"{out}: its sources or Pillow changed since it was begun; remove it and start anew"
        )
    rows = list(_complete(lines))
    since = (out / IMAGES).stat().st_mtime
    rows = rows[: next(changed_photos(lines[: len(rows)], photos, since), len(rows))]
    read = [row for row in rows if "problem" not in row]
    _cut(out / IMAGES, len(first) + sum(len(line) for line in lines[: len(rows)]))
    _cut(out / PIXELS, sum(3 * row["height"] * row["width"] for row in read))
    _cut(out / SIGNATURES, _SIGNATURE_BYTES * len(read))
    return len(rows)


def _require_same(out: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for key, value in ours.items():
        if theirs[key] != value:
            raise InputError(
                f"{out}: a store with {key} {theirs[key]!r}, not {value!r}; choose another --out "
                "or remove it"
            )


def _complete(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The photos of the lines before the first that a kill or a power cut spoiled."""
    for line in lines:
        if not line.endswith(b"\n"):
            return
        try:
            yield json.loads(line)
        except ValueError:
            return


def _cut(path: Path, size: int) -> None:
    with path.open("ab") as file:
        if file.tell() < size:
            raise InputError(f"{path} lost its end; remove {path.parent} and start anew")
        file.truncate(size)


def _checked(decoded: Iterable[Packed], skip_bad: bool, short_side: int | None) -> Iterator[Packed]:
    """The photos; InputError at a bad one unless it is skipped, in the end a warning of specks."""
    count, specks = 0, []
    for packed in decoded:
        if "problem" in packed.row and not skip_bad:
            raise InputError(f"{packed.row['problem']}, or leave it out: --on-bad-image skip")
        yield packed
        count += 1
        specks += [packed.speck] if packed.speck else []
    if specks and short_side:
        logger.warning(specks_warning(len(specks), count, *specks[0], short_side))


def _append(out: Path, decoded: Iterable[Packed], done: int, total: int, report: Report) -> None:
    with (
        _appending(out / PIXELS) as pixels,
        _appending(out / SIGNATURES) as signatures,
        _appending(out / IMAGES) as images,
    ):
        lines: list[bytes] = []
        for packed in decoded:
            _write(pixels, packed.pixels)
            _write(signatures, packed.signature)
            lines.append(_line(packed.row))
            done += 1
            if done == total or len(lines) == _PHOTOS_PER_COMMIT:
                _to_disk(pixels)
                _to_disk(signatures)
                _write(images, b"".join(lines))
                _to_disk(images)
                lines = []
            report(done, total)


@contextmanager
def _appending(path: Path) -> Iterator[BinaryIO]:
    # Closing a file writes what a full disk refused once more.
    with naming(path), path.open("ab") as file:
        yield file


def _write(file: BinaryIO, content: bytes) -> None:
    with naming(Path(file.name)):
        file.write(content)


def _to_disk(file: BinaryIO) -> None:
    with naming(Path(file.name)):
        file.flush()
        os.fsync(file.fileno())


def _finish(out: Path, listing: Listing) -> Manifest:
    rows = [json.loads(line) for line in (out / IMAGES).read_bytes().splitlines()[1:]]
    skipped = [(row["name"], row["problem"]) for row in rows if "problem" in row]
    names = [PIXELS, SIGNATURES, IMAGES]
    (out / SKIPPED).unlink(missing_ok=True)
    if skipped:
        write_csv(out / SKIPPED, ("name", "reason"), skipped)
        names.append(SKIPPED)
    if len(skipped) == len(rows):
        raise InputError(f"no image could be read; {out / SKIPPED} says why")
    manifest = Manifest(
        listing=listing,
        images=len(rows) - len(skipped),
        skipped=len(skipped),
        files={
            name: FileFacts(bytes=(out / name).stat().st_size, sha256=sha256_of(out / name))
            for name in names
        },
    )
    write_atomically(out / MANIFEST, TypeAdapter(Manifest).dump_json(manifest, indent=2) + b"\n")
    return manifest


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def pack_photo(photo: Photo, short_side: int | None) -> Packed:
    """Decode one photo; a bad one becomes a row with a problem."""
    try:
        content = photo.read()
        image = open_resized(photo.shown, short_side, upright=photo.upright, content=content)
        voc_id, sha256, signature = identity(photo, content)
        size = image_size(photo.shown, upright=photo.upright, content=content)
    except InputError as error:
        return Packed({"name": photo.name, "problem": str(error)})
    row = {
        "name": photo.name,
        "category": photo.category,
        "height": image.height,
        "width": image.width,
        "sha256": sha256,
        "voc_id": voc_id,
    }
    speck = (photo.shown, size) if short_side and is_speck(size, short_side) else None
    return Packed(row, image.tobytes(), signature.tobytes(), speck)


def _pack_photos(photos: Sequence[Photo], short_side: int | None) -> list[Packed]:
    return [pack_photo(photo, short_side) for photo in photos]


def _decoded(
    photos: Sequence[Photo], short_side: int | None, workers: int
) -> Generator[Packed, None, None]:
    """The photos in their order, decoded by `workers` processes that stay a little ahead."""
    if workers == 1:
        yield from (pack_photo(photo, short_side) for photo in photos)
        return
    size = 1 if short_side is None else 8  # full-size photos are large
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_follow_parent)
    ahead: deque[Future[list[Packed]]] = deque()
    try:
        for start in range(0, len(photos), size):
            ahead.append(pool.submit(_pack_photos, photos[start : start + size], short_side))
            if len(ahead) > 2 * workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    except BrokenProcessPool as error:
        raise CebenchError(
            "a decoding process died, perhaps for lack of memory; run the same command again with "
            "fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when the parent does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_exit_after, args=(parent.sentinel,), daemon=True).start()


def _exit_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
