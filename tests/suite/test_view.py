import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from cebench.suite import machine, view
from cebench.suite.cells import Cell, content_key
from cebench.suite.folder import SuiteFolder
from cebench.suite.machine import share_out
from cebench.suite.runner import SuiteRun

CELLS = [Cell(name=name, verb="pretrain", key=content_key(name)) for name in ("a", "b", "c")]


@pytest.fixture
def run(tmp_path: Path) -> SuiteRun:
    folder = SuiteFolder(tmp_path)
    folder.check()
    found = SuiteRun(CELLS, folder, executor=None)  # type: ignore[arg-type]
    found.finished.add("a")
    found.computed.append("a")
    found.seconds["a"] = 65.0
    found.running["b"] = None  # type: ignore[assignment]
    found.began["b"] = time.monotonic() - 5
    found.elsewhere["c"] = 0.0
    folder.log(CELLS[1]).write_text("b: 20/40 steps\n")
    return found


def test_a_line_for_each_cell_that_ended(run: SuiteRun, capsys: pytest.CaptureFixture[str]) -> None:
    with view.watch(lambda run: 125.0) as show:
        show(run)
        show(run)
    assert capsys.readouterr().err == "[1/3] a: 1:05, about 2:05 left\n"


def test_the_table_shows_what_is_under_way(run: SuiteRun) -> None:
    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(view._picture(run, lambda run: None))
    text = console.export_text()
    assert "1 of 3 finished" in text
    assert "b: 20/40 steps" in text
    assert "another run computes it" in text


def test_workers_are_as_many_as_cores_memory_or_gpus_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "core_count", lambda: 16)
    monkeypatch.setattr(machine, "memory_bytes", lambda: 20 * 2**30)
    monkeypatch.setattr(machine, "visible_gpus", lambda: ("0", "1"))
    by_memory, by_threads = share_out(0, 0, "cpu"), share_out(0, 8, "cpu")
    assert (by_memory.workers, by_memory.threads) == (8, 2)
    assert (by_threads.workers, by_threads.threads) == (2, 8)
    with_gpus = share_out(0, 0, "auto")
    assert (with_gpus.workers, with_gpus.threads, with_gpus.gpus) == (2, 8, ("0", "1"))
    assert share_out(3, 0, "cpu").threads == 5
