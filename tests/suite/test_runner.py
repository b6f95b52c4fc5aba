"""The runner with an executor whose cells end at once, as they are told."""

import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from cebench.errors import InputError, Interrupted
from cebench.suite import runner
from cebench.suite.cells import Cell, content_key
from cebench.suite.folder import SuiteFolder, began_here
from cebench.suite.runner import SuiteRun, failure_report


def cell(name: str, *needs: str) -> Cell:
    return Cell(name=name, verb="pretrain", key=content_key(name), needs=needs)


CELLS = [cell("toy"), cell("a", "toy"), cell("b", "toy"), cell("a-task", "a"), cell("b-task", "b")]


@dataclass
class Ended:
    exitcode: int | None
    terminated: bool = False

    def terminate(self) -> None:
        self.terminated, self.exitcode = True, 143

    def join(self, timeout: float | None = None) -> None:
        pass


@dataclass
class FakeExecutor:
    folder: SuiteFolder
    workers: int = 2
    exit_status: dict[str, int] = field(default_factory=dict)
    """Of cells that do not leave a result."""
    hanging: tuple[str, ...] = ()
    started: list[str] = field(default_factory=list)
    on_start: Callable[[Cell], None] = lambda cell: None

    def start(self, cells: Mapping[int, Cell]) -> Mapping[int, Ended]:
        assert set(cells) <= set(range(self.workers))
        return {worker: self._start(cell) for worker, cell in cells.items()}

    def _start(self, cell: Cell) -> Ended:
        self.started.append(cell.name)
        self.on_start(cell)
        if cell.name in self.hanging:
            return Ended(None)
        status = self.exit_status.get(cell.name, 0)
        if status == 0:
            finish(self.folder, cell)
        elif status > 0:
            ending = replace(began_here(), state="failed", problem="it went wrong")
            self.folder.write_ending(cell, ending)
        return Ended(status)


def finish(folder: SuiteFolder, cell: Cell) -> None:
    folder.result(cell).parent.mkdir(parents=True, exist_ok=True)
    folder.result(cell).write_text("{}")


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_LOOKS", 0.001)
    monkeypatch.setattr(runner, "SECONDS_UNTIL_RETAKEN", 0.005)


def test_each_cell_is_computed_once_after_what_it_needs(folder: SuiteFolder) -> None:
    executor = FakeExecutor(folder)
    SuiteRun(CELLS, folder, executor).run()
    assert sorted(executor.started) == sorted(c.name for c in CELLS)
    for one in CELLS:
        assert all(executor.started.index(n) < executor.started.index(one.name) for n in one.needs)
    again = FakeExecutor(folder)
    SuiteRun(CELLS, folder, again).run()
    assert again.started == []


def test_an_added_row_is_all_that_is_computed(folder: SuiteFolder) -> None:
    SuiteRun(CELLS, folder, FakeExecutor(folder)).run()
    executor = FakeExecutor(folder)
    SuiteRun([*CELLS, cell("c", "toy"), cell("c-task", "c")], folder, executor).run()
    assert executor.started == ["c", "c-task"]


def test_a_failed_cell_stops_only_what_needs_it_and_is_taken_again_when_asked(
    folder: SuiteFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cebench")
    folder.log(CELLS[1]).write_text("\n".join(f"line {n}" for n in range(9)))
    executor = FakeExecutor(folder, exit_status={"a": 1})
    run = SuiteRun(CELLS, folder, executor)
    run.run()
    assert sorted(executor.started) == ["a", "b", "b-task", "toy"]
    failure = failure_report(run)
    assert "1 of 5 cells failed, 1 that need them were left out" in str(failure)
    assert "a failed: it went wrong" in caplog.text
    assert "line 8" in caplog.text
    assert "line 3" not in caplog.text
    states = {status.cell.name: status.state for status in folder.statuses(CELLS)}
    assert (states["a"], states["a-task"], states["b-task"]) == ("failed", "blocked", "finished")

    unasked = FakeExecutor(folder)
    SuiteRun(CELLS, folder, unasked).run()
    assert unasked.started == []
    folder.forget_failures(CELLS)
    asked = FakeExecutor(folder)
    again = SuiteRun(CELLS, folder, asked)
    again.run()
    assert asked.started == ["a", "a-task"]
    assert failure_report(again) is None


def test_a_cell_that_was_killed_says_by_what(folder: SuiteFolder) -> None:
    run = SuiteRun(CELLS, folder, FakeExecutor(folder, exit_status={"b": -signal.SIGKILL}))
    run.run()
    assert run.failed == {"b": "killed by signal 9 (was there too little memory?)"}


def test_a_cell_that_another_run_holds_is_waited_for(folder: SuiteFolder) -> None:
    held = folder.lock(CELLS[1])
    held.acquire()
    looks = 0

    def show(run: SuiteRun) -> None:
        nonlocal looks
        looks += 1
        if looks == 20:  # The other run finishes.
            finish(folder, CELLS[1])
            held.release()

    executor = FakeExecutor(folder)
    SuiteRun(CELLS, folder, executor, show=show).run()
    assert sorted(executor.started) == ["a-task", "b", "b-task", "toy"]


def test_a_cell_is_taken_over_where_its_holder_died(folder: SuiteFolder) -> None:
    held = folder.lock(CELLS[1])
    held.acquire()
    folder.write_ending(CELLS[1], began_here())
    assert folder.status(CELLS[1]).state == "running"
    held.release()  # As the system does for a process that dies.
    assert folder.status(CELLS[1]).state == "stopped"
    executor = FakeExecutor(folder)
    SuiteRun(CELLS, folder, executor).run()
    assert "a" in executor.started


def test_a_signal_lets_the_running_cells_save_and_begins_no_other(folder: SuiteFolder) -> None:
    executor = FakeExecutor(folder, hanging=("a", "b"))
    run = SuiteRun(CELLS, folder, executor)
    sent = False

    def show(shown: SuiteRun) -> None:
        nonlocal sent
        if len(shown.running) == 2 and not sent:
            sent = True
            os.kill(os.getpid(), signal.SIGTERM)

    run.show = show
    with pytest.raises(Interrupted, match="run the same command to continue") as caught:
        run.run()
    assert caught.value.exit_status == 143
    assert executor.started == ["toy", "a", "b"]
    assert run.failed == {}


def test_a_job_taken_out_of_the_queue_is_no_failure(folder: SuiteFolder) -> None:
    """A queued job that is cancelled leaves status 1, and no word of its cell."""

    class Queued(Ended):
        def terminate(self) -> None:
            self.exitcode = 1

    class Queue(FakeExecutor):
        def _start(self, cell: Cell) -> Ended:
            os.kill(os.getpid(), signal.SIGTERM)
            return Queued(None)

    run = SuiteRun(CELLS, folder, Queue(folder))
    with pytest.raises(Interrupted):
        run.run()
    assert run.failed == {}
    assert {status.state for status in folder.statuses(CELLS)} == {"waiting"}


def test_what_fails_while_others_are_stopped_has_failed(folder: SuiteFolder) -> None:
    class Failing(Ended):
        def terminate(self) -> None:
            ending = replace(began_here(), state="failed", problem="it went wrong")
            folder.write_ending(CELLS[0], ending)
            self.exitcode = 1

    class Queue(FakeExecutor):
        def _start(self, cell: Cell) -> Ended:
            os.kill(os.getpid(), signal.SIGTERM)
            return Failing(None)

    run = SuiteRun(CELLS, folder, Queue(folder))
    with pytest.raises(Interrupted):
        run.run()
    assert run.failed == {"toy": "it went wrong"}


def test_a_file_that_changes_while_it_runs_stops_it(folder: SuiteFolder) -> None:
    changed = False

    def note(cell: Cell) -> None:
        nonlocal changed
        changed = True

    executor = FakeExecutor(folder, on_start=note)
    run = SuiteRun(CELLS, folder, executor, has_changed=lambda: changed)
    with pytest.raises(InputError, match="was changed while it ran"):
        run.run()
    assert executor.started == ["toy"]
    assert folder.is_finished(CELLS[0])


def test_a_full_disk_stops_it(folder: SuiteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LEAST_FREE_BYTES", 2**62)
    run = SuiteRun(CELLS, folder, FakeExecutor(folder, exit_status={"a": 1, "b": 1}))
    with pytest.raises(InputError, match="MiB are free, too few to go on; make room"):
        run.run()


def test_a_signal_ends_cells_of_a_suite_whose_file_was_changed(folder: SuiteFolder) -> None:
    """Without further cells the run waits for those under way, until it is told not to."""
    executor = FakeExecutor(folder, hanging=("a",))
    looks = 0

    def show(run: SuiteRun) -> None:
        nonlocal looks
        looks += 1
        if looks == 20:
            assert "was changed while it ran" in run.stopping
            os.kill(os.getpid(), signal.SIGTERM)
        assert looks < 2000, "the cell under way was not told to end"

    changed = iter([False, False])
    run = SuiteRun(CELLS, folder, executor, has_changed=lambda: next(changed, True), show=show)
    with pytest.raises(Interrupted):
        run.run()
