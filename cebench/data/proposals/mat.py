"""Proposals from the .mat files of Fast R-CNN's time, in whichever convention they were written.

Two forms are known. rbgirshick/fast-rcnn's `voc_2007_trainval.mat` holds a cell `boxes` with y1 x1
y2 x2 counted from 1 for every image, and the images' ids in a cell `images`; its demo has a file
per image, `000004_boxes.mat`, with x1 y1 x2 y2 counted from 0. All corners are inclusive. Nothing
in a file says which it is: the images do, because only one reading fits into them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import scipy.io
from numpy.typing import NDArray

from cebench.data.matlab import check_nesting
from cebench.data.voc.devkit import checked_id
from cebench.errors import InputError

Columns = Literal["xyxy", "yxyx"]

MOST_MISFITS = 0.01
"""Share of boxes that may not fit into their images; more, and they are other images' boxes."""

Raw = Mapping[str, NDArray[np.float64]]
"""Image id -> (R, 4) as stored."""
Sizes = Mapping[str, tuple[int, int]]
"""Image id -> (width, height)."""


@dataclass(frozen=True)
class Reading:
    """A convention of corners."""

    columns: Columns
    """xyxy: x1 y1 x2 y2; yxyx: y1 x1 y2 x2."""
    first_pixel: int
    """What the first row and column are called: 0 or 1."""

    def __str__(self) -> str:
        order = " ".join(
            f"{axis}{corner}" for axis, corner in zip(self.columns, "1122", strict=True)
        )
        return f"columns {order}, first pixel {self.first_pixel}"

    def boxes(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R, 4) x0 y0 x1 y1, 0-based and half-open, not clipped."""
        corners = raw - self.first_pixel
        if self.columns == "yxyx":
            corners = corners[:, [1, 0, 3, 2]]
        half_open: NDArray[np.float64] = corners + np.array([0, 0, 1, 1])
        return half_open


@dataclass(frozen=True)
class Imported:
    """Boxes inside their images, and what was done to bring them there."""

    reading: Reading
    boxes: dict[str, np.ndarray]
    """Image id -> (R, 4) float32, 0-based, half-open, in the file's order."""
    clipped: int
    """Boxes that reached out of their image."""
    dropped: int
    """Boxes without a pixel in their image."""


def read_mat(path: Path, ids: Sequence[str] = ()) -> dict[str, NDArray[np.float64]]:
    """The boxes of every image in the file, as stored.

    Args:
        path: a file of one of the two forms.
        ids: of the images of a cell, in its order, where the file has no `images`.

    Raises:
        InputError: not such a file, or `ids` are as many as its images are not.
    """
    try:
        check_nesting(path.read_bytes())
        content = scipy.io.loadmat(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; expected a .mat file of proposals") from error
    except NotImplementedError as error:
        raise InputError(f"{path} is a MATLAB 7.3 file; save it again with -v7") from error
    except Exception as error:  # scipy raises almost anything on damaged files.
        raise InputError(f"{path} is no readable .mat file ({error}); fetch it again") from error
    boxes = content.get("boxes")
    if boxes is None:
        names = ", ".join(name for name in content if not name.startswith("__"))
        raise InputError(f"{path} has no variable `boxes`, only {names or 'nothing'}")
    if boxes.dtype != object:
        image_id = checked_id(path.stem.removesuffix("_boxes"))
        return {image_id: _corners(boxes, path)}
    if "images" in content:
        ids = [checked_id(str(np.squeeze(cell))) for cell in content["images"].ravel()]
    if len(ids) != boxes.size or len(set(ids)) != len(ids):
        raise InputError(
            f"{path} holds the boxes of {boxes.size} images and {len(set(ids))} ids belong to "
            "them; name the image set that it was made for"
        )
    cells = (_corners(cell, path) for cell in boxes.ravel())
    return dict(zip(ids, cells, strict=True))


def _corners(values: np.ndarray, path: Path) -> NDArray[np.float64]:
    if values.size == 0:
        return np.zeros((0, 4))
    if values.ndim != 2 or values.shape[1] != 4 or not np.issubdtype(values.dtype, np.number):
        raise InputError(f"{path}: boxes of shape {values.shape}, expected four numbers a row")
    corners = values.astype(np.float64)
    if not np.isfinite(corners).all():
        raise InputError(f"{path} holds boxes that are not finite; make it again")
    return corners


def interpret(
    raw: Raw,
    sizes: Sizes,
    source: str,
    columns: Columns | None = None,
    first_pixel: int | None = None,
) -> Imported:
    """Find the reading that fits the images best, and clip what still reaches out of them.

    Args:
        raw: boxes of `read_mat`.
        sizes: of the same images.
        source: name of their file in messages.
        columns: the order of the columns if it is known.
        first_pixel: 0 or 1 if it is known.

    Raises:
        InputError: no reading fits, or several fit equally well.
    """
    readings = [
        Reading(order, first)
        for order, first in product(get_args(Columns), (0, 1))
        if columns in (None, order) and first_pixel in (None, first)
    ]
    misfits = [_misfits(reading, raw, sizes) for reading in readings]
    least, total = min(misfits), sum(map(len, raw.values()))
    best = [reading for reading, count in zip(readings, misfits, strict=True) if count == least]
    if least > MOST_MISFITS * total:
        forced = columns is not None or first_pixel is not None
        read = (
            f"read as {' or '.join(map(str, readings))}"
            if forced
            else "whichever way they are read"
        )
        raise InputError(
            f"{source}: {least} of {total} boxes do not fit into their images, {read}; they were "
            "made for other images or in another order"
        )
    if len(best) > 1 and total:
        shown = " and ".join(map(str, best))
        raise InputError(
            f"{source} fits the images equally well with {shown}; say which with --columns and "
            "--first-pixel"
        )
    return _inside(best[0], raw, sizes)


def import_files(
    paths: Sequence[Path],
    sets: Sequence[Sequence[str]],
    size_of: Callable[[str], tuple[int, int]],
    columns: Columns | None = None,
    first_pixel: int | None = None,
) -> list[Imported]:
    """`interpret` each file's boxes of the images in `sets`.

    Args:
        paths: .mat files.
        sets: ids of the image sets; a file without ids belongs to the set in the same place.
        size_of: an image's (width, height).
        columns: the order of all files' columns if it is known.
        first_pixel: 0 or 1 if it is known.

    Raises:
        InputError: a file is none, fits no reading or has no image of the sets, or two have one in
            common.
    """
    wanted = {image_id for ids in sets for image_id in ids}
    file_of: dict[str, Path] = {}
    found = []
    for place, path in enumerate(paths):
        raw = read_mat(path, sets[min(place, len(sets) - 1)])
        for image_id in raw:
            if other := file_of.get(image_id):
                raise InputError(f"{other} and {path} both hold boxes of {image_id}; import one")
        file_of |= dict.fromkeys(raw, path)
        chosen = {image_id: boxes for image_id, boxes in raw.items() if image_id in wanted}
        if not chosen:
            raise InputError(f"{path} has no image of the image sets; leave it out or name its set")
        sizes = {image_id: size_of(image_id) for image_id in chosen}
        found.append(interpret(chosen, sizes, path.name, columns, first_pixel))
    return found


def _misfits(reading: Reading, raw: Raw, sizes: Sizes) -> int:
    count = 0
    for image_id, stored in raw.items():
        boxes = reading.boxes(stored)
        fits = (boxes == _clipped(boxes, sizes[image_id])).all(axis=1)
        count += int(np.count_nonzero(~fits | _empty(boxes)))
    return count


def _inside(reading: Reading, raw: Raw, sizes: Sizes) -> Imported:
    boxes, clipped, dropped = {}, 0, 0
    for image_id, stored in raw.items():
        read = reading.boxes(stored)
        inside = _clipped(read, sizes[image_id])
        kept = ~_empty(read) & ~_empty(inside)
        dropped += int(np.count_nonzero(~kept))
        clipped += int(np.count_nonzero((inside != read).any(axis=1) & kept))
        boxes[image_id] = inside[kept].astype(np.float32)
    return Imported(reading, boxes, clipped, dropped)


def _clipped(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    return np.clip(boxes, 0, np.tile(size, 2))


def _empty(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    empty: NDArray[np.bool_] = (width <= 0) | (height <= 0)
    return empty
