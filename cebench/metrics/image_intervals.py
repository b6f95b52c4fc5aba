"""Bootstrap intervals over images, where simulation shows that they cover what they say.

All use the bootstrap's standard error and bias: estimate - bias ± t * standard error (Davison and
Hinkley 1997, equation 5.5; R's boot.ci(type = "norm")). In simulations (docs/intervals.md) it
covered the score of infinitely many images more often than percentile and basic intervals:
images drawn twice tie with themselves, which lifts a draw's average precision above that of all
images, itself too high by about as much. A metric, or a test set too small for it, whose intervals
covered it less than 90 % of the time has no interval, only a standard error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from cebench.metrics.image_weights import (
    WeightedScores,
    bootstrap_weights,
    equal_weights,
    mean_over_classes,
)
from cebench.metrics.weighted_average_precision import DEFINITIONS, WeightedAveragePrecision

DRAWS = 2000
LEVEL = 0.95
METHOD = "bootstrap, normal with bias correction"


@dataclass(frozen=True)
class CoverageRule:
    """When a metric's nominal 95 % intervals cover at least 90 % in simulation."""

    images: int = 100
    """At least so many images in the set."""
    rarest_images: int = 0
    """At least so many images with the rarest class."""
    largest_bias: float = math.inf
    """At most so much bias, in standard errors."""
    never: str = ""
    """Why not, if at no size."""


CLASS_RULE: Final = CoverageRule(rarest_images=20)
"""For a single class's average precision, step-wise or area."""
# The envelope's bias shrinks slower than a bootstrap of the same images shows.
_AREA = CoverageRule(rarest_images=20, largest_bias=0.5)
_ELEVEN_POINTS = CoverageRule(
    never="11-point AP takes the best precision at recall 0, whose bootstrap covers too rarely"
)
RULES: Final[Mapping[str, CoverageRule]] = {
    "mean_ap_sklearn": CoverageRule(rarest_images=20),
    "mean_ap_area": _AREA,
    "mean_ap_voc07_11pt": _ELEVEN_POINTS,
    "mean_iou": CoverageRule(images=700),
    "mean_accuracy": CoverageRule(images=700),
}
"""Metrics with needs of their own; every other needs 100 images."""


@dataclass(frozen=True)
class ImageInterval:
    """How far one number would move with other test images from the same source."""

    standard_error: float
    """Standard deviation over the bootstrap draws; nan where the metric does not exist."""
    ends: tuple[float, float] | None
    """[low, high] of 95 % for the score of infinitely many images, or None: see `reason`."""
    reason: str = ""
    """Why there are no ends."""
    level: float = LEVEL
    method: str = METHOD


def image_intervals(
    runs: Sequence[WeightedScores], draws: int = DRAWS, seed: int = 0
) -> dict[str, ImageInterval]:
    """Intervals over images of every metric's mean over runs of one row on the same images.

    Args:
        runs: at least one; all are scored on the same draws.
        draws: number of bootstrap draws.
        seed: of the draws.
    """
    images = runs[0].images
    weights, ones = bootstrap_weights(images, draws, seed), equal_weights(images)
    estimates = np.mean([run.values(ones)[:, 0] for run in runs], axis=0)
    drawn = np.mean([run.values(weights) for run in runs], axis=0)
    return _by_metric(runs[0], estimates, drawn)


def average_precision_intervals(
    scores: np.ndarray, labels: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> tuple[dict[str, ImageInterval], dict[str, list[ImageInterval]]]:
    """Intervals of `multilabel_scores` by each of DEFINITIONS: of the means, and of every class.

    Args:
        scores: (N, C) finite.
        labels: (N, C), 1 present, 0 ignored, -1 absent.
        draws: number of bootstrap draws.
        seed: of the draws.
    """
    run = WeightedAveragePrecision.from_scores(scores, labels)
    weights, images = bootstrap_weights(run.images, draws, seed), run.images
    drawn, estimates = run.per_class(weights), run.per_class(equal_weights(images))[..., 0]
    positives = np.count_nonzero(labels == 1, axis=0)
    per_class = {}
    for k, name in enumerate(DEFINITIONS):
        rule = _ELEVEN_POINTS if name == "voc07_11pt" else CLASS_RULE
        columns = zip(estimates[k], drawn[k], positives, strict=True)
        per_class[name] = [image_interval(e, d, images, int(n), rule) for e, d, n in columns]
    estimates, drawn = mean_over_classes(estimates[..., None])[:, 0], mean_over_classes(drawn)
    return _by_metric(run, estimates, drawn), per_class


def _by_metric(
    run: WeightedScores, estimates: np.ndarray, drawn: np.ndarray
) -> dict[str, ImageInterval]:
    """The interval of each metric of runs like `run` from estimates (K,) and draws (K, B)."""
    return {
        name: image_interval(
            estimate, values, run.images, run.rarest_images, RULES.get(name, CoverageRule())
        )
        for name, estimate, values in zip(run.metrics, estimates, drawn, strict=True)
    }


def image_interval(
    estimate: float, draws: np.ndarray, images: int, rarest_images: int, rule: CoverageRule
) -> ImageInterval:
    """The interval of one number from its bootstrap draws, if `rule` lets it stand.

    Args:
        estimate: of all images.
        draws: (B,) of the draws; those that are nan are left out.
        images: number of images.
        rarest_images: number of images with the rarest class, or with the class.
        rule: the metric's.
    """
    finite = draws[np.isfinite(draws)]
    if not np.isfinite(estimate) or len(finite) < 2:
        return ImageInterval(float("nan"), None, "the score is not a finite number")
    error, bias = float(finite.std(ddof=1)), float(finite.mean() - estimate)
    reason = _refusal(images, rarest_images, rule)
    if not reason and abs(bias) > rule.largest_bias * error:
        reason = f"its bias of {bias / error:.1f} standard errors cannot be taken away reliably"
    if reason:
        return ImageInterval(error, None, reason)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, images - 1)) * error
    return ImageInterval(error, (estimate - bias - reach, estimate - bias + reach))


def outside_word(value: float, low: float, high: float) -> str:
    """What is said of an estimate outside its own interval; empty inside."""
    if low <= value <= high:
        return ""
    side = "high" if value > high else "low"
    return f" (the value lies outside: by the bootstrap it is biased, too {side})"


def _refusal(images: int, rarest_images: int, rule: CoverageRule) -> str:
    if rule.never:
        return rule.never
    if images < rule.images:
        return f"{images} images; intervals are known to hold from {rule.images} images"
    if rarest_images < rule.rarest_images:
        return (
            f"the rarest class is in {rarest_images} images; intervals are known to hold from "
            f"{rule.rarest_images}"
        )
    return ""
