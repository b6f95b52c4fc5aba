"""Why detections are wrong: place, class, background or repetition.

Source: Hoiem, Chodpathumwan and Dai, "Diagnosing error in object detectors", ECCV 2012; theirs
counts repetitions among the errors of place.
"""

import numpy as np

from cebench.metrics.detection import (
    NOT_COUNTED,
    TRUE_POSITIVE,
    Detections,
    Objects,
    by_score,
    match_detections,
    paired_iou,
    pairs_at_one_place,
)

KINDS = ("correct", "duplicate", "location", "similar class", "other class", "background")
"""In the order in which a kind is assigned; the first that applies counts."""

LEAST_OVERLAP = 0.1
"""IoU from which a wrong detection is put down to an object."""


def error_kinds(
    detections: Detections, truth: Objects, similar: np.ndarray, iou_threshold: float = 0.5
) -> np.ndarray:
    """Kinds of every class's top detections: as many as it has counted objects.

    A duplicate overlaps an object of its class by more than the threshold, but the object was found
    by a better one. location: an overlap of at least 0.1 with an object of its class. similar and
    other class: the same with an object of another class. background: none of these. Detections
    of difficult objects are passed over; difficult objects do explain errors.

    Args:
        detections: of the whole set.
        truth: every object of the set.
        similar: (C, C) bool, which pairs of different classes are alike.
        iou_threshold: an overlap must exceed it.

    Returns:
        (C, len(KINDS)) int64 counts.
    """
    outcomes = match_detections(detections, truth, iou_threshold)
    counts = np.zeros((len(similar), len(KINDS)), dtype=np.int64)
    order = by_score(detections.scores)
    order = order[outcomes[order] != NOT_COUNTED]
    for label in range(len(similar)):
        objects = np.count_nonzero((truth.labels == label) & ~truth.difficult)
        rows = order[detections.labels[order] == label][:objects]
        own, alike, other = _overlaps(detections, rows, truth, similar)
        right = outcomes[rows] == TRUE_POSITIVE
        conditions = [right, own > iou_threshold]
        conditions += [best >= LEAST_OVERLAP for best in (own, alike, other)]
        kinds = np.select(conditions, list(range(len(conditions))), len(conditions))
        counts[label] = np.bincount(kinds, minlength=len(KINDS))
    return counts


def _overlaps(
    detections: Detections, rows: np.ndarray, truth: Objects, similar: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Largest IoU of each row's detection with an object of its class, a similar, another class."""
    pair_row, pair_object = pairs_at_one_place(detections.images[rows], truth.images)
    overlap = paired_iou(detections.boxes[rows][pair_row], truth.boxes[pair_object])
    labels, object_labels = detections.labels[rows][pair_row], truth.labels[pair_object]
    own, alike = labels == object_labels, similar[labels, object_labels]
    best = []
    for chosen in (own, alike, ~own & ~alike):
        largest = np.zeros(len(rows))
        np.maximum.at(largest, pair_row[chosen], overlap[chosen])
        best.append(largest)
    return best[0], best[1], best[2]
