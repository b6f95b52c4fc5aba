import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.svm import LinearSVC
from svm_scenes import clouds

from cebench.transfer import kernel_svm
from cebench.transfer.kernel_svm import TrainSpan, fit
from cebench.transfer.options import COSTS


def liblinear(features: np.ndarray, signs: np.ndarray, cost: float) -> LinearSVC:
    """What the benchmark fits, solved to the end: by Newton's method on the weights."""
    exact = LinearSVC(C=cost, class_weight={1: 2, -1: 1}, dual=False, tol=1e-9, max_iter=100_000)
    return exact.fit(features, signs)


def weighted(signs: np.ndarray, cost: float) -> np.ndarray:
    return cost * np.where(signs == 1, 2.0, 1.0)


def test_two_images_solved_by_hand() -> None:
    """Features 1 and -1, signs 1 and -1, weight 1: w = 4 C (1 - w), and no bias."""
    span = TrainSpan.of(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    signs = np.array([[1], [-1]])
    for cost in (0.01, 1.0, 100.0):
        w = 4 * cost / (1 + 4 * cost)
        found = fit(span, signs, np.full((2, 1), cost))
        np.testing.assert_allclose(span.rows @ found, [[w], [-w]], rtol=2e-3)
        # An image with feature 3 has products 3 and -3.
        far = span.scores(found, np.array([[3.0, -3.0]])).item()
        assert far == pytest.approx(3 * w, rel=2e-3)


@pytest.mark.parametrize("size", [5, 300])
def test_every_cost_gives_the_scores_of_liblinear(size: int) -> None:
    train, signs = clouds(120, size)
    test, truth = clouds(80, size, seed=1)
    span = TrainSpan.of(train @ train.T)
    start = None
    for cost in sorted(COSTS):
        costs = weighted(signs, cost)[:, None]
        start = fit(span, signs[:, None], costs, start)
        found = span.scores(start, test @ train.T)[:, 0]
        expected = liblinear(train, signs, cost).decision_function(test)
        assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()
        difference = average_precision_score(truth == 1, found) - average_precision_score(
            truth == 1, expected
        )
        assert abs(difference) < 1e-3


def test_an_image_of_weight_zero_is_as_if_it_were_not_there() -> None:
    train, signs = clouds(90, 40)
    kept = np.arange(90) % 3 > 0
    span, part = TrainSpan.of(train @ train.T), TrainSpan.of(train[kept] @ train[kept].T)
    costs = np.where(kept, weighted(signs, 10.0), 0.0)
    found = (span.rows @ fit(span, signs[:, None], costs[:, None]))[kept]
    alone = part.rows @ fit(part, signs[kept, None], costs[kept, None])
    np.testing.assert_allclose(found, alone, atol=0.01)


def test_columns_do_not_depend_on_each_other() -> None:
    train, signs = clouds(60, 200)
    span = TrainSpan.of(train @ train.T)
    both = np.stack([signs, np.roll(signs, 7), -signs], axis=1)
    costs = np.stack([weighted(s, c) for s, c in zip(both.T, (1e-6, 1.0, 100.0), strict=True)], 1)
    together = span.rows @ fit(span, both, costs)
    for column in range(3):
        alone = span.rows @ fit(span, both[:, [column]], costs[:, [column]])
        scale = np.abs(alone).max()
        np.testing.assert_allclose(together[:, [column]], alone, atol=5e-3 * scale)


def test_the_gradient_of_the_stated_objective_vanishes() -> None:
    """|w|^2 / 2 + C sum c (1 - y f)^2 with c = 2 for positives and the bias among the weights."""
    train, signs = clouds(80, 6)
    span = TrainSpan.of(train @ train.T)
    costs = weighted(signs, 0.3)[:, None]
    weights = fit(span, signs[:, None], costs)
    # The score of nothing is the bias, that of a unit vector a weight more.
    points = np.vstack([np.zeros(6), np.eye(6)])
    bias, *steps = span.scores(weights, points @ train.T)[:, 0]
    w = np.array(steps) - bias
    slack = np.maximum(0, 1 - signs * (train @ w + bias)) * np.where(signs == 1, 2, 1)
    length = np.hypot(np.linalg.norm(w), bias)
    assert np.linalg.norm(w - 2 * 0.3 * (slack * signs) @ train) < 0.01 * length
    assert abs(bias - 2 * 0.3 * (slack * signs).sum()) < 0.01 * length


def test_the_end_does_not_depend_on_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    train, signs = clouds(100, 50)
    span, signs = TrainSpan.of(train @ train.T), signs[:, None]
    costs = weighted(signs, 100.0)
    far = np.random.default_rng(0).normal(size=(span.rows.shape[1], 1)) * 50
    found, expected = fit(span, signs, costs, far), fit(span, signs, costs)
    distance = np.linalg.norm(found - expected)
    assert distance < 3 * kernel_svm.TOLERANCE * np.linalg.norm(expected)
    monkeypatch.setattr(kernel_svm, "NEWTON_STEPS", 0)
    assert np.array_equal(fit(span, signs, costs, far), far)
