from pathlib import Path

import numpy as np
import pytest
import torch
from segmentation_scenes import CPU, IDENTITY, PIXELS, ThinFCN, recipe, train_data

from cebench.errors import CebenchError
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run_context import RunContext
from cebench.transfer.segmentation import prediction
from cebench.transfer.segmentation.data import SegmentationData
from cebench.transfer.segmentation.prediction import Predictor, predict, write_label_png
from cebench.transfer.segmentation.task import train_and_predict
from cebench.weights.files import random_weights


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class PowerCut(ThinFCN):
    """Ends when it is to label the image of that number; training does not count."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.labelled = number, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not self.training:
            if self.labelled == self.number:
                raise CebenchError("power cut")
            self.labelled += 1
        return super().forward(images)


def test_a_stopped_run_labels_what_is_left_and_nothing_of_another_training(
    devkit: Path, tmp_path: Path
) -> None:
    images = train_data(devkit)

    def run(name: str, stop_at: int = 9, fingerprint: str = "data") -> int:
        """Number of images that were labelled."""
        network = PowerCut(stop_at)
        with RunDirectory(tmp_path / name, IDENTITY) as opened:
            context = RunContext(
                run=opened, weights=random_weights(0), data=devkit, seed=0, device=CPU
            )
            data = SegmentationData(images, images, fingerprint)
            train_and_predict(network, data, recipe(steps=1, accumulate=1), context)
        return network.labelled

    assert run("straight") == 2
    with pytest.raises(CebenchError, match="power cut"):
        run("run", stop_at=1)
    assert len(contents(tmp_path / "run" / "predictions")) == 1
    assert run("run") == 1
    straight = contents(tmp_path / "straight" / "predictions")
    assert contents(tmp_path / "run" / "predictions") == straight
    for path in (tmp_path / "run" / "checkpoints").glob("*.made_from"):
        path.write_text(path.read_text().replace("weights ", "weights 0"))
    assert run("run") == 2
    assert contents(tmp_path / "run" / "predictions") == straight


def test_progress_begins_behind_what_is_there(
    devkit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, folder = train_data(devkit), tmp_path / "predictions"
    folder.mkdir()
    write_label_png(folder / f"{images.origin.ids[1]}.png", np.zeros((4, 4), np.uint8))
    predict(Predictor(ThinFCN().eval(), PIXELS, CPU), images, folder)
    # The rate is that of the one image: what is counted first is 1 of 2.
    assert "segmentation test: 2/2 images, " in capsys.readouterr().err


def test_a_label_image_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: object, file: Path, **_: object) -> None:
        Path(file).write_bytes(b"\x89PNG")
        raise CebenchError("power cut")

    monkeypatch.setattr(prediction.Image.Image, "save", half)
    with pytest.raises(CebenchError, match="power cut"):
        write_label_png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    assert not list(tmp_path.iterdir())
