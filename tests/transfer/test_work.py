"""What dry runs count of frozen features besides the network's arithmetic."""

import pytest

from cebench.transfer.first_checks import resolve_recipe
from cebench.transfer.run import TASKS
from cebench.transfer.work import SVM_IMAGES, SVM_SECONDS, SVMS_IMAGES, SVMS_SECONDS


def fitting(task: str, train: int, *changes: str) -> float:
    recipe, _ = resolve_recipe(task, "paper", changes)
    return TASKS[task].work(recipe, {"train": train, "test": 10}).more_seconds


def test_every_layer_has_its_svms_all_six_of_caffenet_if_none_is_named() -> None:
    one = fitting("linear-svm", SVMS_IMAGES, 'layers=["pool5"]')
    assert one == pytest.approx(SVMS_SECONDS)
    assert fitting("linear-svm", SVMS_IMAGES) == pytest.approx(6 * one)
    few = fitting("linear-svm", SVMS_IMAGES, 'layers=["pool5"]', "costs=[1, 2]", "folds=6")
    assert few == pytest.approx(one * 2 / 26 * 6 / 3)


def test_fewer_images_take_what_was_measured_of_them() -> None:
    """13.7 s of 2,000 images, 37 of 3,120."""
    assert fitting("linear-svm", 2000, 'layers=["pool5"]') == pytest.approx(13.7, rel=0.02)
    assert fitting("linear-svm", 3120, 'layers=["pool5"]') == pytest.approx(37.0, rel=0.02)


def test_neighbours_fit_nothing() -> None:
    assert fitting("knn", 5011) == 0


def test_small_draws_are_fitted_class_by_class_large_ones_together() -> None:
    shots = SVM_IMAGES // 20
    assert fitting("low-shot-svm", 5011, f"shots=[{shots}]", "draws=2") == pytest.approx(
        2 * 20 * SVM_SECONDS
    )
    assert fitting("low-shot-svm", SVMS_IMAGES, "shots=[96]", "draws=2") == pytest.approx(
        2 * SVMS_SECONDS
    )
