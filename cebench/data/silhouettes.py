"""Silhouettes of objects, cut from label images: the shapes of random regions (section 3.3)."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES, VocYear
from cebench.data.voc.label_images import read_label_image
from cebench.errors import InputError

SMALLEST_OBJECT = 0.002
"""Smallest silhouette taken from a label image, as a fraction of that image's area."""
BANK_SIDE = 128
FRAMED_SIDE = BANK_SIDE + 2


def read_silhouettes(voc: VocYear, image_set: str | Path) -> list[np.ndarray]:
    """The objects of a segmentation image set, each (H, W) bool on the whole image.

    One per object of SegmentationObject; where an image has no such file, one per connected
    component of each class of its label image.
    """
    ids = voc.ids(image_set, kind="Segmentation")
    with ThreadPoolExecutor() as pool:
        per_image = pool.map(lambda image_id: list(_silhouettes(voc, image_id)), ids)
        return [shape for shapes in per_image for shape in shapes]


def silhouette_bank(shapes: Sequence[np.ndarray]) -> np.ndarray:
    """Silhouettes at one size: (K, 130, 130) uint8, 1 on the object, 0 in the frame.

    The bounding box of each True part lies in the middle, its longer side 128. InputError when no
    shape has a True pixel.
    """
    bank = [_framed(shape) for shape in shapes if shape.any()]
    if not bank:
        raise InputError("no object silhouettes; random regions need at least one")
    return np.stack(bank)


def _framed(shape: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    cut: np.ndarray = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = BANK_SIDE / max(cut.shape)
    height, width = (max(1, round(side * factor)) for side in cut.shape)
    resized = cv2.resize(cut.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    framed = np.zeros((FRAMED_SIDE, FRAMED_SIDE), dtype=np.uint8)
    top, left = (FRAMED_SIDE - height) // 2, (FRAMED_SIDE - width) // 2
    framed[top : top + height, left : left + width] = resized >= min(0.5, resized.max())
    return framed


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
