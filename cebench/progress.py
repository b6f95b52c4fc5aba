"""Progress of long work: a bar on a terminal, a line now and then elsewhere. Always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cebench.logs import is_first_process

SECONDS_BETWEEN_LINES = 10.0

Report = Callable[..., None]
"""report(done, total, note=""): absolute counts, so that a repeated call does no harm."""


@contextmanager
def progress(label: str, unit: str = "steps") -> Iterator[Report]:
    """Yields a `Report`; shows count, rate and the remaining time, under torchrun once."""
    if not is_first_process():
        yield lambda done, total, note="": None
    elif sys.stderr.isatty():
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
        speed = f", {spoken_rate(rate, self.unit)}" if rate else ""
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
            rate = spoken_rate(speed, unit) if speed else ""
            bar.update(task, completed=done, total=total, rate=rate, note=note)

        yield report


def spoken_rate(per_second: float, unit: str) -> str:
    """A rate in whole numbers where there are many, and slow ones the other way round.

    `1,234 images/s`, `3.4 steps/s`, `5.1 s per step`, `2:10 min per image`.
    """
    if per_second >= 0.995:
        digits = 0 if per_second >= 99.95 else 1
        return f"{per_second:,.{digits}f} {unit}/s"
    seconds, one = 1 / per_second, unit.removesuffix("es" if unit.endswith("ches") else "s")
    if seconds < 119.5:
        return f"{seconds:.1f} s per {one}" if seconds < 9.95 else f"{seconds:.0f} s per {one}"
    return f"{clock(seconds)} {'h' if seconds >= 3599.5 else 'min'} per {one}"


def spoken_duration(seconds: float) -> str:
    """A length of time as one says it: `less than a minute`, `about 12 minutes`, `about 3 days`."""
    if seconds < 55:
        return "less than a minute"
    for name, length, most in (("minute", 60, 90), ("hour", 3600, 48), ("day", 86400, 1e9)):
        if seconds / length < most:
            number = max(1, round(seconds / length))
            return f"about {counted(number, name)}"
    return "for ever"


def counted(count: int, unit: str, plural: str = "") -> str:
    """A number with its unit, `1 thread` or `1,200 threads`; `plural` of what takes more than s."""
    return f"{count:,} {unit if count == 1 else plural or unit + 's'}"


def spoken_bytes(count: float) -> str:
    """A size in the unit that leaves one to three digits before the point: `16.4 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1000:
            return (
                f"{count:.0f} {unit}"
                if unit == "bytes" or count >= 99.95
                else (f"{count:.1f} {unit}")
            )
        count /= 1024
    return f"{count:,.1f} TiB"


def clock(seconds: float) -> str:
    """Such as 2:05 or 1:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _spaced(note: str) -> str:
    return f", {note}" if note else ""


def untrained(steps: int | None, tuned: int | None = None, task: str = "") -> str:
    """How little a smoke run was trained: `untrained: 40 steps, then 30 of classification`.

    steps: of the pretraining, if known; tuned: of `task`, if it trains.
    """
    pretrained = "" if steps is None else f": {steps} step{'s' * (steps != 1)}"
    return f"untrained{pretrained}" + (f", then {tuned} of {task}" if tuned else "")
