"""How much arithmetic a transfer is, for its dry run.

A training step takes three times as much as a forward pass. VOC's photographs have 500 x 375
pixels.
"""

from collections.abc import Mapping
from typing import Any

from cebench.training.estimates import Work

from .network_cost import CAFFENET, NetworkCost
from .options import COSTS

VOC_BYTES = 3 * 500 * 375
PARAMETER_BYTES = 12
"""Weights, gradients and momentum."""
SVMS_SECONDS, SVMS_IMAGES = 37.0, 3120
"""Seconds of the SVMs of 20 classes, fitted together by 26 costs and 3 folds on so many images of
9,216 numbers: measured on one thread of an AMD EPYC, with 2,000 and 3,120 images."""
SVM_SECONDS, SVM_IMAGES = 1.8, 1280
"""The same of the SVMs of one class alone."""
SVM_GROWTH = 2.25
"""Power of the number of images with which both grow."""


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


def linear_svm_work(recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET) -> Work:
    """One pass over every image, and the SVMs of each layer."""
    layers = len(recipe.layers) or cost.layers
    return _frozen_features_work(counts, cost, layers * _svms_seconds(recipe, counts["train"]))


def low_shot_svm_work(recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET) -> Work:
    """One pass over every image, and the SVMs of each draw: of a small one class by class."""
    seconds = 0.0
    for shots in recipe.shots:
        drawn = 20 * shots
        if 3 * drawn < counts["train"]:
            seconds += recipe.draws * 20 * _svm_seconds(recipe, drawn)
        else:
            seconds += recipe.draws * _svms_seconds(recipe, counts["train"])
    return _frozen_features_work(counts, cost, seconds)


def knn_work(recipe: Any, counts: Mapping[str, int], cost: NetworkCost = CAFFENET) -> Work:
    """One pass over every image; nothing is fitted."""
    return _frozen_features_work(counts, cost, 0.0)


def _svms_seconds(recipe: Any, images: int) -> float:
    return SVMS_SECONDS * _growth(images / SVMS_IMAGES, recipe)


def _svm_seconds(recipe: Any, images: int) -> float:
    return SVM_SECONDS * _growth(images / SVM_IMAGES, recipe)


def _growth(share_of_images: float, recipe: Any) -> float:
    """Factor of the seconds, by images and by costs and folds beside the benchmark's 26 and 3."""
    fits = len(recipe.costs) * recipe.folds / (len(COSTS) * 3)
    return float(fits * share_of_images**SVM_GROWTH)


def _frozen_features_work(counts: Mapping[str, int], cost: NetworkCost, seconds: float) -> Work:
    images = counts["train"] + counts["test"]
    return Work(
        gflop=images * cost.gflop_per_pixel * cost.side**2,
        photographs=images,
        more_seconds=seconds,
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
