import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

from cebench.data.store.ragged import RaggedImages
from cebench.errors import Interrupted
from cebench.models.backbones import CAFFENET, build_backbone
from cebench.transfer import frozen_features
from cebench.transfer.frozen_features import (
    best_cost,
    cross_validated_scores,
    fit_svm,
    layer_features,
    learnable,
    project_onto_train_span,
)
from cebench.weights.files import Preprocessing


def clouds(count: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of length 1 in two clouds that overlap, and their signs."""
    rng = np.random.default_rng(seed)
    signs = np.where(np.arange(count) % 4 == 0, 1, -1).astype(np.int8)
    features = rng.normal(size=(count, size)) + 0.6 * signs[:, None] * np.ones(size) / size**0.25
    return features / np.linalg.norm(features, axis=1, keepdims=True), signs


@pytest.mark.parametrize("size", [10, 200])
def test_turned_features_give_the_scores_of_the_features_themselves(size: int) -> None:
    train, signs = clouds(60, size)
    test, _ = clouds(25, size, seed=1)
    short_train, short_test = project_onto_train_span(
        train.astype(np.float32), test.astype(np.float32)
    )
    assert short_train.shape == (60, min(60, size))
    np.testing.assert_allclose(short_train @ short_train.T, train @ train.T, atol=1e-6)
    exact = {"max_iter": 100_000, "tol": 1e-10, "random_state": 0}
    plain = LinearSVC(C=0.5, class_weight={1: 2, -1: 1}, **exact).fit(train, signs)
    found = fit_svm(short_train, signs, 0.5).decision_function(short_test)
    np.testing.assert_allclose(found, plain.decision_function(test), atol=2e-3)


def test_the_svm_is_the_minimum_of_the_stated_objective() -> None:
    """|w|^2 / 2 + C sum c (1 - y f)^2 with c = 2 for positives and the bias among the weights."""
    train, signs = clouds(80, 6)
    cost = 0.3
    points = np.vstack([np.eye(6), np.zeros(6)])
    scores = fit_svm(train, signs, cost).decision_function(points)
    bias, weights = scores[-1], scores[:-1] - scores[-1]
    margin = signs * (train @ weights + bias)
    slack = np.maximum(0, 1 - margin) * np.where(signs == 1, 2, 1)
    gradient = weights - 2 * cost * (slack * signs) @ train
    assert np.abs(gradient).max() < 1e-3
    assert abs(bias - 2 * cost * (slack * signs).sum()) < 1e-3


def test_costs_are_scored_on_held_out_folds_as_scikit_learn_does() -> None:
    train, signs = clouds(90, 30)
    found = cross_validated_scores(train, signs, (1.0, 1e-6), folds=3)
    expected = cross_val_score(
        frozen_features.svm(1.0), train, signs, cv=3, scoring="average_precision"
    )
    assert found[0] == pytest.approx(expected.mean())
    assert found.shape == (2,)


def test_the_best_cost_is_the_smallest_of_equals_and_without_folds_the_largest() -> None:
    assert best_cost((10.0, 0.1, 1.0), np.array([0.5, 0.7, 0.7])) == 0.1
    train, signs = clouds(20, 5)
    signs[:] = -1
    signs[3] = 1
    without = cross_validated_scores(train, signs, (0.1, 1.0), folds=3)
    assert best_cost((0.1, 1.0), without) == 1.0


def test_svms_that_need_more_passes_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_features, "PASSES", 1)
    train, signs = clouds(60, 40)
    with pytest.warns(ConvergenceWarning):
        frozen_features.svm(1.0).fit(train, signs)
    assert np.isfinite(fit_svm(train, signs, 1.0).decision_function(train)).all()


def test_classes_without_positives_or_negatives_cannot_be_learnt() -> None:
    labels = np.full((3, 20), -1, dtype=np.int8)
    labels[0, 4] = 1
    labels[:, 7] = 1
    labels[1, 9] = 0
    assert learnable(labels) == [4]


def test_features_are_of_the_central_square_and_of_length_one() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (230, 301, 3), dtype=np.uint8)
    images = RaggedImages.from_arrays([wide, wide[1:228, 37:264]])
    backbone = build_backbone(CAFFENET)
    found = layer_features(
        backbone,
        Preprocessing(),
        images,
        ["conv3", "pool5"],
        torch.device("cpu"),
        "fp32",
        "features",
    )
    assert {name: values.shape for name, values in found.items()} == {
        "conv3": (2, 9600),
        "pool5": (2, 9216),
    }
    for values in found.values():
        np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(values[0], values[1], atol=1e-6)


def test_a_signal_during_cross_validation_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise Interrupted("stopped", 15)

    train, signs = clouds(20, 5)
    monkeypatch.setattr(LinearSVC, "fit", stopped)
    with pytest.raises(Interrupted):
        cross_validated_scores(train, signs, (1.0,), folds=3)
