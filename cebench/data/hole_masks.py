"""The three kinds of holes of the paper's section 3.3. True = missing, and at most a quarter is.

Count and size of the random blocks, and the deformation of the random regions, are not in the
paper and no code for them was released; the values below are this project's choice.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from cebench.data.images import read_label_image
from cebench.data.voc import VOC_CLASSES, VocYear
from cebench.errors import InputError

BLOCK_SIDES = (0.10, 0.33)
"""Side of a random block, uniform, as a fraction of the image's side."""
REGION_EXTENTS = (0.15, 0.50)
"""Longer side of a pasted silhouette before its deformation, likewise."""
REGION_STRETCH = 2.0
"""Largest ratio of stretching along one direction against the direction across it."""
SMALLEST_OBJECT = 0.002
"""Smallest silhouette taken from a label image, as a fraction of that image's area."""

_BANK_SIDE = 128


def central_holes(n: int, size: int, hole: int) -> np.ndarray:
    """One square in the middle, (n, size, size) bool, in rows and columns from (size - hole) // 2.

    The paper's hole is 113 of 227; the released 128-pixel code predicts 64 and hides 56 of them.
    """
    start = (size - hole) // 2
    holes = np.zeros((n, size, size), dtype=np.bool_)
    holes[:, start : start + hole, start : start + hole] = True
    return holes


def random_block_holes(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Possibly overlapping squares, (n, size, size) bool.

    Squares are added at uniform positions until the next would hide more than a quarter.
    """
    holes = np.zeros((n, size, size), dtype=np.bool_)
    for hole in holes:
        while True:
            side = max(1, round(rng.uniform(*BLOCK_SIDES) * size))
            y, x = rng.integers(0, size - side + 1, 2)
            block = hole[y : y + side, x : x + side]
            newly_hidden = block.size - np.count_nonzero(block)
            if np.count_nonzero(hole) + newly_hidden > size * size // 4:
                break
            block[:] = True
    return holes


class RegionShapes:
    """Object silhouettes that become random regions.

    Args:
        shapes: (H, W) bool arrays of any size, each True on one object.

    Raises:
        InputError: there is no shape with a True pixel.
    """

    def __init__(self, shapes: Sequence[np.ndarray]) -> None:
        self.bank = [_normalised(shape) for shape in shapes if shape.any()]
        if not self.bank:
            raise InputError("no object silhouettes; random regions need at least one")

    @classmethod
    def from_voc(cls, voc: VocYear, image_set: str | Path) -> "RegionShapes":
        """The objects of a segmentation image set (the paper takes VOC2012's).

        One silhouette per object of SegmentationObject; where an image has no such file, one per
        connected component of each class of its label image.
        """
        ids = voc.ids(image_set, kind="Segmentation")
        with ThreadPoolExecutor() as pool:
            per_image = pool.map(lambda image_id: list(_silhouettes(voc, image_id)), ids)
            return cls([shape for shapes in per_image for shape in shapes])

    def holes(self, rng: np.random.Generator, n: int, size: int) -> np.ndarray:
        """Deformed silhouettes pasted anywhere, (n, size, size) bool.

        Silhouettes are added until the next would hide more than a quarter. A function of `rng`
        alone: regions know nothing of the image they are cut from.
        """
        holes = np.zeros((n, size, size), dtype=np.uint8)
        for hole in holes:
            while True:
                union = hole | self._pasted(rng, size)
                if cv2.countNonZero(union) > size * size // 4:
                    if hole.any():
                        break
                    continue
                hole[:] = union
        return holes.view(np.bool_)

    def _pasted(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """One random silhouette on an empty image, (size, size) uint8 of 0 and 1."""
        shape = self.bank[rng.integers(len(self.bank))]
        first, second, centre_x, centre_y, stretch, mirror, extent = rng.random(7)
        low, high = REGION_EXTENTS
        scale = (low + (high - low) * extent) * size / max(shape.shape)
        ratio = REGION_STRETCH ** (stretch - 0.5)
        stretching = np.diag([ratio, 1 / ratio]) * scale
        if mirror < 0.5:
            stretching[0] *= -1
        affine = np.empty((2, 3))
        affine[:, :2] = _rotation(first) @ stretching @ _rotation(second)
        middle = np.array(shape.shape[::-1]) / 2
        affine[:, 2] = np.array([centre_x, centre_y]) * size - affine[:, :2] @ middle
        return np.asarray(cv2.warpAffine(shape, affine, (size, size), flags=cv2.INTER_NEAREST))


def _rotation(turns: float) -> np.ndarray:
    sine, cosine = math.sin(2 * math.pi * turns), math.cos(2 * math.pi * turns)
    return np.array([[cosine, -sine], [sine, cosine]])


def _normalised(shape: np.ndarray) -> np.ndarray:
    """Cut to the object's bounding box, longer side at most _BANK_SIDE, uint8 of 0 and 1."""
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    cut: np.ndarray = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cut = cut.astype(np.float32)
    factor = _BANK_SIDE / max(cut.shape)
    if factor < 1:
        height, width = (max(1, round(side * factor)) for side in cut.shape)
        cut = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
    kept: np.ndarray = cut >= min(0.5, cut.max())
    return kept.astype(np.uint8)


def _silhouettes(voc: VocYear, image_id: str) -> Iterator[np.ndarray]:
    masks: Iterable[np.ndarray]
    objects = voc.root / "SegmentationObject" / f"{image_id}.png"
    if objects.is_file():
        instances = read_label_image(objects)
        masks = (instances == index for index in np.unique(instances) if 0 < index < 255)
    else:
        masks = _components(voc.segmentation(image_id))
    for mask in masks:
        if np.count_nonzero(mask) >= SMALLEST_OBJECT * mask.size:
            yield mask


def _components(labels: np.ndarray) -> Iterator[np.ndarray]:
    for label in np.unique(labels):
        if 1 <= label <= len(VOC_CLASSES):
            count, numbered = cv2.connectedComponents((labels == label).astype(np.uint8))
            for index in range(1, count):
                yield np.asarray(numbered == index)
