import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC
from svm_scenes import clouds

from cebench.transfer.kernel_svm import TrainSpan
from cebench.transfer.options import COSTS
from cebench.transfer.support_vectors import Svms, best_cost, cross_validated_scores


def of_liblinear(features: np.ndarray, signs: np.ndarray, costs: tuple[float, ...]) -> np.ndarray:
    """What the benchmark does for one class, solved to the end."""
    svms = [
        LinearSVC(C=c, class_weight={1: 2, -1: 1}, dual=False, tol=1e-8, max_iter=10_000)
        for c in costs
    ]
    folds = {"cv": StratifiedKFold(3), "scoring": "average_precision"}
    return np.array([cross_val_score(svm, features, signs, **folds).mean() for svm in svms])


def test_the_costs_are_the_benchmarks_in_its_order() -> None:
    assert len(COSTS) == 26
    assert COSTS[:10] == pytest.approx([1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 100])
    assert COSTS[10:] == (
        0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.001953125, 0.0009765625,
        0.00048828125, 0.000244140625, 0.0001220703125, 0.00006103515625, 0.000030517578125,
        0.0000152587890625, 0.00000762939453125, 0.000003814697265625, 0.0000019073486328125,
    )  # fmt: skip


def test_every_cost_is_scored_on_held_out_folds_as_scikit_learn_does() -> None:
    train, signs = clouds(90, 200)
    other = np.roll(signs, 5)
    both = np.stack([signs, other], axis=1)
    found = cross_validated_scores(TrainSpan.of(train @ train.T), both, COSTS, folds=3)
    assert found.shape == (26, 2)
    for column, of_class in enumerate((signs, other)):
        expected = of_liblinear(train, of_class, COSTS)
        np.testing.assert_allclose(found[:, column], expected, atol=1e-3)


def test_ignored_images_are_in_no_fold() -> None:
    train, signs = clouds(90, 30)
    signs[::7] = 0
    kept = signs != 0
    found = cross_validated_scores(TrainSpan.of(train @ train.T), signs[:, None], (1.0,), 3)
    assert found.item() == pytest.approx(
        of_liblinear(train[kept], signs[kept], (1.0,)).item(), 1e-3
    )


def test_the_best_cost_is_the_first_of_equals_and_without_folds_the_largest() -> None:
    assert best_cost((10.0, 1.0, 0.1), np.array([0.5, 0.7, 0.7])) == 1.0
    train, signs = clouds(20, 5)
    signs[:] = -1
    signs[3] = 1
    without = cross_validated_scores(TrainSpan.of(train @ train.T), signs[:, None], (0.1, 1.0), 3)
    assert best_cost((0.1, 1.0), without[:, 0]) == 1.0


def test_two_positives_have_two_folds() -> None:
    train, signs = clouds(20, 5)
    signs[:] = -1
    signs[[3, 8]] = 1
    found = cross_validated_scores(TrainSpan.of(train @ train.T), signs[:, None], (1.0,), 3)
    assert np.isfinite(found).all()


def test_distances_are_decision_values_over_the_length_of_the_weights() -> None:
    train, signs = clouds(80, 12)
    test, _ = clouds(30, 12, seed=1)
    chosen = np.array([1e-7, 10.0])
    both = np.stack([signs, signs], axis=1)
    svms = Svms.of(TrainSpan.of(train @ train.T), both, chosen)
    found = svms.distances(test @ train.T)
    for column, cost in enumerate(chosen):
        svm = LinearSVC(C=cost, class_weight={1: 2, -1: 1}, dual=False, tol=1e-9, max_iter=10_000)
        svm.fit(train, signs)
        length = np.hypot(np.linalg.norm(svm.coef_), svm.intercept_[0])
        expected = svm.decision_function(test) / length
        np.testing.assert_allclose(found[:, column], expected, atol=2e-3)
