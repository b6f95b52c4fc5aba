import math

import numpy as np

from cebench.metrics.detection import Objects
from cebench.metrics.proposals import best_overlaps, coverage

# Image 0 has two objects, image 1 a difficult one, image 2 one, image 3 none.
TRUTH = Objects(
    images=np.array([0, 0, 1, 2]),
    labels=np.array([3, 5, 3, 3]),
    boxes=np.array([[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 8, 8], [0, 0, 4, 4]], np.float32),
    difficult=np.array([False, False, True, False]),
)
NONE = np.zeros((0, 4), np.float32)
BOXES = [
    np.array([[0, 0, 10, 6], [20, 0, 30, 8], [50, 50, 60, 60]], np.float32),
    np.array([[0, 0, 8, 8]], np.float32),
    NONE,
    np.array([[0, 0, 3, 3]], np.float32),
]


def test_best_overlap_is_that_of_the_own_image() -> None:
    # 60 of 100 pixels, 80 of 100, all, and an image without proposals.
    np.testing.assert_allclose(best_overlaps(BOXES, TRUTH), [0.6, 0.8, 1, 0], atol=1e-15)
    assert best_overlaps([], Objects(*(a[:0] for a in vars(TRUTH).values()))).shape == (0,)


def test_recall_counts_objects_that_are_not_difficult() -> None:
    best = best_overlaps(BOXES, TRUTH)
    whole = coverage(best, TRUTH)
    assert (whole.objects, whole.recall_at_50, whole.recall_at_70) == (3, 2 / 3, 1 / 3)
    assert math.isclose(whole.mean_best_iou, 1.4 / 3)
    third = coverage(best, TRUTH, 3)
    assert (third.objects, third.recall_at_50, third.recall_at_70) == (2, 0.5, 0.0)
    nothing = coverage(best, TRUTH, 7)
    assert nothing.objects == 0
    assert math.isnan(nothing.recall_at_50)


def test_an_overlap_of_exactly_the_threshold_is_found() -> None:
    half = [np.array([[0, 0, 10, 5]], np.float32)] + [NONE] * 3
    assert coverage(best_overlaps(half, TRUTH), TRUTH).recall_at_50 == 1 / 3
