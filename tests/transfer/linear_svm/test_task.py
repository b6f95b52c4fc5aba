import csv
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from rescoring import assert_rescored
from svm_scenes import measured, smoke

from cebench.cli import main
from cebench.commands.score import score
from cebench.config import recipe_sha256
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.errors import InputError
from cebench.transfer.linear_svm import data as linear_data
from cebench.transfer.linear_svm import task as linear_svm
from cebench.transfer.linear_svm.recipe import LinearSvmRecipe
from cebench.weights.files import random_weights


def test_each_layer_has_its_column_and_its_predictions_score_the_same(
    toy: Path, tmp_path: Path, runner: CliRunner
) -> None:
    recipe = smoke(LinearSvmRecipe, "linear-svm", 'layers=["conv2", "pool5"]')
    outcome = measured(linear_svm, recipe, toy, tmp_path / "run")
    assert_rescored(outcome, images=9)
    values = {(m.column, m.metric): m.value for m in outcome.measurements}
    assert {column for column, _ in values} == {"conv2", "pool5"}
    arguments = ["--scores", tmp_path / "run" / "predictions" / "conv2.csv", "--data", toy]
    result = runner.invoke(score, ["classification", *map(str, arguments)])
    shown = 100 * values["conv2", "mean_ap_area"]
    assert f"mean_ap_area %{shown:>21.1f}" in result.stdout


def test_a_finished_layer_is_not_computed_again(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = smoke(LinearSvmRecipe, "linear-svm")
    first = measured(linear_svm, recipe, toy, tmp_path / "run")

    def never(*_: object) -> None:
        raise AssertionError("features were computed again")

    monkeypatch.setattr(linear_data, "features_of_sets", never)
    assert measured(linear_svm, recipe, toy, tmp_path / "run") == first


def test_a_layer_that_the_backbone_lacks_is_named() -> None:
    recipe = smoke(LinearSvmRecipe, "linear-svm", 'layers=["conv6"]')
    with pytest.raises(InputError, match="has no layer 'conv6'; it has conv1, conv2"):
        linear_svm.TASK.check_weights(recipe, random_weights(0))


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
    assert "pool5: no interval (9 images; intervals are known to hold from 100 images)" in table


def test_a_number_is_the_same_protocols_whichever_other_layers_are_measured() -> None:
    recipes = [
        smoke(LinearSvmRecipe, "linear-svm", *changes)
        for changes in ((), ('layers=["conv2"]',), ("short_side=200",))
    ]
    every, one, other = (recipe_sha256(recipe) for recipe in recipes)
    assert every == one != other
    assert [recipe.tier for recipe in recipes] == ["smoke", "smoke", "custom"]
