import csv
from pathlib import Path

import numpy as np
import pytest
from rescoring import assert_rescored
from svm_scenes import measured, smoke

from cebench.errors import InputError
from cebench.transfer.low_shot_svm import task as low_shot_svm
from cebench.transfer.low_shot_svm.data import sample_draws, sample_images
from cebench.transfer.low_shot_svm.prediction import predict
from cebench.transfer.low_shot_svm.recipe import LowShotSvmRecipe


def test_low_shot_gives_mean_and_deviation_over_draws(toy: Path, tmp_path: Path) -> None:
    recipe = smoke(LowShotSvmRecipe, "low-shot-svm")
    outcome = measured(low_shot_svm, recipe, toy, tmp_path / "run")
    assert_rescored(outcome, images=9)
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


@pytest.mark.slow
def test_low_shot_goes_on_behind_the_finished_numbers_of_shots(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = smoke(LowShotSvmRecipe, "low-shot-svm", "draws=2")
    straight = measured(low_shot_svm, recipe, toy, tmp_path / "straight")
    sample_draws = low_shot_svm.sample_draws

    def breaks_at_two(*arguments: object) -> object:
        if arguments[1] == 2:
            raise InputError("power cut")
        return sample_draws(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(low_shot_svm, "sample_draws", breaks_at_two)
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


def test_draws_fitted_together_score_as_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 30))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    labels = np.where(features[:, :20] > 0.15, 1, -1)
    gram, test_gram = features @ features.T, features[:15] @ features.T
    drawn = sample_draws(labels, 2, 2, seed=0)
    assert {len(rows) for rows in drawn.values()} == {40}
    recipe = smoke(LowShotSvmRecipe, "low-shot-svm", "draws=2")
    together = predict(low_shot_svm.train(gram, labels, drawn, recipe), test_gram, 2)
    monkeypatch.setattr(
        low_shot_svm, "_grouped", lambda drawn, _: [([key], drawn[key]) for key in drawn]
    )
    alone = predict(low_shot_svm.train(gram, labels, drawn, recipe), test_gram, 2)
    np.testing.assert_allclose(together, alone, atol=2e-3)
    assert np.abs(alone).max() > 0.1


def test_a_set_without_negatives_is_refused(toy: Path, tmp_path: Path) -> None:
    (first, *_) = (toy / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").read_text().split()
    (tmp_path / "one.txt").write_text(first)
    recipe = smoke(LowShotSvmRecipe, "low-shot-svm", f"train_set={tmp_path / 'one.txt'}")
    with pytest.raises(InputError, match=r"one\.txt: no class has images that show it and"):
        measured(low_shot_svm, recipe, toy, tmp_path / "run")
