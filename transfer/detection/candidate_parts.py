"""Candidates of the test images that are done, in files of some images each, until all are."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cebench.files import readable_by_name
from cebench.weights.tensor_files import save_tensors

PART_IMAGES = 50
"""About 80 seconds of one core, and 3 MB."""


class ImageDetections(NamedTuple):
    """Detections of one image, on the CPU."""

    labels: Tensor
    """(D,) int64, 0..classes-1."""
    scores: Tensor
    """(D,) float32."""
    boxes: Tensor
    """(D, 4) float32, half-open, in pixels of the stored image."""

    def select(self, index: Tensor) -> "ImageDetections":
        """The rows that `index` (positions or bool) selects."""
        return ImageDetections(self.labels[index], self.scores[index], self.boxes[index])


def store_full_part(folder: Path, found: Sequence[ImageDetections], images: int) -> None:
    """Store the newest of `found` whenever they fill a part, and the rest when all `images` are in.

    A part is named after its first image: `00050.safetensors`.
    """
    if len(found) % PART_IMAGES and len(found) < images:
        return
    first = (len(found) - 1) // PART_IMAGES * PART_IMAGES
    newest = found[first:]
    counts = torch.tensor([len(one.scores) for one in newest])
    tensors = {
        name: torch.cat([getattr(one, name) for one in newest]) for name in ImageDetections._fields
    }
    save_tensors(folder / f"{first:05d}.safetensors", {"counts": counts, **tensors})


def read_parts(folder: Path) -> list[ImageDetections]:
    """The candidates of the first images, as many as follow each other in parts that are whole."""
    found: list[ImageDetections] = []
    while (path := folder / f"{len(found):05d}.safetensors").exists():
        try:
            with readable_by_name(path) as name:
                part = load_file(name)
        except SafetensorError:
            break
        counts = part["counts"].tolist()
        columns = [part[name].clone().split(counts) for name in ImageDetections._fields]
        found += [ImageDetections(*of_image) for of_image in zip(*columns, strict=True)]
    return found
