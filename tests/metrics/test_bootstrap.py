import numpy as np
import pytest

from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.bootstrap import (
    DEFINITIONS,
    bootstrap_intervals,
    resampled_average_precisions,
    sample_counts,
)


def lists(seed: int, images: int = 60, grades: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and which of the images are positive."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, grades, images).astype(float), rng.random(images) < 0.2


@pytest.mark.parametrize("seed", range(8))
def test_resampled_scores_equal_those_of_the_written_out_resample(seed: int) -> None:
    scores, positive = lists(seed)
    positive[0] = True
    counts = sample_counts(len(scores), 40, seed)
    found = resampled_average_precisions(scores, positive, counts)
    for b in range(counts.shape[1]):
        again = np.repeat(np.arange(len(scores)), counts[:, b])
        labels = np.where(positive[again], 1, -1).astype(np.int8)
        plain = multilabel_scores(scores[again, None], labels[:, None])
        expected = [getattr(plain, f"ap_{name}")[0] for name in DEFINITIONS]
        np.testing.assert_allclose(found[:, b], expected, atol=1e-12)


def test_positives_that_tie_with_each_other_and_with_the_penalty_of_a_negative() -> None:
    # 1 - 1e-5 of the positives equals the negative's score: one group of three.
    scores, positive = np.array([1.0, 1.0, 1.0 - 1e-5]), np.array([True, True, False])
    found = resampled_average_precisions(scores, positive, np.ones((3, 1), np.int32))
    np.testing.assert_allclose(found[:, 0], 2 / 3)


def test_each_draw_has_as_many_images_as_there_are() -> None:
    counts = sample_counts(50, 200, seed=0)
    np.testing.assert_array_equal(counts.sum(axis=0), 50)
    assert counts.mean() == 1.0
    assert (counts == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)
    np.testing.assert_array_equal(counts, sample_counts(50, 200, seed=0))
    assert (counts != sample_counts(50, 200, seed=1)).any()


def test_the_interval_holds_the_score_and_shrinks_with_more_images() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for images in (100, 1600):
        labels = np.where(rng.random((images, 4)) < 0.3, 1, -1).astype(np.int8)
        scores = labels + 2 * rng.normal(size=labels.shape)
        plain = multilabel_scores(scores, labels)
        intervals = bootstrap_intervals(scores, labels)
        for name in DEFINITIONS:
            low, high = intervals[name].mean
            assert low < getattr(plain, f"mean_ap_{name}") < high
            ends = intervals[name].per_class
            ap = getattr(plain, f"ap_{name}")
            assert ((ends[:, 0] < ap) & (ap < ends[:, 1])).all()
        low, high = intervals["sklearn"].mean
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4)


def drawn_scores(images: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Weak scores of rare classes, as a short run has them."""
    labels = np.where(rng.random((images, 5)) < 0.08, 1, -1).astype(np.int8)
    return 0.3 * labels + rng.normal(size=labels.shape), labels


def test_nineteen_of_twenty_intervals_hold_the_score_of_all_images_there_could_be() -> None:
    rng = np.random.default_rng(0)
    truth = multilabel_scores(*drawn_scores(400_000, rng)).mean_ap_sklearn
    held = 0
    for _ in range(60):
        low, high = bootstrap_intervals(*drawn_scores(600, rng), draws=200)["sklearn"].mean
        held += low <= truth <= high
    assert held >= 51  # Plain percentiles hold it 43 times.


def test_perfect_scores_have_an_interval_of_width_zero() -> None:
    labels = np.array([[1], [1], [-1], [-1]], dtype=np.int8)
    intervals = bootstrap_intervals(labels.astype(float), labels)
    for name in DEFINITIONS:
        np.testing.assert_allclose(intervals[name].mean, 1)


def test_a_class_without_positives_has_no_interval_and_does_not_count() -> None:
    labels = np.array([[1, -1], [-1, -1]] * 5, dtype=np.int8)
    intervals = bootstrap_intervals(labels.astype(float), labels)
    assert np.isnan(intervals["area"].per_class[1]).all()
    np.testing.assert_allclose(intervals["area"].mean, 1)


def test_ignored_images_are_drawn_but_not_counted() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(40, 1))
    labels = np.where(rng.random((40, 1)) < 0.4, 1, -1).astype(np.int8)
    labels[:10] = 0
    shifted = scores.copy()
    shifted[:10] += 100
    first, second = (bootstrap_intervals(s, labels)["sklearn"].mean for s in (scores, shifted))
    np.testing.assert_array_equal(first, second)
