"""What a suite would do: its cells, which are finished, and what the others take by estimate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cebench.progress import clock, counted
from cebench.suite.calibration import stored_calibration
from cebench.suite.cells import Cell
from cebench.suite.estimates import Estimate, Estimates, program_of, seconds_by_the_clock
from cebench.suite.folder import SuiteFolder
from cebench.suite.machine import Shares
from cebench.suite.plan import Plan

Line = tuple[str, str, str, str, str, str]


@dataclass(frozen=True)
class DryRun:
    """The cells of a suite with their estimates."""

    plan: Plan
    shares: Shares
    finished: frozenset[str]
    estimates: dict[str, Estimate]

    @property
    def seconds(self) -> float:
        """Seconds by the clock until all is finished."""
        taken = {name: found.seconds for name, found in self.estimates.items()}
        workers = self.shares.workers
        return seconds_by_the_clock(self.plan.cells, taken, self.finished, workers)

    @property
    def memory_bytes(self) -> float:
        """Memory of the largest cells that may run beside each other."""
        largest = sorted((self.estimates[c.name].memory_bytes for c in self.open), reverse=True)
        return sum(largest[: self.shares.workers])

    @property
    def disk_bytes(self) -> float:
        """Space on the disk that the unfinished cells take."""
        return sum(self.estimates[cell.name].disk_bytes for cell in self.open)

    @property
    def open(self) -> list[Cell]:
        """Cells that are not finished."""
        return [cell for cell in self.plan.cells if cell.name not in self.finished]


def dry_run(plan: Plan, folder: SuiteFolder, shares: Shares) -> DryRun:
    """The cells of `plan` and their estimates; nothing is computed."""
    estimates = Estimates(plan.cells, folder, shares.threads)
    return DryRun(
        plan,
        shares,
        frozenset(cell.name for cell in plan.cells if folder.is_finished(cell)),
        {cell.name: estimates[cell] for cell in plan.cells},
    )


def as_text(found: DryRun) -> str:
    """A line for each kind of cell, then the totals."""
    kinds: dict[str, list[Cell]] = {}
    for cell in found.plan.cells:
        kinds.setdefault(program_of(cell), []).append(cell)
    lines: list[tuple[str, ...]] = [
        ("", "cells", "finished", "seconds each", "memory each", "disk each")
    ]
    lines += [_line(found, kind, cells) for kind, cells in kinds.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in lines
    ]
    count, shares = len(found.plan.cells), found.shares
    source = "measured" if stored_calibration() else "the reference machine's; calibrate for yours"
    return "\n".join(
        [
            *shown,
            "",
            f"{counted(count, 'cell')}, {len(found.finished)} finished, "
            f"{len(found.open)} to compute: about {clock(found.seconds)} with "
            f"{counted(shares.workers, 'worker')} of {counted(shares.threads, 'thread')},",
            f"{_gib(found.memory_bytes)} of memory, {_gib(found.disk_bytes)} on the disk "
            f"(rates: {source})",
        ]
    )


def _line(found: DryRun, kind: str, cells: Sequence[Cell]) -> Line:
    estimates = [found.estimates[cell.name] for cell in cells]
    finished = sum(cell.name in found.finished for cell in cells)
    seconds = sorted({round(estimate.seconds) for estimate in estimates})
    shown = f"{seconds[0]}" if len(seconds) == 1 else f"{seconds[0]} to {seconds[-1]}"
    memory = max(estimate.memory_bytes for estimate in estimates)
    disk = max(estimate.disk_bytes for estimate in estimates)
    return kind, f"{len(cells)}", f"{finished}", shown, _gib(memory), _gib(disk)


def _gib(count: float) -> str:
    return f"{count / 2**30:.2f} GiB"


def as_json(found: DryRun) -> dict[str, Any]:
    """Every cell with its estimate, and the totals."""
    return {
        "title": found.plan.title,
        "workers": found.shares.workers,
        "threads": found.shares.threads,
        "seconds": found.seconds,
        "memory_bytes": found.memory_bytes,
        "disk_bytes": found.disk_bytes,
        "cells": [
            {
                "name": cell.name,
                "finished": cell.name in found.finished,
                "seconds": found.estimates[cell.name].seconds,
                "memory_bytes": found.estimates[cell.name].memory_bytes,
                "disk_bytes": found.estimates[cell.name].disk_bytes,
                "needs": list(cell.needs),
            }
            for cell in found.plan.cells
        ],
    }
