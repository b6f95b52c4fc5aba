"""From a trained network to label images, one PNG per image of the test set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cebench.config import Precision
from cebench.data.voc.label_images import read_label_image
from cebench.data.voc.palette import voc_palette
from cebench.devices import autocast
from cebench.files import replace_atomically
from cebench.progress import progress
from cebench.weights.files import Preprocessing

from .data import SegmentationImages, as_batch, margin_of, network_pixels


@dataclass(frozen=True)
class Predictor:
    """Labels images with a network."""

    network: Callable[[Tensor], Tensor]
    """In evaluation mode: images (1, 3, H, W) as it sees them to raw scores (1, 21, H, W)."""
    preprocessing: Preprocessing
    device: torch.device
    precision: Precision = "fp32"
    size_multiple: int = 1
    """Images are padded to a multiple of so many pixels; the scores are cut again."""

    @torch.no_grad()
    def scores(self, image: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Raw scores (21, *shape) of an image (H, W, 3) uint8, resized bilinearly to `shape`."""
        height, width = image.shape[:2]
        pixels = network_pixels(as_batch(image.to(self.device)), self.preprocessing)
        pixels = F.pad(pixels, margin_of(pixels.shape, self.size_multiple))
        with autocast(self.device, self.precision):
            scores = self.network(pixels)
        scores = scores.float()[..., :height, :width]
        if scores.shape[-2:] != shape:
            scores = F.interpolate(scores, size=shape, mode="bilinear", align_corners=False)
        return scores[0]

    def labels(self, image: Tensor, shape: tuple[int, ...]) -> np.ndarray:
        """The likeliest class of every pixel, `shape` uint8, 0..20."""
        labels: np.ndarray = self.scores(image, shape).argmax(0).to(torch.uint8).cpu().numpy()
        return labels


def predict(predictor: Predictor, test: SegmentationImages, folder: Path) -> None:
    """Label the images at the size of their truth, and write each as `folder`/ID.png.

    Files that are there are left: a run that was stopped labels what is missing.
    """
    paths = [folder / f"{image_id}.png" for image_id in test.origin.ids]
    left = [index for index, path in enumerate(paths) if not path.exists()]
    with progress("segmentation test", "images") as report:
        report(len(paths) - len(left), len(paths))
        for done, index in enumerate(left, len(paths) - len(left) + 1):
            labels = predictor.labels(test.images.image(index), test.labels[index].shape)
            write_label_png(paths[index], labels)
            report(done, len(paths))


def stored(test: SegmentationImages, folder: Path) -> Iterator[np.ndarray]:
    """The label images that `predict` wrote, (H, W) uint8, in the order of `test`."""
    return (read_label_image(folder / f"{image_id}.png") for image_id in test.origin.ids)


def write_label_png(path: Path, labels: np.ndarray) -> None:
    """Write (H, W) uint8 labels as a PNG with VOC's palette, as the devkit stores them."""
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    replace_atomically(path, lambda temporary: image.save(temporary, format="PNG"))
