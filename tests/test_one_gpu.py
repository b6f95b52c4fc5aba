"""The script for one GPU, on a processor: every verb, a few steps."""

import json
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cebench.devices import choose_device, device_name

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "one_gpu.py"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    """Run the script; it starts processes of its own, but is none here."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments), "--device", "cpu"])
    runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.mark.long
def test_speeds_are_measured_once_and_rungs_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def one_gpu(*arguments: str | Path) -> str:
        call(monkeypatch, *arguments)
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
    assert rungs == "2 of 2 finished\n"
    assert len(list(out.glob("autoencoder-small-p*/weights.safetensors"))) == 2


def test_kept_speeds_are_of_the_same_device_and_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").mkdir()
    kept = tmp_path / "speed-0" / "speed.json"
    kept.parent.mkdir()
    device = device_name(choose_device("cpu"))
    numbers = {"images_per_second": 5.0, "bytes": 0}
    command = ("speed", "--out", tmp_path, "--only", "115 px, batch 64")
    kept.write_text(json.dumps({"device": device, "steps": 4, **numbers}))
    call(monkeypatch, *command, "--steps", "4")
    for other in ({"device": "H100", "steps": 4}, {"device": device, "steps": 400}, {}):
        kept.write_text(json.dumps({**other, **numbers}))
        with pytest.raises(SystemExit, match=r"speed.json: has .*; choose another --out"):
            call(monkeypatch, *command, "--steps", "4")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--steps", "1"), "--steps 1: a rate needs at least 4"),
        (("--only", "contxt"), r"--only 'contxt': part of no program's name; there are: context, "),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        call(monkeypatch, "speed", "--out", tmp_path / "gpu", *given)
    assert not (tmp_path / "gpu").exists()


@pytest.mark.parametrize("code", [-signal.SIGKILL, 0, 1])
def test_a_second_resume_computes_again_and_needs_a_kill_that_met_a_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    begun: list[tuple[str, bool]] = []

    def run(command: list[str], **more: object) -> None:
        out = Path(command[command.index("--out") + 1])
        begun.append((out.name, out.exists()))
        out.mkdir(exist_ok=True)
        (out / "weights.safetensors").touch()

    class Killed(subprocess.Popen):
        def __init__(self, command: list[str]) -> None:
            run(command)

        def poll(self) -> int:
            return code

        def kill(self) -> None:
            pass

        def wait(self, timeout: float | None = None) -> int:
            return code

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(subprocess, "Popen", Killed)
    for name in ("toy", "resume-whole", "resume-killed"):
        (tmp_path / name).mkdir()
    if code != -signal.SIGKILL:
        with pytest.raises(SystemExit, match=rf"had ended before, with exit status {code}"):
            call(monkeypatch, "resume", "--out", tmp_path)
        return
    call(monkeypatch, "resume", "--out", tmp_path)
    new, continued = False, True
    assert begun == [("resume-whole", new), ("resume-killed", new), ("resume-killed", continued)]
    assert capsys.readouterr().out == "killed and continued: equal bits\n"


@pytest.mark.parametrize(("code", "failed"), [(0, False), (143, False), (-15, False), (2, True)])
def test_a_failed_rung_names_its_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    failed: bool,
) -> None:
    class Ended(subprocess.Popen):
        def __init__(self, *given: object, **more: object) -> None:
            pass

        def poll(self) -> int:
            return code

        def wait(self, timeout: float | None = None) -> int:
            return code

    monkeypatch.setattr(subprocess, "Popen", Ended)
    command = ("ladder", "--data", "nowhere", "--out", tmp_path, "--methods", "autoencoder")
    given = (*command, "--region-shapes", "nowhere", "--seeds", "0")
    if not failed:
        call(monkeypatch, *given)
        rest = "" if code == 0 else "; run the same command for the rest"
        assert capsys.readouterr().out == f"{int(code == 0)} of 1 finished{rest}\n"
        return
    message = r"^1 of 1 failed, see .*autoencoder-small-p0\.log; 0 of 1 finished$"
    with pytest.raises(SystemExit, match=message):
        call(monkeypatch, *given)
    assert capsys.readouterr().out == ""
