"""What detection learns from and is scored on: photographs, objects and proposals of a VOC year."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import image_size, read_image
from cebench.data.proposals import Mode, Proposals, compute_proposals
from cebench.data.voc import Annotation, VocYear
from cebench.errors import InputError
from cebench.models.fast_rcnn import FAST_RCNN_MEAN_RGB
from cebench.progress import progress
from cebench.randomness import numpy_generator


@dataclass(frozen=True)
class DetectionSet:
    """The images of one set and their objects, in the order of the set's list."""

    voc: VocYear
    ids: tuple[str, ...]
    annotations: tuple[Annotation, ...]

    def pixels(self, index: int) -> np.ndarray:
        """Photograph `index`, (H, W, 3) uint8 RGB."""
        return self.voc.image(self.ids[index])


def read_set(voc: VocYear, image_set: str, ids: Sequence[str]) -> DetectionSet:
    """The images `ids` of `image_set` with their objects.

    Raises:
        InputError: an image or its XML is absent or unreadable, their sizes differ, or there is
            no object at all.
    """
    annotations = tuple(voc.annotation(image_id) for image_id in ids)
    for image_id, annotation in zip(ids, annotations, strict=True):
        size = image_size(voc.image_path(image_id))
        if size != (annotation.width, annotation.height):
            raise InputError(
                f"{voc.image_path(image_id)} is {size[0]} x {size[1]} but its annotation says "
                f"{annotation.width} x {annotation.height}; fetch both again"
            )
    if all(annotation.difficult.all() for annotation in annotations):
        raise InputError(
            f"{image_set}: the {len(ids)} images of VOC{voc.year} taken from it show no object "
            "(difficult ones aside); detection can neither learn from them nor be scored on them"
        )
    return DetectionSet(voc, tuple(ids), annotations)


def subset(ids: Sequence[str], limit: int) -> list[str]:
    """`limit` of the ids in list order (0: all), the same ones whatever the seed of the run.

    A smaller subset of a list is part of every larger one.
    """
    if limit == 0 or limit >= len(ids):
        return list(ids)
    drawn = numpy_generator(0, "subset").permutation(len(ids))[:limit]
    return [ids[index] for index in np.sort(drawn)]


def proposals_of(
    voc: VocYear,
    ids: Sequence[str],
    folder: Path,
    *,
    mode: Mode,
    max_side: int,
    min_side: int,
    limit: int,
) -> Proposals:
    """Selective Search boxes of the images, from the file in `folder` that holds them.

    The file, proposals-<hash>.safetensors, is named after the images and the settings of the
    search; it is computed where it is absent.

    Args:
        voc: where the images are.
        ids: of the images.
        folder: of the file.
        mode: of `selective_search`.
        max_side: longer side in pixels to which an image is reduced for the search; 0 does not.
        min_side: smallest side in pixels of a box in the image so reduced.
        limit: number of boxes kept per image, largest ones first; 0 keeps all.

    Returns:
        Boxes in pixels of the stored images.
    """
    paths = [voc.image_path(image_id) for image_id in ids]
    settings = f"{fingerprint_files(paths, voc.root)} {mode} {max_side} {min_side}"
    cache = folder / f"proposals-{hashlib.sha256(settings.encode()).hexdigest()[:16]}.safetensors"
    images = [
        (image_id, partial(_reduced, path, max_side))
        for image_id, path in zip(ids, paths, strict=True)
    ]
    # Runs of other rows may start beside this one; the first one computes for all.
    with FileLock(cache.with_suffix(".lock")), progress("proposals", "images") as report:
        found = compute_proposals(images, cache, mode=mode, min_side=min_side, report=report)
    boxes = {
        image_id: _enlarged(found.boxes[image_id][: limit or None], image_size(path), max_side)
        for image_id, path in zip(ids, paths, strict=True)
    }
    return Proposals(f"{found.name}-max{max_side}-first{limit}", boxes)


def fingerprint(voc: VocYear, ids: Sequence[str], proposals: Proposals) -> str:
    """Hash of the photographs, the annotations and the proposals of the images."""
    photographs = [voc.image_path(image_id) for image_id in ids]
    annotations = [voc.root / "Annotations" / f"{image_id}.xml" for image_id in ids]
    files = fingerprint_files([*photographs, *annotations], voc.root)
    return hashlib.sha256(f"{files} {proposals.sha256}".encode()).hexdigest()


def reduced_size(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """(width, height) after the longer side was reduced to `max_side`, if that is smaller."""
    factor = min(1.0, max_side / max(size)) if max_side else 1.0
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height


def _reduced(path: Path, max_side: int) -> np.ndarray:
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    size = reduced_size((width, height), max_side)
    if size == (width, height):
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _enlarged(boxes: np.ndarray, size: tuple[int, int], max_side: int) -> np.ndarray:
    factors = np.array(size) / np.array(reduced_size(size, max_side))
    enlarged: np.ndarray = (boxes * np.tile(factors, 2)).astype(np.float32)
    return enlarged


def network_image(pixels: np.ndarray, short_side: int, max_side: int) -> tuple[Tensor, float]:
    """Subtract the mean pixel and resize, as the original does (lib/utils/blob.py).

    Args:
        pixels: (H, W, 3) uint8 RGB.
        short_side: of the result, in pixels ...
        max_side: ... unless its long side would exceed this: then the long side has this length.

    Returns:
        (3, h, w) float32 RGB, and the scale: network pixels per stored pixel.
    """
    shortest, longest = sorted(pixels.shape[:2])
    scale = short_side / shortest
    if round(scale * longest) > max_side:
        scale = max_side / longest
    centred = pixels - np.array(FAST_RCNN_MEAN_RGB, np.float32)
    resized = cv2.resize(centred, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1), scale


def stack_images(images: Sequence[Tensor]) -> Tensor:
    """(3, h_i, w_i) each to (N, 3, H, W), zero-padded at the bottom and the right."""
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    batch = torch.zeros(len(images), 3, height, width)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch


def flip_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Half-open boxes (R, 4) in the mirror image."""
    flipped = boxes.copy()
    flipped[:, [0, 2]] = width - boxes[:, [2, 0]]
    return flipped
