"""How well proposals cover the objects of a set: recall and mean best overlap, per class.

Difficult objects are left out. An object is found at a threshold if a proposal of its image, of
whatever class, overlaps it at least that much (Fast R-CNN calls that foreground).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cebench.metrics.detection import Objects, paired_iou


@dataclass(frozen=True)
class Coverage:
    """How well proposals cover the objects of a class, or all; nan without objects."""

    recall_at_50: float
    recall_at_70: float
    mean_best_iou: float
    """Mean over objects of the largest IoU with a proposal."""
    objects: int


def best_overlaps(boxes: Sequence[np.ndarray], truth: Objects) -> np.ndarray:
    """Largest IoU of each object with a proposal of its image; (G,) float64, 0 without proposals.

    Args:
        boxes: per image of the set (R, 4) x0 y0 x1 y1, half-open.
        truth: its objects.
    """
    best = np.zeros(len(truth.images))
    for index, proposals in enumerate(boxes):
        rows = np.flatnonzero(truth.images == index)
        if len(rows) and len(proposals):
            objects = np.repeat(truth.boxes[rows], len(proposals), axis=0)
            overlap = paired_iou(objects, np.tile(proposals, (len(rows), 1)))
            best[rows] = overlap.reshape(len(rows), -1).max(axis=1)
    return best


def coverage(best: np.ndarray, truth: Objects, label: int | None = None) -> Coverage:
    """The coverage of one class, or of all together.

    Args:
        best: (G,) of `best_overlaps`.
        truth: the objects.
        label: the class; None: all.
    """
    counted = best[~truth.difficult & ((truth.labels == label) | (label is None))]
    if len(counted) == 0:
        return Coverage(math.nan, math.nan, math.nan, 0)
    return Coverage(
        recall_at_50=float(np.mean(counted >= 0.5)),
        recall_at_70=float(np.mean(counted >= 0.7)),
        mean_best_iou=float(np.mean(counted)),
        objects=len(counted),
    )
