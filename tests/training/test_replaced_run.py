"""What `--no-resume` starts over outlives errors and power cuts until the new run has results."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from samples import DETECTION

from cebench.reporting.records import read_records
from cebench.training import replaced_run
from cebench.training.run_directory import RunDirectory

IDENTITY = {"run": {"verb": "pretrain", "seed": 0}, "recipe": {"steps": 10}}


class PowerCutError(Exception):
    """Ends what stands between two moves of files."""


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run."""
    with RunDirectory(tmp_path / "run", IDENTITY) as run:
        run.log_metrics(1, {"loss": 1.0})
        run.finish(DETECTION)
        (run.path / "samples").mkdir()
        (run.path / "samples" / "1.png").write_bytes(b"picture")
    return tmp_path / "run"


def start_over_and_fail(folder: Path, written: str) -> None:
    """A new run that writes one file and ends with an error."""

    def fail() -> None:
        with RunDirectory(folder, IDENTITY, resume=False) as run:
            assert not run.finished
            assert read_records(folder) == []
            run.log_metrics(1, {"loss": 2.0})
            (folder / written).parent.mkdir(exist_ok=True)
            (folder / written).write_text("new")
            raise RuntimeError("step 2: loss is nan")

    with pytest.raises(RuntimeError, match="nan"):
        fail()


def begin_anew(folder: Path) -> None:
    """What a new run writes before it has results."""
    (folder / "run.toml").write_text("new")
    (folder / "metrics.jsonl").write_text("new")
    (folder / "samples").mkdir()
    (folder / "samples" / "2.png").write_bytes(b"new")


def test_an_error_before_the_first_result_brings_the_old_run_back(folder: Path) -> None:
    before = content(folder)
    start_over_and_fail(folder, "samples/3.png")
    assert content(folder) == before


@pytest.mark.parametrize("result", ["checkpoints/index.json", "predictions/1.png", "record.json"])
def test_the_first_result_ends_the_old_run(folder: Path, result: str) -> None:
    start_over_and_fail(folder, result)
    assert sorted(content(folder)) == sorted(["log.txt", "metrics.jsonl", "run.toml", result])


def test_a_killed_run_without_results_gives_way_to_the_old_one(folder: Path) -> None:
    before = content(folder)
    replaced_run.set_aside(folder)
    begin_anew(folder)
    (folder / "run.toml").write_bytes(before["run.toml"])
    with RunDirectory(folder, IDENTITY) as run:
        assert run.finished
        assert run.record() == DETECTION
    replaced_run.set_aside(folder)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "index.json").write_text("[]")
    with RunDirectory(folder, IDENTITY) as run:
        assert not run.finished
    assert not (folder / ".replaced").exists()


@pytest.mark.parametrize("moves", range(8))
def test_a_power_cut_while_files_move_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """Every move of both ways is the last one once; then the folder's next run settles it."""
    before, replace = content(folder), os.replace
    left = [moves]

    def powered(source: Path, target: Path) -> None:
        if not left[0]:
            raise PowerCutError
        left[0] -= 1
        replace(source, target)

    for way in (replaced_run.set_aside, replaced_run.put_back):
        left[0] = moves
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", powered)
            with suppress(PowerCutError):
                way(folder)
        assert (folder / "run.toml").exists()
        replaced_run.settle(folder)
        assert content(folder) == before
        replaced_run.set_aside(folder)
        begin_anew(folder)
