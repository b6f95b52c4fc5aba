"""How much arithmetic a transfer is, for its dry run.

A training step takes three times as much as a forward pass. VOC's photographs have 500 x 375
pixels.
"""

from collections.abc import Mapping
from typing import Any

from cebench.training.estimates import Work

from .network_cost import CAFFENET, NetworkCost

VOC_BYTES = 3 * 500 * 375
PARAMETER_BYTES = 12
"""Weights, gradients and momentum."""
FIT_SECONDS = 20.0
"""Of one linear SVM on 5,011 images of 9,000 numbers, on one thread."""


def classification_work(
    recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET
) -> Work:
    """Training on crops, and the random crops of every test image."""
    one = cost.gflop_per_pixel * cost.side**2 + cost.head_gflop
    images, forward = counts["train"] + counts["test"], counts["test"] * recipe.test_crops
    batch = recipe.batch_size * cost.side**2
    return Work(
        gflop=one * (3 * recipe.steps * recipe.batch_size + forward),
        photographs=images,
        images_bytes=images * VOC_BYTES,
        network_bytes=cost.parameters * PARAMETER_BYTES + batch * cost.bytes_per_pixel,
    )


def detection_work(recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET) -> Work:
    """Selective Search where no file is named, training, and the test images with all proposals."""

    def area(scales: tuple[int, ...], most: int) -> float:
        return sum(side * min(most, side * 4 / 3) for side in scales)

    one_region = cost.region_gflop()
    learned = area(recipe.scales, recipe.max_side) / len(recipe.scales)
    scored = area(recipe.test_scales, recipe.test_max_side)
    step = 3 * (cost.gflop_per_pixel * learned + recipe.rois_per_image * one_region)
    images, regions = counts["train"] + counts["test"], recipe.max_proposals or 2000
    search = 0.0 if recipe.proposals not in ("fast", "quality") else 2.0
    search *= 4 if recipe.proposals == "quality" else 1
    kept = max(learned, scored) * cost.bytes_per_pixel * 2
    return Work(
        gflop=recipe.steps * recipe.images_per_step * step
        + counts["test"] * (cost.gflop_per_pixel * scored + regions * one_region),
        photographs=images + recipe.steps * recipe.images_per_step,
        more_seconds=images * search * min(1, ((recipe.proposal_max_side or 500) / 500) ** 2),
        network_bytes=cost.parameters * PARAMETER_BYTES + kept,
    )


def segmentation_work(recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET) -> Work:
    """Training on whole images or crops, and one pass over every test image."""
    side = recipe.short_side or 375
    learned = recipe.crop**2 or side * side * 4 / 3
    # CaffeNet's images have 100 pixels of padding on each side; fc6 and fc7 at every 32nd place.
    padding = 200 if cost is CAFFENET else 0
    padded, scored = (learned**0.5 + padding) ** 2, (side * 1.15 + padding) ** 2
    one_pixel = cost.gflop_per_pixel + cost.head_gflop / 32**2
    images, passes = counts["train"] + counts["test"], 3 * recipe.steps * recipe.accumulate
    batch = recipe.images_per_pass * padded
    return Work(
        gflop=one_pixel * (passes * padded + counts["test"] * scored),
        photographs=images,
        images_bytes=images * (side * side * 4 + VOC_BYTES / 3),
        network_bytes=cost.parameters * PARAMETER_BYTES + batch * cost.bytes_per_pixel,
    )


def dense_probe_work(recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET) -> Work:
    """One pass over every image at its size; the linear layer is nothing beside it."""
    images, pixels = counts["train"] + counts["test"], recipe.short_side**2 * 4 / 3
    return Work(
        gflop=images * cost.gflop_per_pixel * pixels,
        photographs=images,
        images_bytes=images * (pixels * 4 + VOC_BYTES / 3),
        network_bytes=pixels * cost.bytes_per_pixel,
    )


def frozen_features_work(
    recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET
) -> Work:
    """One pass over every image, and the fits of linear SVMs."""
    images = counts["train"] + counts["test"]
    fits = len(getattr(recipe, "layers", ("one",))) * 20 * FIT_SECONDS * images / 5011
    return Work(
        gflop=images * cost.gflop_per_pixel * cost.side**2,
        photographs=images,
        more_seconds=fits,
        images_bytes=images * (3 * cost.side**2 + 4 * 9000),
    )


def inpainting_work(recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET) -> Work:
    """One pass over every image; its neighbours are looked for in all of the gallery."""
    images = counts["gallery"] + counts["test"]
    return Work(
        gflop=images * 2.0,
        photographs=images,
        more_seconds=counts["test"] * counts["gallery"] * 2e-4,
        images_bytes=3 * images * 128**2,
    )
