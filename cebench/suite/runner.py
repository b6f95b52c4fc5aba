"""Running a suite: cells begin when what they need is finished, so many at once as workers.

Everything that is known lies in the suite's folder, so that a run that was killed goes on, and runs
that were started beside each other share the cells.
"""

import logging
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from cebench.errors import CebenchError, InputError, Interrupted
from cebench.suite.cells import Cell, blocked, ready
from cebench.suite.execution import TAKEN
from cebench.suite.folder import SuiteFolder, began_here
from cebench.training.signals import collected_signals

logger = logging.getLogger("cebench")

SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_UNTIL_RETAKEN = 2.0
"""After a cell turned out to be another run's."""
LEAST_FREE_BYTES = 100 * 2**20
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


class Process(Protocol):
    """A cell that an executor computes."""

    @property
    def exitcode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""

    def terminate(self) -> None:
        """Ask it to save and end."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""


class Executor(Protocol):
    """Where cells are computed."""

    @property
    def workers(self) -> int:
        """How many cells at once."""

    def start(self, cells: Mapping[int, Cell]) -> Mapping[int, Process]:
        """Begin cells, by worker."""


@dataclass
class SuiteRun:
    """One run over the cells of a suite."""

    cells: Sequence[Cell]
    folder: SuiteFolder
    executor: Executor
    has_changed: Callable[[], bool] = lambda: False
    """Whether suite file and recipes are no longer those that the cells come from."""
    show: Callable[["SuiteRun"], None] = lambda run: None
    """Called often, with this."""
    finished: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """Name -> problem."""
    running: dict[str, Process] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    """When each began."""
    elsewhere: dict[str, float] = field(default_factory=dict)
    """Cells of other runs: when they were last looked at."""
    computed: list[str] = field(default_factory=list)
    """Cells that this run finished, in their order."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What they took by the clock."""
    stopping: str = ""
    """Why no further cell begins."""
    _told_to_end: bool = False
    """Whether the running cells were."""
    _workers: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        """Compute every cell that can be; failures are in `failed`.

        Interrupted, after the running cells saved their state, on SIGINT and SIGTERM; InputError
        where the suite's file was changed, or the disk is full.
        """
        with collected_signals() as received:
            self._look_at_cells()
            while self._goes_on():
                if received and not self._told_to_end:
                    self._stop("stopped; run the same command to continue")
                elif not self.stopping:
                    self._begin_cells()
                time.sleep(SECONDS_BETWEEN_LOOKS)
                self._collect()
                self.show(self)
            if received:
                raise Interrupted(self.stopping, received[0])
            if self.stopping:
                raise InputError(self.stopping)

    def blocked(self) -> Mapping[str, str]:
        """Cells that need a failed one -> that one."""
        return blocked(self.cells, self.failed)

    def _look_at_cells(self) -> None:
        for cell in self.cells:
            if cell.name not in self.finished:
                self._look_at(cell)

    def _look_at(self, cell: Cell) -> bool:
        """Note whether a cell is finished or failed; returns whether it is neither."""
        status = self.folder.status(cell)
        if status.state == "finished":
            self.finished.add(cell.name)
        elif status.state == "failed":
            self.failed[cell.name] = status.problem
        return status.state not in ("finished", "failed")

    def _goes_on(self) -> bool:
        if self.running:
            return True
        return not self.stopping and bool(self._ready() or self.elsewhere)

    def _ready(self) -> list[Cell]:
        begun = {*self.failed, *self.running, *self.elsewhere}
        return ready(self.cells, self.finished, begun)

    def _begin_cells(self) -> None:
        free = set(range(self.executor.workers)) - self._busy()
        candidates = self._ready() if free else []
        if candidates and self.has_changed():
            self.stopping = (
                "the suite's file, or a recipe of it, was changed while it ran; run it again: "
                "finished cells stay"
            )
            return
        chosen: dict[int, Cell] = {}
        for cell in candidates:
            if len(chosen) == len(free):
                break
            if self.folder.is_finished(cell):
                self.finished.add(cell.name)
            elif self.folder.is_held(cell):
                self.elsewhere[cell.name] = time.monotonic()
            else:
                chosen[sorted(free)[len(chosen)]] = cell
        for worker, process in self.executor.start(chosen).items():
            name = chosen[worker].name
            self.running[name], self._workers[name] = process, worker
            self.began[name] = time.monotonic()

    def _busy(self) -> set[int]:
        return {self._workers[name] for name in self.running}

    def _collect(self) -> None:
        now = time.monotonic()
        by_name = {cell.name: cell for cell in self.cells}
        for name, process in list(self.running.items()):
            if process.exitcode is not None:
                process.join()
                del self.running[name]
                self.seconds[name] = now - self.began[name]
                self._end(by_name[name], process.exitcode)
        for name, since in list(self.elsewhere.items()):
            if now - since > SECONDS_UNTIL_RETAKEN:
                self._look_again(by_name[name])

    def _look_again(self, cell: Cell) -> None:
        """A cell of another run: it is finished, failed, still under way, or free again."""
        del self.elsewhere[cell.name]
        if self._look_at(cell) and self.folder.is_held(cell):
            self.elsewhere[cell.name] = time.monotonic()

    def _end(self, cell: Cell, status: int) -> None:
        if self.folder.is_finished(cell):
            self.finished.add(cell.name)
            self.computed += [cell.name] if status == 0 else []
        elif status == TAKEN or self.folder.is_held(cell):
            self.elsewhere[cell.name] = time.monotonic()
        elif self._was_stopped(cell, status):
            logger.info(f"{cell.name}: stopped")
        else:
            self._fail(cell, status)

    def _was_stopped(self, cell: Cell, status: int) -> bool:
        """Whether a cell ended because it was told to, or before it began."""
        if status in _STOPPED or -status in (signal.SIGINT, signal.SIGTERM):
            return True
        ending = self.folder.ending(cell)
        return bool(self.stopping) and (ending is None or ending.state != "failed")

    def _fail(self, cell: Cell, status: int) -> None:
        free = shutil.disk_usage(self.folder.path).free
        if free < LEAST_FREE_BYTES:
            self._stop(
                f"{self.folder.path}: {free >> 20} MiB are free, too few to go on; make room and "
                "run the same command with --retry"
            )
            return
        ending = self.folder.ending(cell)
        problem = ending.problem if ending and ending.state == "failed" else ""
        if not problem:
            problem = _unexplained(status)
            self.folder.write_ending(
                cell, replace(ending or began_here(), state="failed", problem=problem)
            )
        self.failed[cell.name] = problem
        logger.info(f"{cell.name}: failed: {problem}")

    def _stop(self, why: str) -> None:
        self.stopping, self._told_to_end = why, True
        for process in self.running.values():
            process.terminate()


def _unexplained(status: int) -> str:
    """Why a cell ended that could not say so itself."""
    if status >= 0:
        return f"ended with exit status {status} and without its result"
    memory = " (was there too little memory?)" if -status == signal.SIGKILL else ""
    return f"killed by signal {-status}{memory}"


def failure_report(run: SuiteRun) -> CebenchError | None:
    """What failed, each with the last lines of its log; None where nothing did."""
    if not run.failed:
        return None
    by_name = {cell.name: cell for cell in run.cells}
    for name, problem in run.failed.items():
        if name in by_name:
            logger.info(f"\n{name} failed: {problem}; the end of {run.folder.log(by_name[name])}:")
            for line in run.folder.last_lines(by_name[name]):
                logger.info(f"    {line}")
    waiting = len(run.blocked())
    rest = f", {waiting} that need them were left out" if waiting else ""
    return CebenchError(
        f"{len(run.failed)} of {len(run.cells)} cells failed{rest}; correct the cause and run the "
        "same command with --retry"
    )
