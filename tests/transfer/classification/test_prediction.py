from pathlib import Path

import numpy as np
import pytest
import torch
from classification_scenes import recipe, run

from cebench.data.store.ragged import RaggedImages
from cebench.errors import CebenchError
from cebench.training.run_directory import RunDirectory
from cebench.transfer.classification import prediction
from cebench.transfer.classification.prediction import predict
from cebench.transfer.classification.task import build_classifier
from cebench.transfer.labelled_images import LabelledImages
from cebench.transfer.run_context import RunContext
from cebench.weights.files import random_weights
from cebench.weights.loading import load_backbone


@pytest.mark.slow
def test_the_sum_of_the_stored_passes_is_the_prediction(devkit: Path, tmp_path: Path) -> None:
    run(recipe(), devkit, tmp_path / "run")
    first, second, both = (
        np.genfromtxt(tmp_path / "run" / name, delimiter=",", skip_header=1)[:, 1:]
        for name in ("predictions/crop-0.csv", "predictions/crop-1.csv", "predictions.csv")
    )
    np.testing.assert_array_equal(first + second, both)
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_prediction_goes_on_behind_the_last_finished_pass(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe(), devkit, tmp_path / "straight")
    write = prediction.write_scores_csv

    def breaks_after_a_pass(path: Path, *rest: object) -> None:
        write(path, *rest)  # type: ignore[arg-type]
        raise CebenchError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(prediction, "write_scores_csv", breaks_after_a_pass)
        with pytest.raises(CebenchError, match="power cut"):
            run(recipe(), devkit, tmp_path / "run")
    folder = tmp_path / "run" / "predictions"
    assert [path.name for path in folder.iterdir()] == ["crop-0.csv"]
    before = (folder / "crop-0.csv").stat().st_mtime_ns
    run(recipe(), devkit, tmp_path / "run")
    assert (folder / "crop-0.csv").stat().st_mtime_ns == before
    both = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("straight", "run")]
    assert both[0] == both[1]


def test_scores_that_are_not_finite_end_the_run_before_anything_is_written(
    devkit: Path, tmp_path: Path
) -> None:
    drawn = random_weights(0)
    network = build_classifier(load_backbone(drawn)[0], recipe(), drawn, 0)
    torch.nn.init.constant_(network.fc8.weight, torch.nan)
    one = RaggedImages.from_arrays([np.zeros((60, 80, 3), np.uint8)])
    labelled = LabelledImages(["a"], one, np.ones((1, 20), np.int8))
    with RunDirectory(tmp_path / "run", {"run": {"verb": "transfer"}}) as directory:
        run_context = RunContext(
            run=directory, weights=drawn, data=devkit, seed=0, device=torch.device("cpu")
        )
        with pytest.raises(CebenchError, match="scores are not finite; lower the learning rate"):
            predict(network, labelled, recipe(), run_context)
    assert not (tmp_path / "run" / "predictions").exists()


@pytest.mark.slow
def test_bfloat16_scores_are_near_those_of_single_precision(devkit: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        run(recipe(precision=precision), devkit, tmp_path / precision)
    single, half = (
        np.genfromtxt(tmp_path / name / "predictions.csv", delimiter=",", skip_header=1)[:, 1:]
        for name in ("fp32", "bf16")
    )
    assert not np.array_equal(single, half)
    np.testing.assert_allclose(half, single, atol=0.05 * np.abs(single).max())
