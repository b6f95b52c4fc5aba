"""How a cell's process ends: its exit status, and the note it leaves."""

import signal
from pathlib import Path

import pytest

from cebench.errors import CebenchError, InputError, Interrupted
from cebench.suite import execution, programs
from cebench.suite.cells import Cell, content_key
from cebench.suite.folder import SuiteFolder

CELL = Cell(name="a", verb="pretrain", key=content_key("a"))


@pytest.mark.parametrize(
    ("error", "status", "state", "problem"),
    [
        (None, 0, "finished", ""),
        (ValueError("two\nlines"), 1, "failed", "ValueError: two lines"),
        (CebenchError("two\nlines"), 1, "failed", "two lines"),
        (InputError("no such folder"), 2, "failed", "no such folder"),
        (Interrupted("saved", signal.SIGTERM), 143, "stopped", "stopped"),
        (KeyboardInterrupt(), 130, "stopped", "stopped"),
    ],
)
def test_an_exit_status_and_a_note_say_how_a_cell_ended(
    folder: SuiteFolder,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException | None,
    status: int,
    state: str,
    problem: str,
) -> None:
    def ends(cell: Cell, out: Path, device: str) -> None:
        if error:
            raise error

    monkeypatch.setattr(programs, "run_program", ends)
    # They would change this process: its streams and what SIGTERM does.
    monkeypatch.setattr(execution, "_log_to", lambda path: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    assert execution.run_cell(CELL, folder.path, "cpu", 1, None) == status
    ending = folder.ending(CELL)
    assert ending is not None
    assert (ending.state, ending.problem) == (state, problem)
