"""Cells as submitit's jobs: started by its local executor, and by a fake SLURM that kills them."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_suite import TEXT, start, weights

from cebench.errors import InputError
from cebench.suite.cells import Cell
from cebench.suite.folder import SuiteFolder
from cebench.suite.plan import SuiteRequest, known_plan
from cebench.suite.planning import make_plan
from cebench.suite.runner import SuiteRun

pytest.importorskip("submitit")
from cebench.suite.slurm import CellJob, slurm_executor

FAKES = Path(__file__).parents[1] / "fake_slurm.py"


@pytest.fixture
def request_of(tmp_path: Path) -> SuiteRequest:
    file = tmp_path / "tiny.toml"
    file.write_text(TEXT.replace("pretrainings = 2", "pretrainings = 1"))
    (tmp_path / "out").mkdir()
    return SuiteRequest(file=str(file), out=tmp_path / "out")


def test_without_slurm_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="--slurm: "):
        slurm_executor(tmp_path, 0, 1, "cpu", {})


def test_an_unknown_parameter_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--slurm: .*no_such"):
        slurm_executor(tmp_path, 0, 1, "cpu", {"no_such": "1"}, cluster="local")


def test_values_are_those_of_toml(tmp_path: Path) -> None:
    given = {"slurm_use_srun": "false", "slurm_setup": '["module load cuda"]', "timeout_min": "9"}
    executor = slurm_executor(tmp_path, 0, 1, "cpu", given, cluster="local")
    assert executor.submitter.parameters["timeout_min"] == 9
    with pytest.raises(InputError, match=r"--slurm: \w"):
        slurm_executor(tmp_path, 0, 1, "cpu", {"timeout_min": "60.5"}, cluster="local")


def test_a_cluster_that_takes_no_job_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from submitit.core.utils import FailedJobError

    executor = slurm_executor(tmp_path, 0, 1, "cpu", {}, cluster="local")

    def refuse(*_: object) -> None:
        raise FailedJobError("sbatch: error: invalid partition\n  specified")

    monkeypatch.setattr(executor.submitter, "submit", refuse)
    cell = Cell(name="a", verb="pretrain", key="0" * 64)
    with pytest.raises(InputError, match="--slurm: sbatch: error: invalid partition specified"):
        executor.start({0: cell})


@pytest.mark.long
def test_submitits_local_executor_computes_a_suite(request_of: SuiteRequest) -> None:
    plan = make_plan(request_of)
    folder = SuiteFolder(request_of.out)
    folder.check()
    executor = slurm_executor(request_of.out, 2, 1, "cpu", {}, cluster="local")
    # One cell that needs no other, one that others need, one that needs it: each is a process.
    names = {"random-p0", "toy", "autoencoder-p0"}
    run = SuiteRun([cell for cell in plan.cells if cell.name in names], folder, executor)
    run.run()
    assert run.failed == {}
    assert run.finished == names


@pytest.mark.long
def test_a_job_that_is_preempted_saves_and_is_queued_again(request_of: SuiteRequest) -> None:
    plan = make_plan(request_of)
    folder = SuiteFolder(request_of.out)
    folder.check()
    cells = {cell.name: cell for cell in plan.cells}
    assert CellJob(cells["toy"], request_of.out, "cpu", 1)() == 0
    slow = _longer(cells["autoencoder-p0"])
    job = CellJob(slow, request_of.out, "cpu", 1)
    requeued = []

    def preempt(number: int, frame: object) -> None:
        requeued.append(job.checkpoint())

    signal.signal(signal.SIGALRM, preempt)
    saved = request_of.out / slow.folder / "checkpoints" / "index.json"
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    original = job.checkpoint

    def once_saved() -> object:
        if not saved.exists():
            return None
        signal.setitimer(signal.ITIMER_REAL, 0)
        return original()

    job.checkpoint = once_saved  # type: ignore[method-assign, assignment]
    status = job()
    assert status == 143
    assert not folder.is_held(slow)
    ending = folder.ending(slow)
    assert ending is not None
    assert ending.state == "stopped"
    assert any(requeued)


def _longer(cell: Cell) -> Cell:
    """The same pretraining with so many steps that it is under way when the signal comes."""
    changes = [c for c in cell.request["changes"] if not c.startswith("steps")]
    return replace(cell, request={**cell.request, "changes": [*changes, "steps=2000"]})


@pytest.mark.long
def test_a_suite_on_a_cluster_that_kills_jobs_ends_with_the_same_weights(
    request_of: SuiteRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = Path(request_of.file), tmp_path / "slurm-out"
    undisturbed = start(file, tmp_path / "local-out", "--workers", "2")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sbatch", "srun", "sacct", "scancel", "scontrol"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKES} {name} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "cluster"))
    monkeypatch.setenv("FAKE_SLURM_OUT", str(out))
    run = start(file, out, "--slurm", "--workers", "4", "--threads", "1")
    _, log = run.communicate()
    assert run.returncode == 0, log
    assert (tmp_path / "cluster" / "preempted").exists()
    _, log = undisturbed.communicate()
    assert undisturbed.returncode == 0, log
    assert weights(out) == weights(tmp_path / "local-out")
    assert known_plan(SuiteRequest(file=str(file), out=out)) is not None
