"""The published row of ImageNet's labels: recipes, row of the suite, images of each column."""

import tomllib
from importlib import resources
from typing import Any

import pytest

from cebench.config import load_recipe, recipe_sha256
from cebench.data.verify import OFFICIAL_COUNTS
from cebench.reporting.published import load_published
from cebench.transfer.classification.recipe import ClassificationRecipe
from cebench.transfer.detection.recipe import DetectionRecipe
from cebench.transfer.segmentation.recipe import SegmentationRecipe

DIFFERENT = {
    "classification": {"random_from": "drop7"},
    "detection": {"random_from": "drop7", "train_conv1": False},
    "segmentation": {"random_from": "drop7"},
}
"""What `paper-labels` has otherwise than `paper`."""
RECIPES = {
    "classification": ClassificationRecipe,
    "detection": DetectionRecipe,
    "segmentation": SegmentationRecipe,
}


def loaded(task: str, name: str, changes: tuple[str, ...] = ()) -> Any:
    return load_recipe(RECIPES[task], "cebench.transfer", task, name, changes)[0]


@pytest.mark.parametrize("task", DIFFERENT)
def test_the_recipe_is_papers_but_for_what_the_weights_bring(task: str) -> None:
    labels = loaded(task, "paper-labels").model_dump()
    assert labels == {**loaded(task, "paper").model_dump(), **DIFFERENT[task]}


@pytest.mark.parametrize("task", DIFFERENT)
def test_the_suite_measures_the_row_by_it(task: str) -> None:
    text = resources.files("cebench.suite").joinpath("paper.toml").read_text(encoding="utf-8")
    changes = tuple(tomllib.loads(text)["rows"]["imagenet"]["set_in"][task])
    measured = loaded(task, "paper", changes)
    assert measured.tier == "paper"
    assert recipe_sha256(measured) == recipe_sha256(loaded(task, "paper-labels"))


def test_columns_know_how_many_images_the_published_numbers_are_of() -> None:
    test_set = OFFICIAL_COUNTS["VOC2007"]["Main/test"]
    expected = {
        **{("1", column): 100 for column in ("mean_l1", "mean_l2", "psnr")},
        ("2", "classification"): test_set,
        ("2", "detection"): test_set,
        ("2", "segmentation"): OFFICIAL_COUNTS["VOC2012"]["Segmentation/seg11valid"],
    }
    found = {
        (layout.id, column.id): column.images
        for layout in load_published().layouts.values()
        for column in layout.columns
        if column.images is not None
    }
    assert found == expected
    assert (test_set, expected["2", "segmentation"]) == (4952, 736)
