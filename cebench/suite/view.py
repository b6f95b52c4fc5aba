"""What a running suite shows: a live table on a terminal, a line for each ended cell elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cebench.progress import clock
from cebench.suite.runner import SuiteRun

if TYPE_CHECKING:
    from rich.table import Table

SECONDS_BETWEEN_PICTURES = 0.5

Remaining = Callable[[SuiteRun], float | None]
"""Seconds by the clock that the rest of a run takes, where that can be told."""


@contextmanager
def watch(remaining: Remaining) -> Iterator[Callable[[SuiteRun], None]]:
    """Yields what a run calls often to be shown on stderr."""
    if not sys.stderr.isatty():
        yield _Lines(remaining)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False) as live:
        last = 0.0

        def show(run: SuiteRun) -> None:
            nonlocal last
            if time.monotonic() - last > SECONDS_BETWEEN_PICTURES:
                last = time.monotonic()
                live.update(_picture(run, remaining), refresh=True)

        yield show


class _Lines:
    """A line for each cell that ends."""

    def __init__(self, remaining: Remaining) -> None:
        self.remaining, self.shown = remaining, 0

    def __call__(self, run: SuiteRun) -> None:
        for name in run.computed[self.shown :]:
            counted = f"[{len(run.finished)}/{len(run.cells)}] {name}: {clock(run.seconds[name])}"
            print(f"{counted}{_left(run, self.remaining)}", file=sys.stderr, flush=True)
        self.shown = len(run.computed)


def _picture(run: SuiteRun, remaining: Remaining) -> "Table":
    from rich.table import Table

    counts = [f"{len(run.finished)} of {len(run.cells)} finished"]
    if run.failed:
        counts.append(f"{len(run.failed)} failed, {len(run.blocked())} left out")
    title = ", ".join(counts) + _left(run, remaining)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=True)
    for heading, justify in (("running", "left"), ("for", "right"), ("says", "left")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    by_name = {cell.name: cell for cell in run.cells}
    for name in run.running:
        taken = clock(time.monotonic() - run.began[name])
        lines = run.folder.last_lines(by_name[name], 1)
        table.add_row(name, taken, lines[0] if lines else "")
    for name in run.elsewhere:
        table.add_row(name, "", "another run computes it")
    return table


def _left(run: SuiteRun, remaining: Remaining) -> str:
    seconds = remaining(run)
    return "" if seconds is None else f", about {clock(seconds)} left"
