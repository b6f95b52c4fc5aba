"""Rows of segmentation and inpainting whose true scores are known; see simulated_rows.

Images and classes are as frequent as in VOC2012's segmentation val set.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from cebench.metrics.image_weights import equal_weights
from cebench.metrics.weighted_inpainting import WeightedInpainting
from cebench.metrics.weighted_segmentation import WeightedSegmentation

VAL_IMAGES = 1449
IMAGES_WITH_CLASS = np.array(
    [90, 65, 105, 78, 87, 78, 128, 131, 148, 64, 82, 121, 68, 81, 442, 82, 63, 93, 84, 74]
)
CLASSES = 1 + len(IMAGES_WITH_CLASS)
SHARED_BY_ROWS = 0.6
"""Share of the noise's variance that rows have in common."""
POPULATION = 100_000
"""Images whose scores are taken for the true ones."""
LOG_ERROR, LOG_ERROR_SD = -4.5, 0.8
"""Natural logarithm of an image's mean squared error: about what Table 1's rows have."""


def segmentation(
    images: int, qualities: Sequence[float], rng: np.random.Generator
) -> list[WeightedSegmentation]:
    """Rows on the same images; a quality is the logit of the median share of an object found."""
    present = rng.random((images, CLASSES - 1)) < IMAGES_WITH_CLASS / VAL_IMAGES
    area = np.where(present, np.exp(rng.normal(-2.2, 0.9, present.shape)), 0.0)
    area /= np.maximum(area.sum(axis=1, keepdims=True) / 0.9, 1.0)
    true = np.column_stack([1 - area.sum(axis=1), area])
    mistaken = rng.integers(0, CLASSES, true.shape)
    noise = _shared_noise(len(qualities), true.shape, rng)
    return [_labelled(true, mistaken, q, n) for q, n in zip(qualities, noise, strict=True)]


def _labelled(
    true: np.ndarray, mistaken: np.ndarray, quality: float, noise: np.ndarray
) -> WeightedSegmentation:
    """Find a share of each class; half of the rest goes to background, half to another class."""
    # Background is easier: it is what a network says by default.
    ease = np.where(np.arange(CLASSES) == 0, 3.0, 0.0)
    share = 1 / (1 + np.exp(-(quality + ease + 1.2 * noise)))
    right, missed = share * true, (1 - share) * true
    predicted = right.copy()
    predicted[:, 0] += 0.5 * missed.sum(axis=1)
    np.add.at(predicted, (np.arange(len(true))[:, None], mistaken), 0.5 * missed)
    right = right + 0.5 * missed * (np.arange(CLASSES) == 0)
    right += np.where(mistaken == np.arange(CLASSES), 0.5 * missed, 0)
    return WeightedSegmentation(right, true, predicted)


def true_segmentation(quality: float) -> np.ndarray:
    """(4,) the scores of very many images."""
    (row,) = segmentation(POPULATION, [quality], np.random.default_rng(11))
    return row.values(equal_weights(POPULATION))[:, 0]


def quality_of(mean_iou: float) -> float:
    """The quality whose true mean IoU is so."""
    excess = lambda quality: true_segmentation(quality)[0] - mean_iou  # noqa: E731
    return float(optimize.brentq(excess, -6, 6, xtol=1e-3))


def inpainting(
    images: int, log_ratios: Sequence[float], rng: np.random.Generator
) -> list[WeightedInpainting]:
    """Rows on the same images; each multiplies the errors by exp(its log ratio)."""
    noise = _shared_noise(len(log_ratios), (2, images), rng)
    return [_filled(LOG_ERROR + ratio, *n) for ratio, n in zip(log_ratios, noise, strict=True)]


def _filled(log_error: float, noise: np.ndarray, shape_noise: np.ndarray) -> WeightedInpainting:
    squared = np.exp(log_error + LOG_ERROR_SD * noise)
    absolute = 0.7 * np.sqrt(squared) * np.exp(0.1 * shape_noise)
    values = 99 * 99 * 3
    psnr, ssim = -10 * np.log10(squared), 1 / (1 + 20 * squared)
    ones = np.full(len(noise), float(values))
    return WeightedInpainting(np.stack([ones, values * absolute, values * squared, psnr, ssim]))


def true_inpainting(log_ratio: float) -> np.ndarray:
    """(5,) the scores of very many images."""
    (row,) = inpainting(10 * POPULATION, [log_ratio], np.random.default_rng(12))
    return row.values(equal_weights(10 * POPULATION))[:, 0]


def _shared_noise(rows: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """(rows, *shape) normal of variance 1."""
    drawn = rng.normal(size=(rows + 1, *shape))
    common, own = drawn[:1], drawn[1:]
    mixed: np.ndarray = np.sqrt(SHARED_BY_ROWS) * common + np.sqrt(1 - SHARED_BY_ROWS) * own
    return mixed
