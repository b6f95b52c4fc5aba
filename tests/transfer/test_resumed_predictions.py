from pathlib import Path

import pytest
import torch

from cebench.training.run_directory import RunDirectory
from cebench.transfer.resumed_predictions import keep_own_predictions


@pytest.fixture
def linear() -> torch.nn.Linear:
    return torch.nn.Linear(2, 1)


def test_predictions_stay_for_the_same_weights_and_data_alone(
    tmp_path: Path, linear: torch.nn.Linear
) -> None:
    with RunDirectory(tmp_path / "run", {"run": {}}) as run:
        folder = run.path / "predictions"
        file = folder / "a.png"

        def is_kept(fingerprint: str) -> bool:
            keep_own_predictions(run, folder, linear, fingerprint)
            kept = file.exists()
            file.touch()
            return kept

        assert not is_kept("data")
        assert is_kept("data")
        assert not is_kept("others")
        assert is_kept("others")
        with torch.no_grad():
            linear.bias += 1
        assert not is_kept("others")
        assert is_kept("others")


def test_predictions_without_a_mark_are_nobodys(tmp_path: Path, linear: torch.nn.Linear) -> None:
    with RunDirectory(tmp_path / "run", {"run": {}}) as run:
        folder = run.path / "predictions"
        folder.mkdir()
        (folder / "a.png").touch()
        keep_own_predictions(run, folder, linear, "data")
        assert not list(folder.iterdir())
