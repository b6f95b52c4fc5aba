import shutil
from pathlib import Path

import pytest
from PIL import Image
from svm_scenes import measured, smoke

from cebench.config import Recipe, load_recipe
from cebench.errors import InputError
from cebench.reporting.published import load_published
from cebench.transfer.linear_svm import task as linear_svm
from cebench.transfer.linear_svm.recipe import LinearSvmRecipe
from cebench.transfer.low_shot_svm import task as low_shot_svm
from cebench.transfer.low_shot_svm.recipe import SHOTS, LowShotSvmRecipe
from cebench.transfer.options import COSTS


@pytest.mark.parametrize(
    ("task", "kind", "first", "more"),
    [
        (linear_svm, LinearSvmRecipe, "pool5.csv", "conv5.csv"),
        (low_shot_svm, LowShotSvmRecipe, "1-shot-draw-0.csv", "2-shot-draw-0.csv"),
    ],
)
def test_scores_of_two_data_sets_never_stand_in_one_run(
    task: object, kind: type[Recipe], first: str, more: str, toy: Path, tmp_path: Path
) -> None:
    devkit, out = tmp_path / "VOCdevkit", tmp_path / "run"
    shutil.copytree(toy, devkit)
    changes = ['layers=["pool5", "conv5"]'] if task is linear_svm else []
    recipe = smoke(kind, task.__name__.split(".")[2].replace("_", "-"), *changes)  # type: ignore[attr-defined]
    whole = measured(task, recipe, devkit, out)
    before = (out / "predictions" / first).stat().st_mtime_ns
    (out / "predictions" / more).unlink()
    photo = next((devkit / "VOC2007" / "JPEGImages").iterdir())
    pixels = photo.read_bytes()
    with Image.open(photo) as image:
        black = Image.new("RGB", image.size)
    black.save(photo)
    with pytest.raises(InputError, match="run: the data changed since this run began; restore"):
        measured(task, recipe, devkit, out)
    assert not (out / "predictions" / more).exists()
    photo.write_bytes(pixels)
    assert measured(task, recipe, devkit, out) == whole
    assert (out / "predictions" / first).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (LinearSvmRecipe, 'layers=["pool5", "pool5"]', "layers: .*one of them is named twice"),
        (LinearSvmRecipe, "costs=[0.1, 0.1]", "costs: .*one of them is named twice"),
        (LinearSvmRecipe, "costs=[]", "costs: .*at least 1 item"),
        (LinearSvmRecipe, "folds=1", "folds: .*greater than or equal to 2"),
        (LowShotSvmRecipe, "shots=[1, 1]", "shots: .*one of them is named twice"),
        (LowShotSvmRecipe, "shots=[]", "shots: .*at least 1 item"),
        (LowShotSvmRecipe, "shots=[1, 3]", "shots.1: .*1, 2, 4, 8, 16, 32, 64 or 96, got 3"),
        (LowShotSvmRecipe, "costs=[]", "costs: .*at least 1 item"),
        (LowShotSvmRecipe, "folds=1", "folds: .*greater than or equal to 2"),
    ],
)
def test_a_recipe_that_no_svm_follows_is_refused(
    kind: type[Recipe], change: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        smoke(kind, "linear-svm" if kind is LinearSvmRecipe else "low-shot-svm", change)


def test_another_year_is_another_protocol() -> None:
    assert smoke(LinearSvmRecipe, "linear-svm").variant == ""
    assert smoke(LinearSvmRecipe, "linear-svm", "year=2012").variant == "voc2012"
    assert smoke(LowShotSvmRecipe, "low-shot-svm", "year=2012").variant == "pool5-voc2012"


def test_the_first_versions_geometry_is_another_protocol() -> None:
    first = ['geometry="central-square"', 'averaging="adaptive"', "costs=[0.01, 0.1]"]
    assert smoke(LinearSvmRecipe, "linear-svm", *first).variant == "2-costs-central-adaptive"
    ignored = smoke(LinearSvmRecipe, "linear-svm", 'difficult="ignored"')
    assert ignored.variant == "ignored"
    assert smoke(LowShotSvmRecipe, "low-shot-svm", first[0]).variant == "pool5-central"


def test_squashed_images_and_central_squares_give_other_scores(toy: Path, tmp_path: Path) -> None:
    found = [
        measured(linear_svm, smoke(LinearSvmRecipe, "linear-svm", *changes), toy, tmp_path / name)
        for name, changes in (("a", []), ("b", ['geometry="central-square"']))
    ]
    assert found[0].data_fingerprint == found[1].data_fingerprint
    assert found[0].measurements != found[1].measurements


def test_the_headline_is_the_benchmarks_area() -> None:
    layouts = load_published().layouts
    columns = [column for id in ("linear", "low-shot") for column in layouts[id].columns]
    assert {column.metric for column in columns} == {"mean_ap_area"}


def test_the_shots_are_the_columns_of_the_table() -> None:
    columns = load_published().layouts["low-shot"].columns
    assert {column.id for column in columns} == {f"shots_{shots}" for shots in SHOTS}


def test_the_paper_recipes_are_the_benchmarks_own() -> None:
    linear, _ = load_recipe(LinearSvmRecipe, "cebench.transfer", "linear-svm", "paper")
    assert (linear.train_set, linear.test_set, linear.folds) == ("trainval", "test", 3)
    assert linear.costs == COSTS
    assert (linear.geometry, linear.averaging, linear.difficult) == ("squash", "windows", "absent")
    assert linear.variant == ""
    few, _ = load_recipe(LowShotSvmRecipe, "cebench.transfer", "low-shot-svm", "paper")
    assert (few.shots, few.draws) == ((1, 2, 4, 8, 16, 32, 64, 96), 5)
