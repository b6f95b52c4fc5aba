"""What the cells of a suite will take: seconds, memory and disk, from rates of this machine.

rates.toml has each program's rates as they were measured on one machine; what `cebench suite
calibrate` measured here says how much faster or slower this one is. Cells that are finished count
before both.
"""

import heapq
import json
import time
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from statistics import mean

from cebench.config import Options
from cebench.suite.calibration import Calibration, stored_calibration
from cebench.suite.cells import Cell, ready
from cebench.suite.folder import SuiteFolder
from cebench.suite.runner import SuiteRun


class ProgramRate(Options):
    """What one program takes on the reference machine, a thread at a time."""

    start: float
    """Processor seconds of a cell, whatever its recipe."""
    image: float = 0.0
    """Processor seconds for each image trained on, at 227 x 227 pixels."""
    read: float = 0.0
    """Processor seconds for each image read for a task."""
    memory_gib: float
    disk_mib: float


class Rates(Options):
    """Content of rates.toml."""

    reference: Calibration
    programs: dict[str, ProgramRate]


@dataclass(frozen=True)
class Estimate:
    """What one cell takes."""

    seconds: float
    """By the clock, of one worker that nothing else disturbs."""
    memory_bytes: float
    disk_bytes: float


@dataclass(frozen=True)
class Estimates:
    """Estimates of the cells of one suite, for workers of so many threads."""

    cells: Sequence[Cell]
    folder: SuiteFolder
    threads: int

    def __getitem__(self, cell: Cell) -> Estimate:
        rate = _rates().programs.get(program_of(cell))
        found = self._measured.get(_group(cell))
        if rate is None:
            seconds, memory, disk = found or 0.0, 0.0, 0.0
        else:
            seconds = self._scaled(rate, cell) if found is None else found
            memory, disk = rate.memory_gib * 2**30, rate.disk_mib * 2**20
        return Estimate(seconds, memory, disk)

    def _scaled(self, rate: ProgramRate, cell: Cell) -> float:
        reference, here = _rates().reference, self._calibration
        work = cell.work
        training = here.step_seconds(self.threads, half=bool(work.get("bf16")))
        training /= reference.step_seconds(1, half=False)
        other = here.decode_seconds / reference.decode_seconds
        prepared = rate.start + rate.read * work.get("read", 0.0)
        return prepared * other + rate.image * work.get("images", 0.0) * training

    @cached_property
    def _calibration(self) -> Calibration:
        return stored_calibration() or _rates().reference

    @cached_property
    def _measured(self) -> Mapping[str, float]:
        """What finished cells of one kind took in the mean, in seconds.

        Of each cell the smaller of its time by the clock and of the processor, which on a shared
        machine is nearer to what it takes alone.
        """
        found: dict[str, list[float]] = {}
        for cell in self.cells:
            if self.folder.is_finished(cell):
                ending = self.folder.ending(cell)
                if ending and ending.state == "finished" and ending.processor_seconds:
                    seconds = min(ending.seconds, ending.processor_seconds)
                    found.setdefault(_group(cell), []).append(seconds)
        return {group: mean(seconds) for group, seconds in found.items()}


@cache
def _rates() -> Rates:
    text = files("cebench.suite").joinpath("rates.toml").read_text(encoding="utf-8")
    return Rates.model_validate(tomllib.loads(text))


def program_of(cell: Cell) -> str:
    """Such as `pretrain context` or `transfer detection`."""
    name = cell.request.get("method") if cell.verb == "pretrain" else cell.column
    return f"{cell.verb} {name}".strip()


def _group(cell: Cell) -> str:
    """What cells have in common that take equally long."""
    return json.dumps([program_of(cell), cell.work, cell.gpus], sort_keys=True)


def seconds_by_the_clock(
    cells: Sequence[Cell], seconds: Mapping[str, float], finished: Collection[str], workers: int
) -> float:
    """How long `workers` take for the cells that are not finished, begun in their order."""
    done, begun = set(finished), set(finished)
    running: list[tuple[float, str]] = []
    now = 0.0
    while True:
        for cell in ready(cells, done, begun)[: workers - len(running)]:
            begun.add(cell.name)
            heapq.heappush(running, (now + seconds[cell.name], cell.name))
        if not running:
            return now
        now, name = heapq.heappop(running)
        done.add(name)


@dataclass
class Forecast:
    """How long the rest of a run takes: the estimates, times what its cells took beyond them."""

    estimates: Estimates
    workers: int

    def __call__(self, run: SuiteRun) -> float | None:
        """Seconds by the clock; None before anything is known."""
        now = time.monotonic()
        expected = {cell.name: self.estimates[cell].seconds for cell in run.cells}
        factor = self._factor(run, expected)
        left = {name: seconds * factor for name, seconds in expected.items()}
        for name in run.running:
            left[name] = max(0.0, left[name] - (now - run.began[name]))
        given_up = {*run.failed, *run.blocked()}
        open_cells = [cell for cell in run.cells if cell.name not in given_up]
        return seconds_by_the_clock(open_cells, left, run.finished, self.workers) or None

    def _factor(self, run: SuiteRun, expected: Mapping[str, float]) -> float:
        """What the finished cells of the run took, over what was expected of them."""
        taken = sum(run.seconds[name] for name in run.computed)
        awaited = sum(expected[name] for name in run.computed)
        return taken / awaited if awaited and len(run.computed) >= self.workers else 1.0
