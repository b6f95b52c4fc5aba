"""Mean and deviation over pretrainings, each fine-tuned some number of times."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, nan, sqrt
from statistics import fmean


@dataclass(frozen=True, kw_only=True)
class Replication:
    """p pretrainings with f fine-tunings each; NaN where there are too few to tell."""

    mean: float
    """Of the pretrainings' means, each of which counts alike."""
    sd: float
    """Deviation of one fine-tuning of one new pretraining: sqrt(sd_between^2 + sd_within^2); of a
    single pretraining, that of its fine-tunings; of single fine-tunings, the sample deviation."""
    sd_between: float
    """Between pretrainings, without what their fine-tunings add to it."""
    sd_within: float
    """Between the fine-tunings of one pretraining."""


def nested_replication(groups: Sequence[Sequence[float]]) -> Replication:
    """Variance components of a one-way random model by the method of moments (ANOVA).

    groups: for each pretraining the values of its fine-tunings, at least one; numbers of them may
    differ (Searle, Casella, McCulloch: Variance Components, 1992, 3.6). A negative estimate of the
    variance between pretrainings is taken as 0.
    """
    counts = [len(group) for group in groups]
    means = [fmean(group) for group in groups]
    total, pretrainings = sum(counts), len(counts)
    squares = fsum((x - m) ** 2 for group, m in zip(groups, means, strict=True) for x in group)
    within = squares / (total - pretrainings) if total > pretrainings else nan
    if pretrainings == 1:
        between, variance = nan, within
    else:
        grand = fmean(means, weights=counts)
        deviations = (n * (m - grand) ** 2 for n, m in zip(counts, means, strict=True))
        of_means = fsum(deviations) / (pretrainings - 1)
        usual_count = (total - sum(n * n for n in counts) / total) / (pretrainings - 1)
        single = total == pretrainings
        between = nan if single else max(0.0, (of_means - within) / usual_count)
        variance = of_means if single else between + within
    return Replication(
        mean=fmean(means), sd=sqrt(variance), sd_between=sqrt(between), sd_within=sqrt(within)
    )
