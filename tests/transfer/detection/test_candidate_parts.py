from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import CPU, RECIPE, open_run

from cebench.data.voc.devkit import VocYear
from cebench.errors import CebenchError
from cebench.metrics.detection import Detections
from cebench.models.fast_rcnn import FastRCNN
from cebench.transfer.detection import candidate_parts, prediction
from cebench.transfer.detection.candidate_parts import (
    ImageDetections,
    read_parts,
    store_full_part,
)
from cebench.transfer.detection.data import DetectionSet, read_set
from cebench.transfer.detection.prediction import predict
from cebench.transfer.detection.task import measure
from cebench.transfer.run_context import RunContext
from cebench.weights.files import random_weights

ARRAYS = ("images", "labels", "scores", "boxes")


def some(*counts: int) -> list[ImageDetections]:
    """Candidates of one image for each of `counts`."""
    generator = torch.Generator().manual_seed(0)
    return [
        ImageDetections(
            torch.randint(20, (count,), generator=generator),
            torch.rand(count, generator=generator),
            torch.rand(count, 4, generator=generator),
        )
        for count in counts
    ]


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_parts, "PART_IMAGES", 2)


def stored(folder: Path, found: list[ImageDetections], images: int) -> list[str]:
    for done in range(1, len(found) + 1):
        store_full_part(folder, found[:done], images)
    return sorted(path.name for path in folder.iterdir())


def test_full_parts_and_the_last_one_are_stored_and_read_again(tmp_path: Path) -> None:
    found = some(3, 0, 2, 1, 0)
    assert stored(tmp_path, found[:3], 5) == ["00000.safetensors"]
    assert len(read_parts(tmp_path)) == 2
    names = ["00000.safetensors", "00002.safetensors", "00004.safetensors"]
    assert stored(tmp_path, found, 5) == names
    again = read_parts(tmp_path)
    assert len(again) == 5
    assert all(all(map(torch.equal, one, other)) for one, other in zip(found, again, strict=True))


def test_what_follows_a_gap_or_a_damaged_part_does_not_count(tmp_path: Path) -> None:
    stored(tmp_path, some(3, 0, 2, 1, 0), 5)
    (tmp_path / "00002.safetensors").write_bytes(b"cut short")
    assert len(read_parts(tmp_path)) == 2
    (tmp_path / "00000.safetensors").unlink()
    assert read_parts(tmp_path) == []


@dataclass
class Test:
    """Predictions of three images by a network of which only the scores are needed."""

    data: DetectionSet
    folder: Path
    seen: list[int] = field(default_factory=list)
    reported: list[tuple[int, int]] = field(default_factory=list)
    stop_at: int = 99

    __test__ = False

    def classify(self, _: object, images: torch.Tensor, *__: object) -> tuple[torch.Tensor, ...]:
        """Three regions whose scores and boxes are those of the pixels."""
        if len(self.seen) == self.stop_at:
            raise CebenchError("power cut")
        self.seen.append(1)
        generator = torch.Generator().manual_seed(int(images.abs().sum()))
        probability = torch.rand(3, 21, generator=generator)
        return probability, 60 * torch.rand(3, 21, 4, generator=generator).cumsum(dim=2)

    def predict(self) -> Detections:
        boxes = np.array([[0, 0, 30, 30]], np.float32)
        return predict(
            FastRCNN.__new__(FastRCNN),
            self.data,
            [boxes] * 3,
            (torch.zeros(21, 4), torch.ones(21, 4)),
            scales=(80,),
            max_side=100,
            caps="original",
            precision="fp32",
            device=CPU,
            parts=self.folder,
        )


@pytest.fixture
def prepared(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Test]:
    voc = VocYear(devkit, 2007)
    data = read_set(voc, "test", voc.ids("test"))

    def prepare(name: str) -> Test:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        test = Test(data, folder)
        monkeypatch.setattr(prediction, "classify", test.classify)
        return test

    return prepare


def test_a_test_that_was_stopped_goes_on_and_finds_the_same_bits(
    prepared: Callable[[str], Test], monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = prepared("straight").predict()
    broken = prepared("run")
    broken.stop_at = 2
    with pytest.raises(CebenchError, match="power cut"):
        broken.predict()
    rest = prepared("run")
    again = rest.predict()
    assert len(rest.seen) == 1
    assert len(straight.scores) > 3
    for name in ARRAYS:
        assert getattr(straight, name).tobytes() == getattr(again, name).tobytes()
    assert prepared("run").predict().scores.tobytes() == straight.scores.tobytes()  # All is stored.


@pytest.mark.slow
def test_a_run_that_was_stopped_tests_what_is_left_and_nothing_of_another_training(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    classify = prediction.classify

    def counted(*arguments: object) -> object:
        if len(calls) == 2:
            raise CebenchError("power cut")
        calls.append(1)
        return classify(*arguments)  # type: ignore[arg-type]

    def run(name: str) -> bytes:
        with open_run(tmp_path / name) as opened:
            context = RunContext(
                run=opened, weights=random_weights(0), data=devkit, seed=0, device=CPU
            )
            measure(RECIPE, context)
        return (tmp_path / name / "detections.safetensors").read_bytes()

    straight = run("straight")
    monkeypatch.setattr(prediction, "classify", counted)
    with pytest.raises(CebenchError, match="power cut"):
        run("run")
    calls.clear()
    assert run("run") == straight
    assert len(calls) == 1
    mark = tmp_path / "run" / "checkpoints" / "detections.made_from"
    mark.write_text(mark.read_text().replace("weights ", "weights 0"))
    calls.clear()
    with pytest.raises(CebenchError, match="power cut"):
        run("run")
    assert len(calls) == 2
