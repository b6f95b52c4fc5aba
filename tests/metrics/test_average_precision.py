import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from cebench.metrics.average_precision import (
    average_precision_area,
    average_precision_stepwise,
    average_precision_voc07_11pt,
    multilabel_scores,
    overtaken_positives,
    precision_recall,
)

# Ranked: positive, negative, positive, negative, positive.
#   recall     1/3  1/3  2/3  2/3   1
#   precision   1   1/2  2/3  1/2  3/5
SCORES = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
POSITIVE = np.array([True, False, True, False, True])


def test_stepwise_of_five_images_solved_by_hand() -> None:
    # 1/3 (1 + 2/3 + 3/5)
    ap = average_precision_stepwise(*precision_recall(SCORES, POSITIVE))
    assert ap == pytest.approx(34 / 45, abs=1e-15)


def test_area_of_five_images_solved_by_hand() -> None:
    # The best precision from each recall on: 1, 2/3, 3/5: here the same as step by step.
    ap = average_precision_area(*precision_recall(SCORES, POSITIVE))
    assert ap == pytest.approx(34 / 45, abs=1e-15)


def test_eleven_points_of_five_images_solved_by_hand() -> None:
    # Levels 0 .1 .2 .3 see precision 1; .4 .5 .6 see 2/3; .7 .8 .9 1 see 3/5.
    ap = average_precision_voc07_11pt(*precision_recall(SCORES, POSITIVE))
    assert ap == pytest.approx((4 * 1 + 3 * 2 / 3 + 4 * 3 / 5) / 11, abs=1e-15)


def test_area_lies_above_stepwise_where_precision_rises() -> None:
    # negative, positive, positive: precision at recall 1/2 and 1 is 1/2 and 2/3.
    curve = precision_recall(np.array([3.0, 2.0, 1.0]), np.array([False, True, True]))
    assert average_precision_stepwise(*curve) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert average_precision_area(*curve) == pytest.approx(2 / 3)
    assert average_precision_voc07_11pt(*curve) == pytest.approx(2 / 3)


def test_perfect_ranking_is_exactly_one_by_every_definition() -> None:
    for positives in range(1, 40):
        positive = np.arange(60) < positives
        curve = precision_recall(-np.arange(60.0), positive)
        assert average_precision_voc07_11pt(*curve) == 1.0
        assert average_precision_area(*curve) == pytest.approx(1.0, abs=1e-15)
        assert average_precision_stepwise(*curve) == pytest.approx(1.0, abs=1e-15)


def test_recall_not_reached_counts_as_precision_zero() -> None:
    # Half of the objects found, without a mistake: levels 0 to .5 see 1, the others nothing.
    precision, recall = np.array([1.0]), np.array([0.5])
    assert average_precision_voc07_11pt(precision, recall) == pytest.approx(6 / 11)
    assert average_precision_area(precision, recall) == 0.5


def test_empty_curve_is_zero() -> None:
    empty = np.zeros(0)
    assert average_precision_voc07_11pt(empty, empty) == 0.0
    assert average_precision_area(empty, empty) == 0.0


@pytest.mark.parametrize("decimals", [0, 1, 2, 15])
def test_stepwise_equals_scikit_learn_with_and_without_ties(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    for _ in range(20):
        scores = rng.normal(size=300).round(decimals)
        labels = rng.choice([-1, 0, 1], size=300, p=[0.7, 0.1, 0.2]).astype(np.int8)
        kept = labels != 0
        # philkr/voc-classification lowers the positives' scores by 1e-5.
        lowered = scores[kept] - 1e-5 * (labels[kept] == 1)
        expected = average_precision_score(labels[kept] == 1, lowered)
        found = multilabel_scores(scores[:, None], labels[:, None])
        assert found.ap_sklearn[0] == pytest.approx(expected, abs=1e-12)


def test_all_definitions_equal_loops_over_thresholds_with_ties() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        scores = rng.integers(0, 8, 40).astype(float)
        labels = rng.choice([-1, 1], size=40).astype(np.int8)
        found = multilabel_scores(scores[:, None], labels[:, None])
        expected = _by_thresholds(scores, labels == 1)
        assert (found.ap_voc07_11pt[0], found.ap_area[0]) == pytest.approx(expected, abs=1e-12)


def _by_thresholds(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """11 points and area, asking at every cut of the list that ranks negatives first in a tie."""
    ranked = sorted(zip(scores, positive, strict=True), key=lambda pair: (-pair[0], pair[1]))
    points = []
    for cut in range(1, len(ranked) + 1):
        hits = sum(is_positive for _, is_positive in ranked[:cut])
        points.append((hits / positive.sum(), hits / cut))
    eleven = sum(
        max((p for r, p in points if r >= level), default=0) for level in np.arange(0, 1.1, 0.1)
    )
    recalls = sorted({r for r, _ in points} | {0.0})
    area = sum(
        (high - low) * max(p for r, p in points if r >= high)
        for low, high in itertools.pairwise(recalls)
    )
    return eleven / 11, area


def test_equal_scores_rank_against_the_positives_in_any_order() -> None:
    scores, labels = np.zeros((4, 1)), np.array([[1], [-1], [-1], [-1]], dtype=np.int8)
    for shift in range(4):
        found = multilabel_scores(scores, np.roll(labels, shift, axis=0))
        assert found.ap_sklearn[0] == found.ap_voc07_11pt[0] == found.ap_area[0] == 0.25


def test_positives_that_the_penalty_puts_behind_lower_negatives_are_counted() -> None:
    labels = np.array([[1], [1], [1], [-1], [-1], [0]], dtype=np.int8)
    # The first falls behind 0.5, the second only ties with it, the third is far above all.
    scores = np.array([[0.5 + 4e-6], [0.5], [0.6], [0.5], [0.1], [0.6 - 1e-6]])
    assert overtaken_positives(scores, labels) == 1
    assert overtaken_positives(1e3 * scores, labels) == 0


def test_ignored_images_change_nothing() -> None:
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=(50, 3)), rng.choice([-1, 1], size=(50, 3)).astype(np.int8)
    more_scores = np.vstack([scores, np.full((5, 3), 99.0)])
    more_labels = np.vstack([labels, np.zeros((5, 3), dtype=np.int8)])
    kept, more = multilabel_scores(scores, labels), multilabel_scores(more_scores, more_labels)
    np.testing.assert_array_equal(more.ap_sklearn, kept.ap_sklearn)
    np.testing.assert_array_equal(more.ap_voc07_11pt, kept.ap_voc07_11pt)
    np.testing.assert_array_equal(more.images, [50, 50, 50])


def test_class_without_positives_is_nan_and_left_out_of_the_mean() -> None:
    labels = np.array([[1, -1, 0], [-1, -1, -1]], dtype=np.int8)
    found = multilabel_scores(np.array([[2.0, 2.0, 2.0], [1.0, 1.0, 1.0]]), labels)
    np.testing.assert_array_equal(found.ap_sklearn, [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(found.positives, [1, 0, 0])
    assert found.mean_ap_sklearn == found.mean_ap_voc07_11pt == found.mean_ap_area == 1.0


def test_mean_without_any_positive_is_nan() -> None:
    found = multilabel_scores(np.ones((2, 2)), np.full((2, 2), -1, dtype=np.int8))
    assert math.isnan(found.mean_ap_sklearn)


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        multilabel_scores(np.array([[np.nan]]), np.array([[1]], dtype=np.int8))


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1\), \(2, 3\)"):
        multilabel_scores(np.ones((2, 1)), np.ones((2, 3), dtype=np.int8))
