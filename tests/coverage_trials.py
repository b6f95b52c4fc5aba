"""How often intervals cover the true score of simulated rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cebench.metrics.image_intervals import RULES, CoverageRule, image_interval
from cebench.metrics.image_weights import WeightedScores, bootstrap_weights
from cebench.reporting.paired_intervals import ResampledRow, paired_interval

METHODS = ("percentile", "basic", "bias-corrected normal", "paired difference")
ANY_SIZE = CoverageRule(images=0)


@dataclass(frozen=True)
class Scene:
    """Two rows of known true scores, simulated on the same images again and again."""

    simulate: Callable[[int, np.random.Generator], Sequence[WeightedScores]]
    true: tuple[np.ndarray, np.ndarray]
    """(K,) scores of infinitely many images of each row."""


@dataclass(frozen=True)
class Coverage:
    """Shares of trials."""

    covered: np.ndarray
    """(4, K) intervals that hold the true score (or difference), in the order of METHODS."""
    given: np.ndarray
    """(K,) trials in which `image_intervals` gives one."""
    covered_if_given: np.ndarray
    """(K,) of those, the intervals that hold the true score; nan if none is given."""


def measure_coverage(scene: Scene, images: int, trials: int, draws: int, seed: int) -> Coverage:
    """Simulate `trials` test sets of `images` images and interval them by every method."""
    covered, given = [], []
    for trial in range(trials):
        first, second = scene.simulate(images, np.random.default_rng([seed, trial]))
        weights = np.insert(bootstrap_weights(images, draws, trial), 0, 1, axis=1)
        values = [row.values(weights) for row in (first, second)]
        single = zip(scene.true[0], values[0], strict=True)
        covered.append([single_covered(*metric, images) for metric in single])
        differences = zip(scene.true[0] - scene.true[1], *values, strict=True)
        for column, difference in zip(covered[-1], differences, strict=True):
            column.append(paired_covered(*difference, images))
        named = zip(first.metrics, values[0], strict=True)
        given.append([is_given(first, *metric) for metric in named])
    held, stood = np.array(covered), np.array(given)
    count = stood.sum(axis=0)
    kept = (held[..., 2] & stood).sum(axis=0) / np.where(count, count, np.nan)
    return Coverage(held.mean(axis=0).T, stood.mean(axis=0), kept)


def single_covered(true: float, values: np.ndarray, images: int) -> list[bool]:
    """By percentile, basic and bias-corrected normal intervals; values: all images, then draws."""
    estimate, draws = values[0], values[1:]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    ours = image_interval(estimate, draws, images, images, ANY_SIZE).ends
    ends = [(low, high), (2 * estimate - high, 2 * estimate - low), ours]
    return [pair is not None and bool(pair[0] <= true <= pair[1]) for pair in ends]


def paired_covered(true: float, first: np.ndarray, second: np.ndarray, images: int) -> bool:
    """By the interval of two rows' difference."""
    rows = [ResampledRow("", values[None, 0], values[None, 1:]) for values in (first, second)]
    low, high = paired_interval(rows[0], rows[1], images).interval
    return bool(low <= true <= high)


def pretraining_coverage(
    pretrainings: tuple[int, int], run_sd: float, trials: int, images: int = 100, draws: int = 200
) -> float:
    """Share of intervals of a mean's difference that hold the true one, 0.

    Images have effects in common (standard deviation 3); an image's score in a run has noise of 1,
    and each pretraining an effect of `run_sd` on all images. A row of 0 pretrainings is one run of
    a fill without a network.
    """
    weights = bootstrap_weights(images, draws, seed=0) / images
    covered = 0
    for trial in range(trials):
        rng = np.random.default_rng([1, trial])
        image = 3 * rng.normal(size=images)
        rows = []
        for count in pretrainings:
            runs = max(count, 1)
            effects = run_sd * (count > 0) * rng.normal(size=(runs, 1))
            scores = image + effects + rng.normal(size=(runs, images))
            rows.append(ResampledRow("", scores.mean(axis=1), scores @ weights, count > 0))
        low, high = paired_interval(rows[0], rows[1], images).interval
        covered += low <= 0 <= high
    return covered / trials


def is_given(run: WeightedScores, metric: str, values: np.ndarray) -> bool:
    """Whether the rules let this metric's interval stand."""
    rule = RULES.get(metric, CoverageRule())
    found = image_interval(values[0], values[1:], run.images, run.rarest_images, rule)
    return found.ends is not None
