"""Suites as processes: undisturbed, killed, and two beside each other."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from tiny_suite import CELLS, TEXT, attempts, start, weights

from cebench.suite.folder import SuiteFolder
from cebench.suite.plan import SuiteRequest, known_plan


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def undisturbed(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a suite that ran through."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run = start(file, out, "--workers", "2")
    _, log = run.communicate()
    assert run.returncode == 0, log
    return out


def cells_begun(out: Path) -> int:
    """How often a cell was begun, over all cells."""
    return sum(attempts(out).values())


@pytest.mark.slow
def test_every_cell_is_computed_once_and_the_report_is_written(
    file: Path, undisturbed: Path
) -> None:
    assert attempts(undisturbed) == dict.fromkeys(attempts(undisturbed), 1)
    assert len(attempts(undisturbed)) == CELLS
    assert len(weights(undisturbed)) == CELLS - 1
    assert "Pretraining time" in (undisturbed / "tables.md").read_text()
    assert "<h1>a tiny suite</h1>" in (undisturbed / "index.html").read_text()
    assert known_plan(SuiteRequest(file=str(file), out=undisturbed)) is not None

    again = start(file, undisturbed, "--workers", "2")
    tables, _ = again.communicate()
    assert (again.returncode, tables) == (0, (undisturbed / "tables.md").read_text())
    assert attempts(undisturbed) == dict.fromkeys(attempts(undisturbed), 1)


@pytest.mark.long
@pytest.mark.alone
def test_killed_at_random_it_ends_with_the_same_weights(
    file: Path, undisturbed: Path, tmp_path: Path
) -> None:
    moments, codes = random.Random(0), []
    for _ in range(5):
        begun = cells_begun(tmp_path / "out")
        run = start(file, tmp_path / "out", "--workers", "2")
        while run.poll() is None and cells_begun(tmp_path / "out") == begun:
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 4))
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        codes.append(run.returncode)
    # The first is met in one of its first cells; a fast machine may be done before the last.
    assert codes[0] == -signal.SIGKILL
    run = start(file, tmp_path / "out", "--workers", "2")
    _, log = run.communicate()
    assert run.returncode == 0, log
    assert weights(tmp_path / "out") == weights(undisturbed)


@pytest.mark.long
def test_two_runs_share_the_cells(file: Path, undisturbed: Path, tmp_path: Path) -> None:
    runs = [start(file, tmp_path / "out", "--workers", "1") for _ in range(2)]
    for run in runs:
        _, log = run.communicate()
        assert run.returncode == 0, log
    assert weights(tmp_path / "out") == weights(undisturbed)
    assert attempts(tmp_path / "out") == dict.fromkeys(attempts(tmp_path / "out"), 1)


@pytest.mark.slow
def test_a_signal_saves_and_the_same_command_goes_on(
    file: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = start(file, tmp_path / "out", "--workers", "1")
    while not list((tmp_path / "out" / "runs").glob("autoencoder-p0-*/checkpoints/*.json")):
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    _, log = run.communicate()
    assert run.returncode == 143
    assert "run the same command to continue" in log
    plan = known_plan(SuiteRequest(file=str(file), out=tmp_path / "out"))
    assert plan is not None
    states = {s.cell.name: s.state for s in SuiteFolder(tmp_path / "out").statuses(plan.cells)}
    assert states["autoencoder-p0"] in ("stopped", "finished")
    assert "failed" not in states.values()
    run = start(file, tmp_path / "out", "--workers", "2")
    assert (run.communicate()[1], run.returncode)[1] == 0
    assert weights(tmp_path / "out") == weights(undisturbed)
