"""What dry runs count of each task, by hand."""

import pytest

from cebench.training.estimates import Work
from cebench.transfer.first_checks import resolve_recipe
from cebench.transfer.network_cost import CAFFENET, NetworkCost
from cebench.transfer.run import TASKS
from cebench.transfer.work import (
    SVM_IMAGES,
    SVM_SECONDS,
    SVMS_IMAGES,
    SVMS_SECONDS,
    detection_work,
    segmentation_work,
)

COUNTS = {"train": 5, "test": 4}
ROUND = NetworkCost(
    side=100,
    layers=1,
    gflop_per_pixel=1e-6,
    head_gflop=1.024e-3,
    region_gflop=lambda: 0.01,
    parameters=1e6,
    bytes_per_pixel=10,
)
"""A network of round numbers; its head has 1e-6 a pixel at every 32nd place."""


def detecting(*changes: str) -> Work:
    recipe, _ = resolve_recipe("detection", "paper", changes)
    return detection_work(recipe, COUNTS, ROUND)


def segmenting(cost: NetworkCost, *changes: str) -> Work:
    recipe, _ = resolve_recipe("segmentation", "paper", ("steps=7", "accumulate=20", *changes))
    return segmentation_work(recipe, COUNTS, cost)


def test_the_work_of_detection_is_training_and_all_proposals_of_test_images() -> None:
    found = detecting(
        *("steps=7", "images_per_step=2", "rois_per_image=64", "max_proposals=100"),
        *("scales=[600]", "test_scales=[300]"),
    )
    # 800 x 600 pixels are learned from, 400 x 300 scored, at 1e-6 each; a region costs 0.01.
    step, test = 3 * (0.48 + 0.64), 0.12 + 1.0
    assert found.gflop == pytest.approx(7 * 2 * step + 4 * test)
    assert found.photographs == 9 + 7 * 2


def test_selective_search_takes_two_seconds_an_image_and_its_quality_four_times_as_many() -> None:
    assert detecting('proposals="fast"').more_seconds == 9 * 2
    assert detecting('proposals="quality"').more_seconds == 9 * 2 * 4
    assert detecting('proposals="quality"', "proposal_max_side=250").more_seconds == 9 * 2
    assert detecting('proposals="boxes.safetensors"').more_seconds == 0


def test_the_work_of_segmentation_is_every_image_of_a_step_and_one_pass_over_test_images() -> None:
    # Each of 7 steps learns from 20 images, three passes each; one pixel costs 2e-6.
    whole = segmenting(ROUND, "short_side=300")
    assert whole.gflop == pytest.approx(2e-6 * (3 * 140 * 300 * 400 + 4 * 345**2))
    crops = segmenting(ROUND, "short_side=300", "crop=60")
    assert crops.gflop == pytest.approx(2e-6 * (3 * 140 * 60**2 + 4 * 345**2))
    assert crops.photographs == 9


def test_caffenet_pads_the_images_that_it_segments_by_100_pixels_on_each_side() -> None:
    one_pixel = CAFFENET.gflop_per_pixel + CAFFENET.head_gflop / 32**2
    found = segmenting(CAFFENET, "short_side=300", "crop=60")
    assert found.gflop == pytest.approx(one_pixel * (3 * 140 * 260**2 + 4 * 545**2))


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
