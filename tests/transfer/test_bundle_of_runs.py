"""Toy runs of the three tasks of Table 2, from the command to a verified bundle."""

from pathlib import Path

import pytest
from calls import call
from click.testing import Result

from cebench.cli import cli
from cebench.reporting.outcomes import FILE_NAME


def run(*arguments: str | Path) -> Result:
    result = call(cli, *arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.long
def test_toy_runs_are_packed_verified_reported_and_scored(toy: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    common = ["--data", toy, "--recipe", "smoke", "--device", "cpu"]
    tasks = {"classification": "steps=2", "detection": "steps=2", "segmentation": "steps=2"}
    for task, steps in tasks.items():
        out = runs / task
        run(
            "transfer", "--task", task, "--weights", "random", *common, "--set", steps, "--out", out
        )
        assert (out / FILE_NAME).stat().st_size > 0
    bundle = tmp_path / "toy.zip"
    packed = run("pack", runs, "--out", bundle).stdout
    assert "3 records, " in packed
    assert ", 0 that cannot" in packed
    assert "0 numbers cannot be scored again" in run("verify", bundle).stdout
    assert run("report", bundle).stdout == run("report", runs).stdout
    text = run("score", "--all", bundle).stdout
    for column in ("Classification", "Detection", "Segmentation"):
        assert column in text
