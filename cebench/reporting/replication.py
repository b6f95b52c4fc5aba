"""Replicated runs of one cell: pretrainings, each fine-tuned once or more.

A claim about a pretraining method rests on the number of pretrainings. Fine-tuning the same weights
again shows the noise of fine-tuning only, so the two are told apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NestedSummary:
    """Mean and spread of p pretrainings with f_1, .. f_p fine-tunings; nan where not estimable."""

    mean: float
    """Over pretrainings, of each one's mean over its fine-tunings."""
    sd_between: float
    """Standard deviation between pretrainings, freed of fine-tuning's; nan for one pretraining."""
    sd_within: float
    """Standard deviation between fine-tunings of one pretraining; nan if none was repeated."""
    sd_run: float
    """What a further run would show: of a new pretraining if there are several, else within."""
    standard_error: float
    """Standard error of the mean with the pretraining as unit; nan for one pretraining."""
    fine_tunings: tuple[int, ...]
    """f_1, .. f_p."""

    @property
    def pretrainings(self) -> int:
        """Their number, p."""
        return len(self.fine_tunings)


def nested_summary(values: Sequence[Sequence[float]]) -> NestedSummary:
    """Variance components by the method of moments (one-way random-effects ANOVA).

    With n = sum f_j, MSW the pooled variance within pretrainings and MSB that between them,
    weighted by f_j, sd_within^2 = MSW and sd_between^2 = max(0, (MSB - MSW) / f_0) where
    f_0 = (n - sum f_j^2 / n) / (p - 1), which is f where all f_j equal f (Searle, Casella and
    McCulloch 1992, section 3.6). If nothing was fine-tuned twice, the two cannot be told apart and
    sd_between holds both. The standard error is that of an unweighted mean of p independent means.

    Args:
        values: of each pretraining its fine-tunings' values, at least one each.

    Raises:
        ValueError: no pretraining, or one without a value.
    """
    counts = np.array([len(runs) for runs in values])
    if not len(counts) or not counts.all():
        raise ValueError("expected at least one pretraining, and one value of each")
    means = np.array([np.mean(runs) for runs in values])
    within = _variance_within(values, means, counts)
    between = _variance_between(means, counts, 0.0 if math.isnan(within) else within)
    # Without repeated fine-tunings, `between` holds both already.
    single = between + (0.0 if math.isnan(within) else within)
    error = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    return NestedSummary(
        mean=float(means.mean()),
        sd_between=math.sqrt(between),
        sd_within=math.sqrt(within),
        sd_run=math.sqrt(within if math.isnan(between) else single),
        standard_error=float(error),
        fine_tunings=tuple(counts.tolist()),
    )


def _variance_within(
    values: Sequence[Sequence[float]], means: np.ndarray, counts: np.ndarray
) -> float:
    degrees = int(counts.sum() - len(counts))
    if degrees == 0:
        return math.nan
    squares = sum(np.sum((np.array(v) - m) ** 2) for v, m in zip(values, means, strict=True))
    return float(squares / degrees)


def _variance_between(means: np.ndarray, counts: np.ndarray, within: float) -> float:
    if len(means) < 2:
        return math.nan
    total = counts.sum()
    grand = np.sum(counts * means) / total
    mean_square = np.sum(counts * (means - grand) ** 2) / (len(means) - 1)
    size = (total - np.sum(counts**2) / total) / (len(means) - 1)
    return max(0.0, float((mean_square - within) / size))
