"""What the linear layer learns from: features and class shares of every patch, computed once."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cebench.data.voc.devkit import VOID_LABEL
from cebench.devices import autocast
from cebench.errors import InputError
from cebench.models.dense_probe import DenseProbe
from cebench.progress import progress
from cebench.weights.files import Preprocessing

from ..run_context import RunContext
from ..segmentation.data import (
    NUM_CLASSES,
    SegmentationData,
    SegmentationImages,
    as_batch,
    find_sets,
    fingerprint,
    load,
    network_pixels,
)
from .recipe import DenseProbeRecipe


@dataclass(frozen=True)
class Patches:
    """All patches of the train images."""

    features: Tensor
    """(P, C) float16."""
    shares: Tensor
    """(P, 21) float32: share of the patch's pixels of each class; void ones count in none."""


def read_data(recipe: DenseProbeRecipe, data: Path) -> SegmentationData:
    """Train and test set, decoded, with the shorter side at the recipe's."""
    sets = find_sets(recipe, data)
    train, test = (load(part, recipe.short_side) for part in sets)
    return SegmentationData(train, test, fingerprint(*sets))


@torch.no_grad()
def patches_of(
    probe: DenseProbe, data: SegmentationImages, recipe: DenseProbeRecipe, run_context: RunContext
) -> Patches:
    """Features and shares of all patches of the images, one image at a time, on the CPU."""
    device, preprocessing = run_context.device, run_context.weights.sidecar.preprocessing
    features, shares = [], []
    with progress("patch features", "images") as report:
        for index, labels in enumerate(data.labels_as_seen()):
            image = data.images.image(index).to(device)
            with autocast(device, recipe.precision):
                map_ = probe.patch_features(pixels_of(image, preprocessing))[0]
            found = map_.flatten(1).T.to(torch.float16).cpu()
            if not found.isfinite().all():
                raise InputError(
                    f"{run_context.weights.name}: a feature of {data.origin.photographs()[index]} "
                    "is not finite in half precision; look at the weights and their pixels"
                )
            features.append(found)
            shares.append(class_shares(labels, map_.shape[-2:], probe.stride, probe.first_pixel))
            report(index + 1, len(data.labels))
    return Patches(torch.cat(features), torch.cat(shares))


def pixels_of(image: Tensor, preprocessing: Preprocessing) -> Tensor:
    """An image (H, W, 3) uint8 as the network sees it, (1, 3, H, W) float32."""
    return network_pixels(as_batch(image), preprocessing)


def class_shares(labels: Tensor, grid: tuple[int, ...], stride: int, first: int) -> Tensor:
    """Share of the pixels of each patch that has each class: (h * w, 21) float32.

    Args:
        labels: (H, W) uint8, 0..20 or void; what lies outside of the image is void.
        grid: h and w, numbers of patches.
        stride: side of a patch in pixels.
        first: pixel at which the first patch begins, on either axis.
    """
    height, width = (side * stride for side in grid)
    padded = labels.new_full((height, width), VOID_LABEL)
    seen = labels[first : first + height, first : first + width]
    padded[: seen.shape[0], : seen.shape[1]] = seen
    rows, columns = torch.arange(height) // stride, torch.arange(width) // stride
    patch = rows[:, None] * grid[1] + columns
    known = padded != VOID_LABEL
    cells = patch[known] * NUM_CLASSES + padded[known].long()
    counts = torch.bincount(cells, minlength=grid[0] * grid[1] * NUM_CLASSES)
    return counts.view(-1, NUM_CLASSES).float() / stride**2
