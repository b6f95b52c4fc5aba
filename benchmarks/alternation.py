"""Timing several ways of doing one thing in turn, in one process: where most ratios come from."""

import statistics
import time
from collections.abc import Callable, Mapping

ROUNDS = 5


def medians(ways: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each way by the wall clock over `rounds` rounds, after one untimed call."""
    for way in ways.values():
        way()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def print_ratios(title: str, times: Mapping[str, float]) -> None:
    """One line: the first way's time, and how many times longer each other way takes."""
    (ours, fastest), *others = times.items()
    rest = ", ".join(f"{name} {t * 1e3:.1f} ms ({t / fastest:.2f} x)" for name, t in others)
    print(f"{title}: {ours} {fastest * 1e3:.1f} ms; {rest}")
