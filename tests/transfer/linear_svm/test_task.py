import csv
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from cebench.cli import main
from cebench.commands.score import score
from cebench.config import Recipe, load_recipe
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.errors import InputError
from cebench.reporting.published import load_published
from cebench.toy.world import write_toy_world
from cebench.training.run_directory import RunDirectory
from cebench.transfer.linear_svm import data as linear_data
from cebench.transfer.linear_svm import task as linear_svm
from cebench.transfer.linear_svm.recipe import LinearSvmRecipe
from cebench.transfer.low_shot_svm import task as low_shot_svm
from cebench.transfer.low_shot_svm.data import sample_images
from cebench.transfer.low_shot_svm.recipe import LowShotSvmRecipe
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import random_weights


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_toy_world(folder, images=24, seed=0)
    return folder / "VOCdevkit"


def measured(task: object, recipe: Recipe, devkit: Path, out: Path, seed: int = 0) -> Outcome:
    with RunDirectory(out, {"recipe": recipe.model_dump(mode="json")}) as directory:
        run_context = RunContext(
            run=directory,
            weights=random_weights(0),
            data=devkit,
            seed=seed,
            device=torch.device("cpu"),
        )
        return task.measure(recipe, run_context)  # type: ignore[attr-defined, no-any-return]


def smoke(kind: type[Recipe], task: str, *changes: str) -> Recipe:
    return load_recipe(kind, "cebench.transfer", task, "smoke", changes)[0]


def test_each_layer_has_its_column_and_its_predictions_score_the_same(
    toy: Path, tmp_path: Path, runner: CliRunner
) -> None:
    recipe = smoke(LinearSvmRecipe, "linear-svm", 'layers=["conv2", "pool5"]')
    outcome = measured(linear_svm, recipe, toy, tmp_path / "run")
    values = {(m.column, m.metric): m.value for m in outcome.measurements}
    assert {column for column, _ in values} == {"conv2", "pool5"}
    arguments = ["--scores", tmp_path / "run" / "predictions" / "conv2.csv", "--data", toy]
    result = runner.invoke(score, ["classification", *map(str, arguments)])
    shown = 100 * values["conv2", "mean_ap_area"]
    assert f"mean_ap_area %{shown:>21.1f}   95 %:" in result.stdout


def test_a_finished_layer_is_not_computed_again(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = smoke(LinearSvmRecipe, "linear-svm")
    first = measured(linear_svm, recipe, toy, tmp_path / "run")

    def never(*_: object) -> None:
        raise AssertionError("features were computed again")

    monkeypatch.setattr(linear_data, "features_of_sets", never)
    assert measured(linear_svm, recipe, toy, tmp_path / "run") == first


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


def test_the_headline_is_the_benchmarks_area() -> None:
    layouts = load_published().layouts
    columns = [column for id in ("linear", "low-shot") for column in layouts[id].columns]
    assert {column.metric for column in columns} == {"mean_ap_area"}


def test_a_layer_that_the_backbone_lacks_is_named(toy: Path, tmp_path: Path) -> None:
    recipe = smoke(LinearSvmRecipe, "linear-svm", 'layers=["conv6"]')
    with pytest.raises(InputError, match="has no layer 'conv6'; it has conv1, conv2"):
        measured(linear_svm, recipe, toy, tmp_path / "run")


def test_classes_that_cannot_be_learnt_score_zero_and_are_said(
    toy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lists = toy / "VOC2007" / "ImageSets" / "Main"
    ids = (lists / "trainval.txt").read_text().split()
    few = tmp_path / "few.txt"
    few.write_text("\n".join(ids[:2]))
    recipe = smoke(LinearSvmRecipe, "linear-svm", f"train_set={few}")
    with caplog.at_level(logging.WARNING, logger="cebench"):
        measured(linear_svm, recipe, toy, tmp_path / "run")
    (said,) = [r.message for r in caplog.records if "nothing to learn them from" in r.message]
    absent = said.partition("shows ")[2].partition(";")[0].split(", ")
    with (tmp_path / "run" / "predictions" / "pool5.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(float(row[name]) == 0 for row in rows for name in absent)
    assert absent
    assert set(absent) < set(VOC_CLASSES)


def test_low_shot_gives_mean_and_deviation_over_draws(toy: Path, tmp_path: Path) -> None:
    recipe = smoke(LowShotSvmRecipe, "low-shot-svm")
    outcome = measured(low_shot_svm, recipe, toy, tmp_path / "run")
    assert recipe.variant == "pool5"
    values = {(m.column, m.metric): m.value for m in outcome.measurements}
    with (tmp_path / "run" / "draws.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["shots"], row["draw"]) for row in rows] == [
        ("1", "0"), ("1", "1"), ("2", "0"), ("2", "1"),
    ]  # fmt: skip
    one = [float(row["mean_ap_sklearn"]) for row in rows[:2]]
    assert values["shots_1", "mean_ap_sklearn"] == pytest.approx(np.mean(one))
    deviation = values["shots_1", "mean_ap_sklearn_sd_over_draws"]
    assert deviation == pytest.approx(abs(one[0] - one[1]) / 2**0.5)
    again = measured(low_shot_svm, recipe, toy, tmp_path / "again")
    assert again == outcome
    for path in (tmp_path / "run" / "predictions").iterdir():
        other = tmp_path / "again" / "predictions" / path.name
        assert other.read_bytes() == path.read_bytes()


def test_low_shot_goes_on_behind_the_finished_numbers_of_shots(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = smoke(LowShotSvmRecipe, "low-shot-svm", "draws=2")
    straight = measured(low_shot_svm, recipe, toy, tmp_path / "straight")
    train = low_shot_svm.train

    def breaks_at_two(*arguments: object) -> object:
        if arguments[2] == 2:
            raise InputError("power cut")
        return train(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(low_shot_svm, "train", breaks_at_two)
        with pytest.raises(InputError, match="power cut"):
            measured(low_shot_svm, recipe, toy, tmp_path / "run")
    assert len([*(tmp_path / "run" / "predictions").iterdir()]) == 2
    assert measured(low_shot_svm, recipe, toy, tmp_path / "run") == straight


def test_a_draw_holds_the_shots_and_nineteen_negatives_each() -> None:
    labels = np.array([1] * 10 + [0] * 5 + [-1] * 100)
    generator = np.random.default_rng(0)
    index = sample_images(labels, 3, generator)
    assert np.bincount(labels[index] + 1, minlength=3).tolist() == [57, 0, 3]
    assert len({*index.tolist()}) == 60
    everything = sample_images(labels, 96, generator)
    assert np.bincount(labels[everything] + 1, minlength=3).tolist() == [100, 0, 10]


def test_the_paper_recipes_are_the_benchmarks_own() -> None:
    linear, _ = load_recipe(LinearSvmRecipe, "cebench.transfer", "linear-svm", "paper")
    assert (linear.train_set, linear.test_set, linear.folds) == ("trainval", "test", 3)
    assert sorted(linear.costs)[::17] == [0.5**19, 0.1]
    few, _ = load_recipe(LowShotSvmRecipe, "cebench.transfer", "low-shot-svm", "paper")
    assert (few.shots, few.draws) == ((1, 2, 4, 8, 16, 32, 64, 96), 5)


def test_the_table_of_the_layers_has_no_published_column(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "runs" / "a")
    command = ["cebench", "transfer", "--task", "linear-svm", "--weights", "random", "--data"]
    for arguments in (
        [*command, str(toy), "--recipe", "smoke", "--out", out],
        ["cebench", "report", str(tmp_path / "runs")],
    ):
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
    table = capsys.readouterr().out.partition("## Linear SVMs")[2]
    heading = table.splitlines()[2]
    assert [cell.strip() for cell in heading.split("|")[1:-1]] == [
        "Pretraining method", *(f"conv{n} (%)" for n in range(1, 6)), "pool5 (%)",
    ]  # fmt: skip
    assert "published" not in table
    assert "95 % interval over images (bootstrap, mean over seeds): random " in table
