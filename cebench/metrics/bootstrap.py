"""Bootstrap intervals over images of multilabel average precision.

The images are drawn again with replacement, as many as there are. Images that are drawn twice tie
with themselves, which lifts a draw's scores above that of all images, itself too high by about as
much: so the percentiles 2.5 and 97.5 of the draws are reflected about the score (the "basic"
interval). It tells what another choice of test images would change, and nothing about seeds.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cebench.metrics.average_precision import RECALL_LEVELS, TIE_PENALTY
from cebench.randomness import numpy_generator

DEFINITIONS = ("sklearn", "voc07_11pt", "area")
DRAWS = 1000
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Intervals:
    """[low, high] of 95 %, within 0 and 1; nan where no draw has a positive."""

    mean: np.ndarray
    """(2,) of the mean over classes."""
    per_class: np.ndarray
    """(C, 2)."""


def bootstrap_intervals(
    scores: np.ndarray, labels: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> Mapping[str, Intervals]:
    """The intervals of `multilabel_scores` by each of DEFINITIONS.

    A class is left out of a draw's mean where the draw has no positive of it.

    Args:
        scores: (N, C) finite.
        labels: (N, C), 1 present, 0 ignored, -1 absent.
        draws: number of draws.
        seed: of the draws.
    """
    counts = np.insert(sample_counts(len(labels), draws, seed), 0, 1, axis=1)
    found = np.full((len(DEFINITIONS), scores.shape[1], 1 + draws), np.nan)
    for c in range(scores.shape[1]):
        counted = labels[:, c] != 0
        positive = labels[counted, c] == 1
        if positive.any():
            found[:, c] = resampled_average_precisions(
                scores[counted, c].astype(np.float64), positive, counts[counted]
            )
    return {
        name: Intervals(_reflected(_mean_of_defined(values)[None])[0], _reflected(values))
        for name, values in zip(DEFINITIONS, found, strict=True)
    }


def sample_counts(images: int, draws: int, seed: int) -> np.ndarray:
    """How often each image is in each draw, (images, draws) int32; each column sums to `images`."""
    generator = numpy_generator(seed, "bootstrap")
    index = generator.integers(0, images, (images, draws), dtype=np.int64) * draws
    flat = np.bincount((index + np.arange(draws)).ravel(), minlength=images * draws)
    return flat.reshape(images, draws).astype(np.int32)


def resampled_average_precisions(
    scores: np.ndarray, positive: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Average precision of resampled lists, from one sort.

    Precision can only matter where positives stand: between them it falls. So everything is summed
    up to the ends of the groups of equal positives, all draws at once.

    Args:
        scores: (R,) float64.
        positive: (R,) bool, at least one True; ties count against them as in `multilabel_scores`.
        counts: (R, B) int32, how often each image is in each draw.

    Returns:
        (3, B) float64 in the order of DEFINITIONS; nan where a draw has no positive.
    """
    lowered = scores - TIE_PENALTY * positive
    order = np.argsort(-lowered, kind="stable")
    ranked, counts = lowered[order], counts[order]
    positive_rows = np.flatnonzero(positive[order])
    last = np.append(ranked[positive_rows[1:]] != ranked[positive_rows[:-1]], True)
    # Equal positives may have equal negatives beside them: the group ends with its score.
    ends = np.searchsorted(-ranked, -ranked[positive_rows[last]], side="right")
    seen = np.cumsum(_sums_up_to(counts, ends), axis=0)
    hits = np.cumsum(_sums_up_to(counts[positive_rows], np.flatnonzero(last) + 1), axis=0)
    with np.errstate(invalid="ignore"):
        precision = np.where(seen > 0, hits / np.maximum(seen, 1), 0.0)
        recall = hits / hits[-1]
    gained = np.diff(recall, axis=0, prepend=0.0)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    first_reaching = np.stack([(recall < level).sum(axis=0) for level in RECALL_LEVELS])
    eleven = np.take_along_axis(best, np.minimum(first_reaching, len(best) - 1), axis=0)
    found = np.stack(
        [(gained * precision).sum(axis=0), eleven.mean(axis=0), (gained * best).sum(0)]
    )
    found[:, hits[-1] == 0] = np.nan
    return found


def _sums_up_to(counts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Sums of the rows before ends[0], from there to before ends[1], ..: (len(ends), B)."""
    starts = np.concatenate(([0], ends[:-1]))
    sums: np.ndarray = np.add.reduceat(counts[: ends[-1]], starts, axis=0)
    return sums


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """(C, B) to (B,): nan where no class is defined."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(defined, values, 0).sum(axis=0) / np.where(
            count, count, np.nan
        )
    return means


def _reflected(values: np.ndarray) -> np.ndarray:
    """(K, 1 + B), all images and then the draws, to (K, 2) over the draws that are not nan."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        ends: np.ndarray = np.nanpercentile(values[:, 1:], PERCENTILES, axis=1).T
    interval: np.ndarray = np.clip(2 * values[:, :1] - ends[:, ::-1], 0, 1)
    return interval
