"""Mistakes that are told before anything is decoded."""

from pathlib import Path

import pytest
from PIL import Image

from cebench.errors import InputError
from cebench.pretrain.dry_run import plan
from cebench.pretrain.run import Request, check_batch, run_pretraining
from cebench.toy.drives import draw_drive
from cebench.toy.trees import write_kitti_sequence


@pytest.mark.parametrize(
    ("method", "batch_size", "told"),
    [
        ("context", 3, "batch_size=3 does not divide among 2 processes; choose a multiple of 2"),
        ("motion", 6, "batch_size=6 .* among 2 processes in pairs; choose a multiple of 4"),
    ],
)
def test_processes_that_cannot_share_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, batch_size: int, told: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    request = Request(
        method=method,
        data=(tmp_path / "not looked for",),
        out=tmp_path / "run",
        recipe="smoke",
        device="cpu",
        changes=(f"batch_size={batch_size}",),
    )
    for start in (run_pretraining, plan):
        with pytest.raises(InputError, match=told):
            start(request)
    request.out.mkdir()
    (request.out / "record.json").touch()
    check_batch(request.resolve()[0], request)  # Finished, it has no batches to share.


def test_frames_of_a_clip_that_differ_in_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cebench.pretrain.egomotion.load_ragged", None)  # Nothing is decoded.
    for number, name in enumerate(("00", "06")):
        write_kitti_sequence(tmp_path / "kitti", name, draw_drive(0, number, 6))
    frame = sorted(tmp_path.rglob("*.png"))[2]
    with Image.open(frame) as image:
        wider = image.resize((image.width + 40, image.height))
    wider.save(frame)
    request = Request(
        method="egomotion",
        data=(tmp_path / "kitti",),
        out=tmp_path / "run",
        recipe="smoke",
        device="cpu",
        changes=("source=kitti", "short_side=120", "frame=camera"),
    )
    for start in (plan, run_pretraining):
        with pytest.raises(InputError, match=rf"{frame}: .* but .* the first of its clip"):
            start(request)
