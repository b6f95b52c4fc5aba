"""Boxes of Fast R-CNN: overlap, regression targets, and the way back from a prediction to a box.

The original (rbgirshick/fast-rcnn) works with inclusive corners x2 = x1 + pixels - 1 and takes
x2 - x1 as the width in its regression, but x2 - x1 + 1 in its areas. Our boxes are half-open
(x1 = x0 + pixels): the regression's width is x1 - x0 - 1 and areas need no correction. Numbers
agree with the original's exactly.
"""

import numpy as np
import torch
import torchvision.ops
from numpy.typing import NDArray
from torch import Tensor

_SMALLEST_SIDE = 1.0
"""Floor of a regression side. The original adds 1e-14 to it, which turns the targets of boxes one
pixel wide into about 1e14; boxes at least two pixels wide are not touched by either."""


def box_iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Intersection over union of half-open boxes: (R, 4) and (G, 4) to (R, G); 0 of empty boxes."""
    first, second = boxes[:, None].astype(np.float64), others[None].astype(np.float64)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    intersection = (high - low).clip(0).prod(axis=-1)
    areas = (first[..., 2:] - first[..., :2]).prod(axis=-1)
    other_areas = (second[..., 2:] - second[..., :2]).prod(axis=-1)
    union = areas + other_areas - intersection
    overlap: NDArray[np.float64] = np.divide(
        intersection, union, out=np.zeros_like(union), where=union > 0
    )
    return overlap


def encode_boxes(boxes: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Regression targets (dx, dy, dw, dh) that `decode_boxes` turns back into `targets`.

    The shift of the centre in units of the box's sides, and the logarithm of the sides' ratio.

    Args:
        boxes: (R, 4) half-open.
        targets: (R, 4) half-open, the object that belongs to each box.

    Returns:
        (R, 4) float32, not normalised.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2] - 1, _SMALLEST_SIDE)
    target_sides = np.maximum(targets[:, 2:] - targets[:, :2] - 1, _SMALLEST_SIDE)
    shift = targets[:, :2] + 0.5 * target_sides - (boxes[:, :2] + 0.5 * sides)
    return np.concatenate([shift / sides, np.log(target_sides / sides)], axis=1, dtype=np.float32)


def decode_boxes(boxes: Tensor, deltas: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Move each box by its predicted deltas, once per class; inverts `encode_boxes`.

    Args:
        boxes: (R, 4) half-open.
        deltas: (R, 4 * K) output of the network, in units of the normalised targets.
        mean: (K, 4) of `box_target_statistics`, which the targets were normalised by.
        std: (K, 4), likewise.

    Returns:
        (R, K, 4) half-open, not clipped.
    """
    deltas = deltas.view(len(boxes), len(mean), 4) * std + mean
    sides = (boxes[:, None, 2:] - boxes[:, None, :2] - 1).clamp(min=_SMALLEST_SIDE)
    centres = boxes[:, None, :2] + 0.5 * sides + deltas[..., :2] * sides
    sides = deltas[..., 2:].exp() * sides
    return torch.cat([centres - 0.5 * sides, centres + 0.5 * sides + 1], dim=-1)


def box_target_statistics(
    targets: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int = 20
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of the regression targets of each class.

    The protocol takes them over all boxes with IoU >= 0.5 of the flipped training set.

    Args:
        targets: (R, 4) of `encode_boxes`.
        labels: (R,), 0 background (left out), 1..num_classes objects.
        num_classes: number of object classes.

    Returns:
        mean, std: (num_classes + 1, 4) float32; 0 and 1 for the background and for absent
        classes, and a standard deviation of 1 in place of 0.
    """
    mean = np.zeros((num_classes + 1, 4), np.float32)
    std = np.ones((num_classes + 1, 4), np.float32)
    for label in np.unique(labels[labels > 0]):
        of_class = targets[labels == label].astype(np.float64)
        mean[label] = of_class.mean(axis=0)
        spread = of_class.std(axis=0)
        std[label] = np.where(spread > 0, spread, 1)
    return mean, std


def clip_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """Clip half-open boxes (..., 4) to an image; each keeps at least one pixel.

    x0 ends in [0, width - 1] and x1 in [1, width]. The original clips x1 y1 from below only and
    x2 y2 from above only: boxes with a pixel in the image become the same, one that lies outside
    has no area there and a pixel of the border here.
    """
    limit = boxes.new_tensor([width, height, width, height])
    offset = boxes.new_tensor([0, 0, 1, 1])
    return boxes.maximum(offset).minimum(limit - 1 + offset)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float = 0.3) -> Tensor:
    """Indices of the boxes that survive greedy suppression, best score first: (R, 4), (R,) to (K,).

    A box goes when its IoU with a better one exceeds the threshold. torchvision's areas of
    half-open boxes are the original's inclusive ones.
    """
    kept: Tensor = torchvision.ops.nms(boxes, scores, iou_threshold)
    return kept
