"""How much arithmetic a transfer is, for its dry run.

Counted for CaffeNet: 1.33 billion operations forward through conv1 to conv5 at 227 x 227, 0.117
more through fc6 to fc8; a training step takes three times as much. VOC's photographs have 500 x
375 pixels.
"""

from collections.abc import Mapping
from typing import Any

from cebench.training.estimates import Work

VOC_BYTES = 3 * 500 * 375
PARAMETER_BYTES = 60e6 * 12
"""Weights, gradients and momentum."""
BYTES_PER_PIXEL = 250
FIT_SECONDS = 20.0
"""Of one linear SVM on 5,011 images of 9,000 numbers, on one thread."""


def _convolutions(pixels: float) -> float:
    return 1.33 * pixels / 227**2


def classification_work(recipe: Any, counts: Mapping[str, int]) -> Work:
    """Training on crops, and the random crops of every test image."""
    one, images = _convolutions(227**2) + 0.117, counts["train"] + counts["test"]
    forward = counts["test"] * recipe.test_crops
    return Work(
        gflop=one * (3 * recipe.steps * recipe.batch_size + forward),
        photographs=images,
        images_bytes=images * VOC_BYTES,
        network_bytes=PARAMETER_BYTES + recipe.batch_size * 227**2 * BYTES_PER_PIXEL,
    )


def detection_work(recipe: Any, counts: Mapping[str, int]) -> Work:
    """Selective Search where no file is named, training, and the test images with all proposals."""

    def area(scales: tuple[int, ...], most: int) -> float:
        return sum(side * min(most, side * 4 / 3) for side in scales)

    learned = area(recipe.scales, recipe.max_side) / len(recipe.scales)
    scored = area(recipe.test_scales, recipe.test_max_side)
    step = 3 * (_convolutions(learned) + recipe.rois_per_image * 0.117)
    images, regions = counts["train"] + counts["test"], recipe.max_proposals or 2000
    search = 0.0 if recipe.proposals not in ("fast", "quality") else 2.0
    search *= 4 if recipe.proposals == "quality" else 1
    return Work(
        gflop=recipe.steps * recipe.images_per_step * step
        + counts["test"] * (_convolutions(scored) + regions * 0.117),
        photographs=images + recipe.steps * recipe.images_per_step,
        more_seconds=images * search * min(1, ((recipe.proposal_max_side or 500) / 500) ** 2),
        network_bytes=PARAMETER_BYTES + max(learned, scored) * BYTES_PER_PIXEL * 2,
    )


def segmentation_work(recipe: Any, counts: Mapping[str, int]) -> Work:
    """Training on whole images or crops, and one pass over every test image."""
    side = recipe.short_side or 375
    learned = recipe.crop**2 or side * side * 4 / 3
    # 100 pixels of padding on each side; fc6 and fc7 at every 32nd place.
    padded, scored = (learned**0.5 + 200) ** 2, (side * 1.15 + 200) ** 2
    per_image = [_convolutions(area) + 0.109 * (area / 32**2) for area in (padded, scored)]
    images = counts["train"] + counts["test"]
    return Work(
        gflop=3 * recipe.steps * recipe.accumulate * per_image[0] + counts["test"] * per_image[1],
        photographs=images,
        images_bytes=images * (side * side * 4 + VOC_BYTES / 3),
        network_bytes=PARAMETER_BYTES + recipe.images_per_pass * padded * BYTES_PER_PIXEL,
    )


def dense_probe_work(recipe: Any, counts: Mapping[str, int]) -> Work:
    """One pass over every image at its size; the linear layer is nothing beside it."""
    images, pixels = counts["train"] + counts["test"], recipe.short_side**2 * 4 / 3
    return Work(
        gflop=images * _convolutions(pixels),
        photographs=images,
        images_bytes=images * (pixels * 4 + VOC_BYTES / 3),
        network_bytes=pixels * BYTES_PER_PIXEL,
    )


def frozen_features_work(recipe: Any, counts: Mapping[str, int]) -> Work:
    """One pass over every image, and the fits of linear SVMs."""
    images = counts["train"] + counts["test"]
    fits = len(getattr(recipe, "layers", ("one",))) * 20 * FIT_SECONDS * images / 5011
    return Work(
        gflop=images * 1.33,
        photographs=images,
        more_seconds=fits,
        images_bytes=images * (3 * 227**2 + 4 * 9000),
    )


def inpainting_work(recipe: Any, counts: Mapping[str, int]) -> Work:
    """One pass over every image; its neighbours are looked for in all of the gallery."""
    images = counts["gallery"] + counts["test"]
    return Work(
        gflop=images * 2.0,
        photographs=images,
        more_seconds=counts["test"] * counts["gallery"] * 2e-4,
        images_bytes=3 * images * 128**2,
    )
