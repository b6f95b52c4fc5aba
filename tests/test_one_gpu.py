"""The script for one GPU, on a processor: every verb, a few steps."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "one_gpu.py"


@pytest.mark.slow
def test_speeds_are_measured_once_and_rungs_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def one_gpu(*arguments: str | Path) -> str:
        """What the script prints; it starts processes of its own, but is none here."""
        words = [str(SCRIPT), *map(str, arguments), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capfd.readouterr().out

    out = tmp_path / "gpu"
    lines = [
        one_gpu("speed", "--out", out, "--steps", "4", "--only", "115 px, batch 64").splitlines()
        for _ in range(2)
    ]
    assert lines[0] == lines[1]
    name, images_per_second, peak = (cell.strip() for cell in lines[0][-1].strip("|").split("|"))
    assert (name, peak) == ("context, 115 px, batch 64", "0.0 GiB")
    assert int(images_per_second.replace(",", "")) > 0

    few = ["steps=2", "batch_size=2", "weights_at=[]", "samples_at=[]", "held_out_images=1"]
    rungs = one_gpu(
        *("ladder", "--data", out / "toy" / "unlabeled", "--out", out, "--methods", "autoencoder"),
        *("--region-shapes", out / "toy" / "VOCdevkit" / "VOC2012", "--seeds", "0", "1"),
        *(part for change in few for part in ("--set", change)),
    )
    assert rungs == "2 of 2 finished; run the same command for the rest\n"
    assert len(list(out.glob("autoencoder-small-p*/weights.safetensors"))) == 2
