"""Progress of long work: a bar on a terminal, a line now and then elsewhere. Always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 10.0

Report = Callable[..., None]
"""report(done, total, note=""): absolute counts, so that a repeated call does no harm."""


@contextmanager
def progress(label: str, unit: str = "steps") -> Iterator[Report]:
    """Yields a `Report`; shows count, rate and the remaining time."""
    if sys.stderr.isatty():
        with _bar(label, unit) as report:
            yield report
    else:
        yield _Lines(label, unit)


class _Lines:
    def __init__(self, label: str, unit: str) -> None:
        self.label, self.unit = label, unit
        self.started: tuple[float, int] | None = None
        self.last = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if self.started is None:
            self.started = (now, done)
        if now - self.last < SECONDS_BETWEEN_LINES and done < total:
            return
        self.last = now
        since, first = self.started
        rate = (done - first) / (now - since) if now > since else 0.0
        left = f", {clock((total - done) / rate)} left" if rate and done < total else ""
        speed = f", {rate:.3g} {self.unit}/s" if rate else ""
        text = f"{self.label}: {done}/{total} {self.unit}{speed}{left}{_spaced(note)}"
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, rate="", note="")

        def report(done: int, total: int, note: str = "") -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:.3g} {unit}/s" if speed else ""
            bar.update(task, completed=done, total=total, rate=rate, note=note)

        yield report


def clock(seconds: float) -> str:
    """Such as 2:05 or 1:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _spaced(note: str) -> str:
    return f", {note}" if note else ""
