"""Which training photos show a held-out photo under another name.

VOC2012 contains photos of VOC2007 (2007_000032 is VOC2007's 000032), and image collections from
the web contain copies of each other's photos at other sizes and qualities.
"""

import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cebench.data.images import open_rgb
from cebench.data.photos import Photo
from cebench.files import sha256_of

SAME_PHOTO_CORRELATION = 0.95
"""Copies at half the size and JPEG quality 40 keep 0.965; of fifteen million pairs of distinct VOC
and ImageNet photos none reaches 0.88."""

_CELLS = 16
SIGNATURE_VALUES = 2 * _CELLS**2
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class PhotoIdentities:
    """All by which N photos are recognised; kept in a packed store, it stands for their files."""

    voc_ids: Sequence[str]
    """Such as 2007_000032; "" for other photos."""
    sha256: Sequence[str]
    """SHA-256 of each file's content."""
    signatures: np.ndarray
    """(N, SIGNATURE_VALUES) float16, see `difference_signature`."""

    def __len__(self) -> int:
        return len(self.sha256)

    def select(self, index: Sequence[int]) -> "PhotoIdentities":
        """The identities of the photos `index`, in that order."""
        voc_ids, sha256 = ([words[i] for i in index] for words in (self.voc_ids, self.sha256))
        return PhotoIdentities(voc_ids, sha256, self.signatures[list(index)])


def same_photos(candidates: Sequence[Path], held_out: Sequence[Path]) -> dict[Path, Path]:
    """The candidates that show a held-out photo, each with the photo it shows, all turned upright.

    See `same_identities`.

    Raises:
        InputError: a file is no readable image.
    """
    sides = ([Photo(path, upright=True) for path in paths] for paths in (candidates, held_out))
    identities = [identify(photos) for photos in sides]
    same = same_identities(*identities)
    return {candidates[i]: held_out[same[i]] for i in sorted(same)}


def same_files(candidates: Sequence[Path], held_out: Sequence[Path]) -> dict[Path, Path]:
    """The candidates whose content a held-out file has too, each with that file.

    Only files that share their size with one of the other side are read.
    """
    sizes = [{path: path.stat().st_size for path in paths} for paths in (candidates, held_out)]
    shared = {*sizes[0].values()} & {*sizes[1].values()}
    ours, theirs = ([p for p, size in part.items() if size in shared] for part in sizes)
    with ThreadPoolExecutor() as pool:  # hashlib releases the interpreter lock.
        contents = [list(pool.map(sha256_of, part)) for part in (ours, theirs)]
    return {ours[i]: theirs[j] for i, j in _same_words(*contents).items()}


def same_identities(candidates: PhotoIdentities, held_out: PhotoIdentities) -> dict[int, int]:
    """Position of each candidate that shows a held-out photo -> position of that photo.

    Tried in this order: the same VOC id, the same bytes, and nearly the same brightness
    differences between the cells of a 16 x 16 grid (a difference hash that keeps the size of each
    difference, because in flat areas their signs are noise). Mirrored or cropped copies are not
    found.
    """
    if not len(candidates) or not len(held_out):
        return {}
    found = _same_look(candidates.signatures, held_out.signatures)
    found |= _same_words(candidates.sha256, held_out.sha256)
    return found | _same_words(candidates.voc_ids, held_out.voc_ids)


def identify(photos: Sequence[Photo]) -> PhotoIdentities:
    """Read and decode every photo; InputError names one that is unreadable."""
    with ThreadPoolExecutor() as pool:
        known = list(pool.map(lambda photo: identity(photo, photo.read()), photos))
    voc_ids, contents, signatures = zip(*known, strict=True) if known else ((), (), ())
    values = np.array(signatures, dtype=np.float16).reshape(-1, SIGNATURE_VALUES)
    return PhotoIdentities(voc_ids, contents, values)


def identity(photo: Photo, content: bytes) -> tuple[str, str, np.ndarray]:
    """VOC id, SHA-256 and signature (float16) of one photo whose file holds `content`."""
    # A JPEG is decoded no larger than the grid needs: eight pixels to a cell.
    image = open_rgb(photo.shown, 8 * _CELLS, upright=photo.upright, content=content)
    signature = difference_signature(image).astype(np.float16)
    return _voc_id(photo.shown), hashlib.sha256(content).hexdigest(), signature


def difference_signature(image: Image.Image) -> np.ndarray:
    """(512,) float32 of unit length, or zero for an image of one grey.

    Brightness differences to the right-hand and to the lower neighbour over a 17 x 17 grid of
    cell averages. The inner product of two signatures is their correlation.
    """
    grey = image.convert("L").convert("F")
    cells = np.asarray(grey.resize((_CELLS + 1, _CELLS + 1), Image.Resampling.BOX))
    across, down = cells[:-1, 1:] - cells[:-1, :-1], cells[1:, :-1] - cells[:-1, :-1]
    differences = np.concatenate([across.ravel(), down.ravel()])
    length = float(np.linalg.norm(differences))
    # Below a grey level per cell there is no picture left to compare.
    return differences / length if length > _CELLS else np.zeros_like(differences)


def _voc_id(path: Path) -> str:
    """VOC id with its year, such as 2007_000032, from a photograph's path; "" if it has none."""
    if re.fullmatch(r"20\d\d_\d{6}", path.stem):
        return path.stem
    year = re.fullmatch(r"VOC(20\d\d)", path.absolute().parent.parent.name)
    return f"{year[1]}_{path.stem}" if year and re.fullmatch(r"\d{6}", path.stem) else ""


def _same_words(candidates: Sequence[str], held_out: Sequence[str]) -> dict[int, int]:
    known = {word: position for position, word in enumerate(held_out) if word}
    return {i: known[word] for i, word in enumerate(candidates) if word in known}


def _same_look(candidates: np.ndarray, held_out: np.ndarray) -> dict[int, int]:
    known = held_out.astype(np.float32).T
    found: dict[int, int] = {}
    for start in range(0, len(candidates), _ROWS_AT_ONCE):
        correlation = candidates[start : start + _ROWS_AT_ONCE].astype(np.float32) @ known
        best = correlation.argmax(axis=1)
        alike = np.flatnonzero(correlation.max(axis=1) >= SAME_PHOTO_CORRELATION)
        found |= {start + int(row): int(best[row]) for row in alike}
    return found
