"""Random square crops, for training and for scoring: where they lie, and their pixels."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cebench.data.store.ragged import RaggedImages

from .recipe import ClassificationRecipe

AREAS = (0.1, 0.5)
"""Least and greatest share of the image in a crop by the rule `area` (eval_voc_classif.py)."""
_TRIALS = 10


class Places(NamedTuple):
    """Where each crop lies in its image; all (N,)."""

    x0: np.ndarray
    """Left edge in source pixels."""
    y0: np.ndarray
    scale: np.ndarray
    """Source pixels per pixel of the crop."""
    flip: np.ndarray
    """Whether it is mirrored."""

    def select(self, rows: slice) -> "Places":
        """The places of some of the crops."""
        return Places(*(values[rows] for values in self))


def sample_places(
    recipe: ClassificationRecipe, sizes: np.ndarray, side: int, generator: np.random.Generator
) -> Places:
    """A random crop of `side` pixels, by the recipe's rule, for each image of `sizes` (N, 2)."""
    if recipe.crop_rule == "area":
        return sample_by_area(sizes, side, generator)
    return sample_scaled(sizes, side, (recipe.min_scale, recipe.max_scale), generator)


def sample_scaled(
    sizes: np.ndarray, side: int, scales: tuple[float, float], generator: np.random.Generator
) -> Places:
    """The scale is uniform in `scales`, its upper end lowered to what the image holds.

    Source: philkr/caffe, branch future, transformation_layer.cpp.

    Args:
        sizes: (N, 2), heights and widths in pixels.
        side: side of the crops in pixels.
        scales: least and greatest number of source pixels per pixel of a crop.
        generator: source of the random numbers.
    """
    largest = np.minimum(scales[1], sizes.min(axis=1) / side)
    scale = generator.uniform(np.minimum(scales[0], largest), largest)
    room = np.maximum(sizes - side * scale[:, None], 0)
    x0, y0 = generator.uniform(0, room[:, 1]), generator.uniform(0, room[:, 0])
    return Places(x0, y0, scale, generator.random(len(sizes)) < 0.5)


def sample_by_area(sizes: np.ndarray, side: int, generator: np.random.Generator) -> Places:
    """Whole-pixel squares whose share of the image is uniform in AREAS.

    As torchvision's RandomResizedCrop with ratio 1: of ten squares the first one that fits, the
    central square of the shorter side if none does. Arguments are those of `sample_scaled`.
    """
    shares = generator.uniform(*AREAS, (len(sizes), _TRIALS))
    squares = np.rint(np.sqrt(shares * sizes.prod(axis=1, keepdims=True)))
    fits = squares <= sizes.min(axis=1, keepdims=True)
    first = np.take_along_axis(squares, fits.argmax(axis=1, keepdims=True), axis=1)[:, 0]
    square = np.where(fits.any(axis=1), first, sizes.min(axis=1))
    room = sizes - square[:, None]
    corner = np.floor(generator.random(sizes.shape) * (room + 1))
    corner = np.where(fits.any(axis=1, keepdims=True), corner, np.floor(room / 2))
    return Places(corner[:, 1], corner[:, 0], square / side, generator.random(len(sizes)) < 0.5)


def crops_at(images: RaggedImages, index: np.ndarray, places: Places, side: int) -> Tensor:
    """Crops of the images `index`, (N, 3, side, side) float32, RGB, 0..255.

    Sampled bilinearly at points, without antialiasing, as the original does.
    """
    x0, y0, scale, flip = (torch.from_numpy(values) for values in places)
    return images.bilinear_crops(torch.from_numpy(index), x0, y0, scale, flip, side)


def image_sizes(images: RaggedImages) -> np.ndarray:
    """Heights and widths, (N, 2) int64."""
    return torch.stack([images.heights, images.widths], dim=1).cpu().numpy()
