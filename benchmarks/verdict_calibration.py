"""How often paired tests reject where two rows are equally good, and where one is 2 points better.

Run: python benchmarks/verdict_calibration.py [--pairs 1000] [--minutes 60] [--task classification]
Prints the tables of docs/verdicts.md: the share of simulated pairs with p <= 0.05. Rows share
images, labels, image difficulty and part of the noise; see tests/simulated_rows.py.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cebench.metrics.image_weights import bootstrap_weights, swap_weights
from cebench.metrics.permutation import swap_test
from cebench.metrics.weighted_average_precision import DEFINITIONS, WeightedAveragePrecision
from cebench.randomness import numpy_generator
from cebench.reporting.paired_intervals import ResampledRow, paired_interval

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from coverage_trials import pretraining_coverage
from simulated_rows import (
    SHARED_BY_REAL_ROWS,
    SHARED_BY_ROWS,
    Entries,
    Scorer,
    Task,
    scorer_of,
    simulate,
)

PERMUTATIONS = 39
"""Few suffice for the share of rejections: p <= 0.05 is being one of the two largest of 40."""
DRAWS = 199
ALPHA = 0.05
PRETRAININGS = ((1, 1), (2, 2), (3, 2), (3, 3), (4, 3), (5, 5), (2, 0), (3, 0), (5, 0))
"""Of the two rows; 0 is a fill without a network."""


@dataclass(frozen=True)
class Case:
    """A kind of pair."""

    name: str
    images: int
    mean_ap: float
    better: float = 0.0
    """By how much the second row's true mean AP is higher."""
    scale: float = 1.0
    """The second row's scores are exp(scale * x)."""
    shared: float = SHARED_BY_ROWS
    """Share of the noise that the rows have in common."""
    unlike: bool = False
    """The rows are good at different classes."""
    share: float = 1.0
    """Share of --pairs that is simulated, in that share of --minutes."""
    others: bool = False
    """Whether to try the two other tests too."""


CASES = (
    Case("equal, other scale", 1250, 0.5, scale=2.0),
    Case("equal, other scale", 1250, 0.12, scale=2.0),
    Case("equal, other scale", 100, 0.5, scale=2.0),
    Case("equal, other scale", 4952, 0.5, scale=2.0, share=0.2),
    Case("equal, other scale", 1250, 0.5, scale=2.0, share=0.2, others=True),
    Case("equal, other classes", 1250, 0.5, unlike=True, share=0.3),
    Case("equal, alike as real rows", 1250, 0.5, shared=SHARED_BY_REAL_ROWS, share=0.3),
    Case("2 points better", 4952, 0.5, better=0.02, share=0.1),
    Case(
        "2 points better, alike as real rows",
        *(4952, 0.5),
        better=0.02,
        shared=SHARED_BY_REAL_ROWS,
        share=0.1,
    ),
    Case("2 points better", 4952, 0.12, better=0.02, share=0.1),
    Case("2 points better", 1250, 0.5, better=0.02, share=0.2),
)


def main() -> None:
    """Print a line per case, task and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60, help="at most, of the largest case")
    parser.add_argument("--task", choices=["classification", "detection", "none"])
    arguments = parser.parse_args()
    print("| pairs | task | images | mAP | test | " + " | ".join(DEFINITIONS) + " |")
    print("| --- " * (5 + len(DEFINITIONS)) + "|")
    tasks: Sequence[Task] = ("classification", "detection")
    for task in tasks:
        if arguments.task in (None, task):
            for case in CASES:
                seconds = 60 * arguments.minutes * case.share
                print_case(case, task, max(1, round(arguments.pairs * case.share)), seconds)
    print_pretrainings(arguments.pairs)


def print_pretrainings(trials: int) -> None:
    """How often the interval of a difference covers it, by the number of pretrainings."""
    print("\n| pretrainings | effect of a pretraining | intervals that cover the difference |")
    print("| --- " * 3 + "|")
    for pretrainings in PRETRAININGS:
        for run_sd in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0):
            share = pretraining_coverage(pretrainings, run_sd, trials)
            first, second = (count or "a fill" for count in pretrainings)
            print(f"| {first}, {second} | {run_sd} | {100 * share:.1f} % |")


def print_case(case: Case, task: Task, pairs: int, seconds: float) -> None:
    """Simulate one kind of pair, for so long at most, and print each test's rejections."""
    start = time.perf_counter()
    rejected: dict[str, list[np.ndarray]] = {}
    scorers = pair_of_scorers(case, task)
    for number in range(pairs):
        if time.perf_counter() > start + seconds:
            break
        rng = np.random.default_rng([7, number])
        entries = simulate(task, case.images, scorers, rng, case.shared)
        for test, p_values in tested(case, entries, number).items():
            rejected.setdefault(test, []).append(p_values <= ALPHA)
    for test, hits in rejected.items():
        shares = " | ".join(f"{100 * share:.1f} %" for share in np.mean(hits, axis=0))
        row = f"{len(hits)} {case.name} | {task} | {case.images} | {100 * case.mean_ap:.0f} %"
        print(f"| {row} | {test} | {shares} |", flush=True)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)


def pair_of_scorers(case: Case, task: Task) -> tuple[Scorer, Scorer]:
    """Two rows whose true mean APs by area differ by `better`."""
    first = scorer_of(case.mean_ap, task)
    second = scorer_of(case.mean_ap + case.better, task, unlike=case.unlike)
    return first, replace(second, scale=case.scale)


def tested(case: Case, entries: Sequence[Entries], seed: int) -> Mapping[str, np.ndarray]:
    """Test -> (3,) p values by each definition."""
    first, second = (row.ranked() for row in entries)
    permutations = PERMUTATIONS if case.better == 0 else 199
    found = {"swap ranks": swap_test(first, second, permutations, seed)}
    if case.others:
        found["bootstrap, t"] = bootstrap_p_values(first, second, seed)
        found["swap raw scores"] = raw_swap_p_values(first, second, entries, seed)
    return found


def bootstrap_p_values(
    first: WeightedAveragePrecision, second: WeightedAveragePrecision, seed: int
) -> np.ndarray:
    """(3,) of the difference over its bootstrap standard error."""
    weights = np.insert(bootstrap_weights(first.images, DRAWS, seed), 0, 1, axis=1)
    values = [row.values(weights) for row in (first, second)]
    pairs = []
    for k in range(len(DEFINITIONS)):
        rows = [ResampledRow("", v[k : k + 1, 0], v[k : k + 1, 1:]) for v in values]
        pairs.append(paired_interval(rows[0], rows[1], first.images).p_value)
    return np.array(pairs)


def raw_swap_p_values(
    first: WeightedAveragePrecision,
    second: WeightedAveragePrecision,
    entries: Sequence[Entries],
    seed: int,
) -> np.ndarray:
    """(3,) as `swap_test`, but the rows' scores are put into one list as they are."""
    a, b = entries
    names = ("label", "scores", "right")
    joined = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in names}
    image = np.concatenate([a.image, b.image + first.images])
    pooled = Entries(image=image, **joined, objects=np.hstack([a.objects, b.objects])).ranked()
    ones = np.ones((first.images, 1))
    given = (first.values(ones) - second.values(ones))[:, 0]
    weights = swap_weights(first.images, PERMUTATIONS, numpy_generator(seed, "swap"))
    differences = pooled.values(weights) - pooled.values(1 - weights)
    reached = np.abs(differences) >= np.abs(given)[:, None]
    p_values: np.ndarray = (1 + reached.sum(axis=1)) / (1 + PERMUTATIONS)
    return p_values


if __name__ == "__main__":
    main()
