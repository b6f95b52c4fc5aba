"""Which training photos show a held-out photo under another name.

VOC2012 contains photos of VOC2007 (2007_000032 is VOC2007's 000032), and image collections from
the web contain copies of each other's photos at other sizes and qualities.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cebench.data.images import open_rgb
from cebench.errors import InputError
from cebench.files import sha256_of

SAME_PHOTO_CORRELATION = 0.95
"""Copies at half the size and JPEG quality 40 keep 0.965; of fifteen million pairs of distinct VOC
and ImageNet photos none reaches 0.88."""

_CELLS = 16
_ROWS_AT_ONCE = 4096


def same_photos(candidates: Sequence[Path], held_out: Sequence[Path]) -> dict[Path, Path]:
    """The candidates that show a held-out photo, each with the photo it shows.

    Tried in this order: the same VOC id, the same bytes, and nearly the same brightness
    differences between the cells of a 16 x 16 grid (a difference hash that keeps the size of each
    difference, because in flat areas their signs are noise). Mirrored or cropped copies are not
    found.

    Raises:
        InputError: a file is no readable image.
    """
    found = _same_voc_id(candidates, held_out)
    left = [path for path in candidates if path not in found]
    found |= _same_bytes(left, held_out)
    left = [path for path in left if path not in found]
    found |= _same_look(left, held_out)
    return {path: found[path] for path in candidates if path in found}


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


def _same_voc_id(candidates: Sequence[Path], held_out: Sequence[Path]) -> dict[Path, Path]:
    known = {_voc_id(path): path for path in held_out}
    known.pop(None, None)
    return {path: known[key] for path in candidates if (key := _voc_id(path)) in known}


def _voc_id(path: Path) -> str | None:
    """Such as 2007_000032; VOC2007 itself leaves the year to its folder."""
    if re.fullmatch(r"20\d\d_\d{6}", path.stem):
        return path.stem
    year = re.fullmatch(r"VOC(20\d\d)", path.absolute().parent.parent.name)
    return f"{year[1]}_{path.stem}" if year and re.fullmatch(r"\d{6}", path.stem) else None


def _same_bytes(candidates: Sequence[Path], held_out: Sequence[Path]) -> dict[Path, Path]:
    try:
        by_size = defaultdict(list)
        for path in held_out:
            by_size[path.stat().st_size].append(path)
        alike = [path for path in candidates if path.stat().st_size in by_size]
        sizes = {path.stat().st_size for path in alike}
        known = {sha256_of(path): path for size in sizes for path in by_size[size]}
        hashes = {path: sha256_of(path) for path in alike}
    except OSError as error:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error
    return {path: known[content] for path, content in hashes.items() if content in known}


def _same_look(candidates: Sequence[Path], held_out: Sequence[Path]) -> dict[Path, Path]:
    if not candidates or not held_out:
        return {}
    known = _signatures(held_out).T
    found: dict[Path, Path] = {}
    for start in range(0, len(candidates), _ROWS_AT_ONCE):
        block = candidates[start : start + _ROWS_AT_ONCE]
        correlation = _signatures(block) @ known
        for path, row in zip(block, correlation, strict=True):
            if row.max() >= SAME_PHOTO_CORRELATION:
                found[path] = held_out[int(row.argmax())]
    return found


def _signatures(paths: Sequence[Path]) -> np.ndarray:
    def signature(path: Path) -> np.ndarray:
        # A JPEG is decoded no larger than the grid needs: eight pixels to a cell.
        return difference_signature(open_rgb(path, at_least=8 * _CELLS))

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(signature, paths)))
