"""Which regions Fast R-CNN trains on, and in what form the network takes them.

Source: rbgirshick/fast-rcnn, lib/roi_data_layer (minibatch.py, roidb.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cebench.models.box_coding import box_iou, encode_boxes


class LabelledRois(NamedTuple):
    """Regions of one image with what the network should say about them."""

    boxes: NDArray[np.float32]
    """(R, 4) half-open, in pixels of the image."""
    labels: NDArray[np.int64]
    """(R,), 0 background, otherwise the object's label + 1."""
    targets: NDArray[np.float32]
    """(R, 4) of `encode_boxes`, not normalised; 0 for the background."""


def label_rois(
    boxes: NDArray[np.float32],
    gt_boxes: NDArray[np.float32],
    gt_labels: NDArray[np.int64],
    foreground_iou: float = 0.5,
) -> tuple[LabelledRois, NDArray[np.float64]]:
    """Give each box the object that it overlaps most, if it overlaps enough.

    Args:
        boxes: (R, 4) half-open.
        gt_boxes: (G, 4) half-open; difficult objects are among them in the original.
        gt_labels: (G,), 0..classes-1.
        foreground_iou: least IoU at which a box takes on the object's label and target.

    Returns:
        The labelled boxes and each box's largest IoU (R,), 0 in an image without objects.
    """
    labels = np.zeros(len(boxes), np.int64)
    targets = np.zeros((len(boxes), 4), np.float32)
    overlaps = box_iou(boxes, gt_boxes)
    largest: NDArray[np.float64] = overlaps.max(axis=1, initial=0)
    foreground = np.flatnonzero(largest >= foreground_iou)
    if len(foreground) > 0:
        nearest = overlaps[foreground].argmax(axis=1)
        labels[foreground] = gt_labels[nearest] + 1
        targets[foreground] = encode_boxes(boxes[foreground], gt_boxes[nearest])
    return LabelledRois(boxes, labels, targets), largest


def sample_rois(
    rng: np.random.Generator,
    proposals: NDArray[np.float32],
    gt_boxes: NDArray[np.float32],
    gt_labels: NDArray[np.int64],
    rois_per_image: int = 64,
    foreground_fraction: float = 0.25,
    foreground_iou: float = 0.5,
    background_iou: tuple[float, float] = (0.1, 0.5),
) -> LabelledRois:
    """Draw an image's regions for one step, foreground first; a function of its arguments.

    The objects' own boxes compete as proposals do. Foreground (IoU >= `foreground_iou`) fills at
    most its fraction; background has an IoU in the half-open interval `background_iou`. Where
    there is too little of it the result is shorter: nothing is filled up.

    Args:
        rng: source of the draw.
        proposals: (P, 4) half-open.
        gt_boxes: (G, 4) half-open.
        gt_labels: (G,), 0..classes-1.
        rois_per_image: most regions drawn.
        foreground_fraction: largest part of them that is foreground.
        foreground_iou: see above.
        background_iou: see above.
    """
    candidates, overlaps = label_rois(
        np.concatenate([gt_boxes, proposals]), gt_boxes, gt_labels, foreground_iou
    )
    low, high = background_iou
    foreground = np.flatnonzero(overlaps >= foreground_iou)
    background = np.flatnonzero((overlaps >= low) & (overlaps < high))
    num_foreground = min(round(foreground_fraction * rois_per_image), len(foreground))
    num_background = min(rois_per_image - num_foreground, len(background))
    chosen = np.concatenate(
        [
            rng.choice(foreground, num_foreground, replace=False),
            rng.choice(background, num_background, replace=False),
        ]
    )
    return LabelledRois(*(array[chosen] for array in candidates))


def pyramid_rois(boxes: NDArray[np.float32], scales: Sequence[float]) -> Tensor:
    """One image's regions, each at the scale where its area is closest to 224 x 224 pixels.

    Args:
        boxes: (R, 4) half-open, in pixels of the stored image.
        scales: network pixels per stored pixel, ascending or not; the first of equals is taken.

    Returns:
        (R, 5) as `network_rois`, with the index of the scale in place of the image's.

    Source: lib/fast_rcnn/test.py, _project_im_rois.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1, dtype=np.float64)
    distance = np.abs(areas[:, None] * np.square(scales) - 224**2)
    level = distance.argmin(axis=1)
    every = network_rois([boxes] * len(scales), scales).view(len(scales), len(boxes), 5)
    return every[torch.from_numpy(level), torch.arange(len(boxes))]


def network_rois(boxes: Sequence[NDArray[np.float32]], scales: Sequence[float]) -> Tensor:
    """Regions of a batch as `FastRCNN` takes them.

    The original scales inclusive corners, so the half-open x1 becomes (x1 - 1) * scale + 1.

    Args:
        boxes: per image (R_i, 4) half-open, in pixels of the stored image.
        scales: per image, network pixels per stored pixel.

    Returns:
        (sum of R_i, 5) float32: index of the image in the batch, x0 y0 x1 y1 half-open, in pixels
        of the network's input.
    """
    inclusive = np.array([0, 0, 1, 1], np.float32)
    rows = [
        np.insert((of_image - inclusive) * scale + inclusive, 0, index, axis=1)
        for index, (of_image, scale) in enumerate(zip(boxes, scales, strict=True))
    ]
    return torch.from_numpy(np.concatenate(rows, dtype=np.float32))
