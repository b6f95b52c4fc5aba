import csv
from pathlib import Path

import pytest
from click.testing import CliRunner
from svm_scenes import measured, smoke

from cebench.commands.score import score
from cebench.errors import InputError
from cebench.transfer.knn import task as knn
from cebench.transfer.knn.recipe import KnnRecipe


def test_the_choice_is_recorded_and_the_predictions_score_the_same(
    toy: Path, tmp_path: Path, runner: CliRunner
) -> None:
    recipe = smoke(KnnRecipe, "knn")
    outcome = measured(knn, recipe, toy, tmp_path / "run")
    values = {m.metric: m.value for m in outcome.measurements}
    with (tmp_path / "run" / "choices.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(recipe.neighbours) * len(recipe.temperatures)
    best = max(rows, key=lambda row: float(row["mean_ap_sklearn_leave_one_out"]))
    assert values["neighbours"] == float(best["neighbours"])
    assert values["temperature"] == float(best["temperature"])
    scores = tmp_path / "run" / "predictions" / "pool5.csv"
    result = runner.invoke(score, ["classification", "--scores", str(scores), "--data", str(toy)])
    shown = 100 * values["mean_ap_area"]
    assert f"mean_ap_area %{shown:>21.1f}" in result.stdout
    again = measured(knn, recipe, toy, tmp_path / "again")
    assert again.measurements == outcome.measurements


def test_another_layer_and_another_geometry_are_other_protocols() -> None:
    assert knn.TASK.protocol_name(smoke(KnnRecipe, "knn"), "native") == "voc-knn-pool5"
    other = smoke(KnnRecipe, "knn", 'layer="conv5"', 'geometry="central-square"')
    assert knn.TASK.protocol_name(other, "native") == "voc-knn-conv5-central"


def test_one_train_image_has_no_other_to_ask(toy: Path, tmp_path: Path) -> None:
    ids = (toy / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").read_text().split()
    (tmp_path / "one.txt").write_text(ids[0])
    recipe = smoke(KnnRecipe, "knn", f"train_set={tmp_path / 'one.txt'}")
    with pytest.raises(InputError, match="leave-one-out needs two images"):
        measured(knn, recipe, toy, tmp_path / "run")


def test_no_more_vote_than_there_are_and_the_record_says_so(
    toy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = smoke(KnnRecipe, "knn", "neighbours=[100, 200]")
    outcome = measured(knn, recipe, toy, tmp_path / "run")
    values = {m.metric: (m.value, m.count) for m in outcome.measurements}
    neighbours, images = values["neighbours"]
    assert neighbours == images < 100
    assert f"neighbours=200: trainval has {images} images, and no more vote" in caplog.messages


@pytest.mark.parametrize("change", ["neighbours=[]", "neighbours=[5, 5]", "temperatures=[0]"])
def test_a_recipe_that_nobody_can_vote_by_is_refused(change: str) -> None:
    with pytest.raises(InputError):
        smoke(KnnRecipe, "knn", change)
