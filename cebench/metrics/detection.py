"""VOC detection: which detections are right, and average precision per class.

Boxes are 0-based and half-open, so x1 - x0 is a width in pixels: the same overlaps as the devkit's
inclusive boxes with their `+ 1`, without one.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cebench.metrics.average_precision import average_precision_area, average_precision_voc07_11pt
from cebench.metrics.means import mean_of_defined

TRUE_POSITIVE, NOT_COUNTED, FALSE_POSITIVE = 1, 0, -1

BOXES_PER_IMAGE = 100
"""Most detections of an image: per class before suppression in Fast R-CNN's own code, over all
classes after it in py-faster-rcnn's."""
LEAST_SCORE = 0.05
"""py-faster-rcnn drops detections whose score is not above it."""


@dataclass(frozen=True)
class Detections:
    """Detections of all classes over a whole set, in any order; equal scores rank in row order."""

    images: np.ndarray
    """(D,) int64, index of the image in the set."""
    labels: np.ndarray
    """(D,) int64, class index."""
    scores: np.ndarray
    """(D,) float, finite."""
    boxes: np.ndarray
    """(D, 4) x0 y0 x1 y1, 0-based half-open; float32 or float64."""


@dataclass(frozen=True)
class Objects:
    """The annotated objects of all classes over a whole set."""

    images: np.ndarray
    """(G,) int64, index of the image in the set."""
    labels: np.ndarray
    """(G,) int64, class index."""
    boxes: np.ndarray
    """(G, 4) x0 y0 x1 y1, 0-based half-open."""
    difficult: np.ndarray
    """(G,) bool."""


@dataclass(frozen=True)
class ClassDetectionScores:
    """One class; both average precisions are nan if it has no counted object."""

    ap_voc07_11pt: float
    ap_area: float
    objects: int
    """Objects counted: those not difficult."""
    detections: int


class ClassCurve(NamedTuple):
    """One class's detections from the highest score down."""

    precision: np.ndarray
    """(D,) float64, of the detections so far."""
    recall: np.ndarray
    """(D,) float64; 0 in a class without counted objects."""
    objects: int
    """Objects counted: those not difficult."""


@dataclass(frozen=True)
class DetectionScores:
    """The means are over the classes that have counted objects (nan if none has)."""

    mean_ap_voc07_11pt: float
    mean_ap_area: float
    per_class: tuple[ClassDetectionScores, ...]


def stack_objects(per_image: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Objects:
    """Join the objects of the set's images, given in the set's order.

    Args:
        per_image: for each image its boxes (R, 4), labels (R,) and difficult (R,).
    """
    images, boxes, labels, difficult = [], [], [], []
    for index, (image_boxes, image_labels, image_difficult) in enumerate(per_image):
        images.append(np.full(len(image_labels), index, dtype=np.int64))
        boxes.append(image_boxes)
        labels.append(image_labels)
        difficult.append(image_difficult)
    if not images:
        empty = np.zeros(0, dtype=np.int64)
        return Objects(empty, empty, np.zeros((0, 4), np.float32), empty.astype(np.bool_))
    return Objects(*(np.concatenate(parts) for parts in (images, labels, boxes, difficult)))


def detection_scores(
    detections: Detections, truth: Objects, num_classes: int, iou_threshold: float = 0.5
) -> DetectionScores:
    """VOC average precision of every class, by both definitions.

    Args:
        detections: of the whole set.
        truth: every object of the set, difficult ones included.
        num_classes: labels run from 0 to num_classes - 1.
        iou_threshold: an overlap must exceed it.

    Raises:
        ValueError: a score is not finite.
    """
    curves = class_curves(detections, truth, num_classes, iou_threshold)
    per_class = [_class_scores(curve) for curve in curves]
    return DetectionScores(
        mean_ap_voc07_11pt=mean_of_defined(np.array([c.ap_voc07_11pt for c in per_class])),
        mean_ap_area=mean_of_defined(np.array([c.ap_area for c in per_class])),
        per_class=tuple(per_class),
    )


def class_curves(
    detections: Detections, truth: Objects, num_classes: int, iou_threshold: float = 0.5
) -> list[ClassCurve]:
    """Precision and recall of every class, for the arguments of `detection_scores`."""
    outcomes = match_detections(detections, truth, iou_threshold)
    order = by_score(detections.scores)
    ranked_labels, ranked_outcomes = detections.labels[order], outcomes[order]
    curves = []
    for label in range(num_classes):
        objects = int(np.count_nonzero((truth.labels == label) & ~truth.difficult))
        ranked = ranked_outcomes[ranked_labels == label]
        right = np.cumsum(ranked == TRUE_POSITIVE)
        counted = np.cumsum(ranked != NOT_COUNTED)
        precision, recall = right / np.maximum(counted, 1), right / max(objects, 1)
        curves.append(ClassCurve(precision, recall, objects))
    return curves


def match_detections(
    detections: Detections, truth: Objects, iou_threshold: float = 0.5
) -> np.ndarray:
    """Judge every detection: TRUE_POSITIVE, FALSE_POSITIVE or NOT_COUNTED, (D,) int8 in row order.

    A detection looks only at the object of its class and image that it overlaps most (the first of
    equals). If that overlap exceeds the threshold, the object decides: a difficult one is not
    counted, another is a true positive for the highest-scored detection that chose it, and every
    later one is a false positive. So py-faster-rcnn's
    voc_eval.py; the devkit's VOCevaldet.m lets an overlap of exactly the threshold count.

    Raises:
        ValueError: a score is not finite.
    """
    chosen, overlap = best_objects(detections, truth)
    outcomes = np.full(len(chosen), FALSE_POSITIVE, dtype=np.int8)
    order = by_score(detections.scores)
    hits = order[overlap[order] > iou_threshold]
    difficult = truth.difficult[chosen[hits]]
    outcomes[hits[difficult]] = NOT_COUNTED
    hits = hits[~difficult]
    _, first = np.unique(chosen[hits], return_index=True)
    outcomes[hits[first]] = TRUE_POSITIVE
    return outcomes


def _class_scores(curve: ClassCurve) -> ClassDetectionScores:
    precision, recall, objects = curve
    if objects == 0:
        return ClassDetectionScores(math.nan, math.nan, objects, len(precision))
    return ClassDetectionScores(
        ap_voc07_11pt=average_precision_voc07_11pt(precision, recall),
        ap_area=average_precision_area(precision, recall),
        objects=objects,
        detections=len(precision),
    )


def by_score(scores: np.ndarray) -> np.ndarray:
    """Row numbers, highest score first, equal scores in row order.

    Raises:
        ValueError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, got nan or infinity")
    return np.argsort(-scores, kind="stable")


def best_objects(detections: Detections, truth: Objects) -> tuple[np.ndarray, np.ndarray]:
    """For every detection the row of the object it overlaps most (or 0), and the overlap."""
    places = 1 + max(detections.images.max(initial=0), truth.images.max(initial=0))
    pair_detection, pair_object = pairs_at_one_place(
        detections.labels * places + detections.images, truth.labels * places + truth.images
    )
    overlap = paired_iou(detections.boxes[pair_detection], truth.boxes[pair_object])

    best = np.zeros(len(detections.images))
    chosen = np.zeros(len(best), dtype=np.int64)
    if len(overlap):
        first_pair = np.flatnonzero(np.diff(pair_detection, prepend=-1))
        best[pair_detection[first_pair]] = np.maximum.reduceat(overlap, first_pair)
        is_best = np.flatnonzero(overlap == best[pair_detection])
        # Backwards, so that the first of equal overlaps is written last.
        chosen[pair_detection[is_best[::-1]]] = pair_object[is_best[::-1]]
    return chosen, best


def pairs_at_one_place(
    detection_place: np.ndarray, object_place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every pair of a detection and an object whose places, (D,) and (G,), are equal.

    In the order of the detections, then of the objects.
    """
    by_place = np.argsort(object_place, kind="stable")
    ranked_place = object_place[by_place]
    start = np.searchsorted(ranked_place, detection_place, side="left")
    count = np.searchsorted(ranked_place, detection_place, side="right") - start
    pair_detection = np.repeat(np.arange(len(count)), count)
    first_pair = np.cumsum(count) - count
    pair_rank = np.arange(len(pair_detection)) - first_pair[pair_detection]
    return pair_detection, by_place[start[pair_detection] + pair_rank]


def paired_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of (P, 4) and (P, 4), row by row, float64; 0 for empty boxes."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    width = np.minimum(first[:, 2], second[:, 2]) - np.maximum(first[:, 0], second[:, 0])
    height = np.minimum(first[:, 3], second[:, 3]) - np.maximum(first[:, 1], second[:, 1])
    common = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    overlap = np.zeros(len(common))
    np.divide(common, _areas(first) + _areas(second) - common, out=overlap, where=common > 0)
    return overlap


def _areas(boxes: np.ndarray) -> np.ndarray:
    areas: np.ndarray = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas
