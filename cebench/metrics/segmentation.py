"""Segmentation: one confusion matrix of pixels over the whole set, and the scores made from it."""

from dataclasses import dataclass

import numpy as np

from cebench.metrics.means import mean_of_defined

_BYTE = 256


@dataclass(frozen=True)
class SegmentationScores:
    """Fractions, higher is better; what FCN's score.py computes.

    A mean leaves out the classes for which the number does not exist: an accuracy needs a pixel of
    the class in the truth, an IoU one in the truth or the prediction.
    """

    mean_iou: float
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    """IoU of the classes weighted by their share of the truth's pixels."""
    iou: np.ndarray
    """(C,) float64, nan where it does not exist."""
    accuracy: np.ndarray
    """(C,) float64, nan where it does not exist."""


def confusion_matrix(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, void_label: int = 255
) -> np.ndarray:
    """Count pixels by true class (row) and predicted class (column), (C, C) int64.

    Add the matrices of all images, then call `segmentation_scores` once. Pixels that are void in
    the truth are left out, whatever was predicted there.

    Args:
        truth: uint8 labels of any shape: below `num_classes`, or void.
        prediction: uint8 labels of the same shape, below `num_classes` where the truth is not void.
        num_classes: the number of classes, at most 255.
        void_label: the truth's label of pixels that do not count, at least `num_classes`.

    Raises:
        ValueError: the shapes differ, an array is not uint8, or a label is out of range.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"expected one shape, got {truth.shape} and {prediction.shape}")
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise ValueError(f"expected uint8 labels, got {truth.dtype} and {prediction.dtype}")
    # Runs of equal pairs are counted, not pixels: labels are smooth, and counting one bin again and
    # again waits for memory. Floating-point weights are exact up to 2^53 pixels.
    pairs = truth.ravel().astype(np.uint16) << 8 | prediction.ravel()
    starts = np.append(0, np.flatnonzero(pairs[1:] != pairs[:-1]) + 1)[: pairs.size]
    lengths = np.diff(starts, append=pairs.size)
    # Every pair of bytes has a bin, so that labels out of range are found without a second look.
    counts = np.bincount(pairs[starts], weights=lengths, minlength=_BYTE**2).reshape(_BYTE, _BYTE)
    counts[void_label] = 0
    if counts[num_classes:].any():
        raise ValueError(f"the truth has labels outside 0..{num_classes - 1} and {void_label}")
    unknown = num_classes + np.flatnonzero(counts[:, num_classes:].any(axis=0))
    if unknown.size:
        raise ValueError(f"predicted label {unknown[0]}, expected 0..{num_classes - 1}")
    return counts[:num_classes, :num_classes].astype(np.int64)


def segmentation_scores(confusion: np.ndarray) -> SegmentationScores:
    """IoU and accuracies, of each class and their means, from a confusion matrix.

    Args:
        confusion: (C, C) counts of pixels, rows the true class, of the whole set.
    """
    right = np.diag(confusion).astype(np.float64)
    true_pixels = confusion.sum(axis=1)
    union = true_pixels + confusion.sum(axis=0) - np.diag(confusion)
    iou, accuracy = _ratio(right, union), _ratio(right, true_pixels)
    total = true_pixels.sum()
    present = true_pixels > 0
    weighted = np.sum(true_pixels[present] * iou[present])
    return SegmentationScores(
        mean_iou=mean_of_defined(iou),
        pixel_accuracy=float(right.sum() / total) if total else float("nan"),
        mean_accuracy=mean_of_defined(accuracy),
        frequency_weighted_iou=float(weighted / total) if total else float("nan"),
        iou=iou,
        accuracy=accuracy,
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio = np.full(len(part), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
