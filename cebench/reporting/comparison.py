"""Paired comparison of rows over the same test images, and over pretrainings where there are some.

Two rows are scored on the same bootstrap draws, so that what makes an image hard for both cancels.
With one run a row, the p value is a permutation test over images and the claim is about these two
networks. With two pretrainings or more of both, their spread counts too and the claim is about the
methods; Student's t then accounts for how few they are. A fill without a network was not pretrained
and would be the same again: beside it the spread of the other row's pretrainings is all there is.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from cebench.metrics.image_intervals import DRAWS
from cebench.metrics.image_weights import bootstrap_weights
from cebench.metrics.permutation import AT_ONCE, PERMUTATIONS, swap_test

from .multiple_comparisons import compact_letters, holm_adjusted
from .paired_intervals import PairComparison, ResampledRow, Runs, paired_interval, resample_row

DECIDED_BY: Mapping[str, str] = {"mean_ap_voc07_11pt": "mean_ap_area"}
"""Metrics whose differences cannot be judged -> another of the same curves, which can.

Intervals of differences of 11-point AP of weak rows cover too rarely: docs/intervals.md.
"""

Advance = Callable[[int], None]
"""Called with how many more of a comparison's `resamplings` are done."""
IN_A_SWAP_TEST = 4
"""Resamplings of a swap test's `AT_ONCE` permutations: two runs at once, twice."""
FOR_EACH_PAIR = 100
"""Permutations for each pair of a family: Holm's adjusted p can then be as small as 1 %.

With fewer, pairs of a large family could not be told apart however much they differ: of 1,999
permutations the smallest p is 1 / 2,000, and of the 105 pairs of 15 rows the adjusted one 5.25 %.
"""
PublishedVerdict = Literal[
    "inside", "outside", "other tier", "other images", "not run", "not published", "no interval"
]


@dataclass(frozen=True)
class ColumnComparison:
    """All pairs of a column's rows."""

    pairs: Mapping[tuple[str, str], PairComparison]
    """By the two rows, in the order given."""
    letters: Mapping[str, str]
    """Rows that share a letter cannot be told apart; a belongs to the best."""


def compare_column(
    rows: Mapping[str, Runs],
    metric: str,
    higher_is_better: bool = True,
    not_pretrained: Collection[str] = (),
    draws: int = DRAWS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    advance: Advance = lambda _: None,
) -> ColumnComparison:
    """Compare every two rows of a column, adjusted over all pairs, and letter the rows.

    Args:
        rows: row -> its runs, all on the same images in the same order.
        metric: one of the runs' metrics; `deciding_metric` of it is compared.
        higher_is_better: decides which end of the column has the letter a.
        not_pretrained: rows that have no network, which a repetition would find unchanged.
        draws: number of bootstrap draws.
        permutations: of a pair of single runs; more where the family is large, `FOR_EACH_PAIR`.
        seed: of draws and permutations.
        advance: told of every step.
    """
    resampled = _resample(rows, metric, not_pretrained, draws, seed, advance)
    pairs = _compare(rows, resampled, pairs_of(rows), permutations, seed, advance)
    return ColumnComparison(pairs, _letters(resampled, pairs, higher_is_better))


def compare_with_baseline(
    rows: Mapping[str, Runs],
    baseline: str,
    metric: str,
    not_pretrained: Collection[str] = (),
    draws: int = DRAWS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    advance: Advance = lambda _: None,
) -> dict[str, PairComparison]:
    """Compare every other row with one, row minus baseline, adjusted over the rows.

    Arguments as for `compare_column`.
    """
    resampled = _resample(rows, metric, not_pretrained, draws, seed, advance)
    pairs = _compare(rows, resampled, pairs_of(rows, baseline), permutations, seed, advance)
    return {row: pair for (row, _), pair in pairs.items()}


def pairs_of(rows: Iterable[str], baseline: str | None = None) -> list[tuple[str, str]]:
    """Every two rows; with a baseline, every other row and this one."""
    if baseline is None:
        return list(combinations(rows, 2))
    return [(row, baseline) for row in rows if row != baseline]


def resamplings(runs: Mapping[str, int], baseline: str | None = None) -> int:
    """How many times a comparison scores a run on all draws, which is what takes its time.

    runs: row -> number of its runs.
    """
    pairs = pairs_of(runs, baseline)
    tested = sum(runs[first] == runs[second] == 1 for first, second in pairs)
    return sum(runs.values()) + _in_a_swap_test(permutations_of(len(pairs))) * tested


def permutations_of(pairs: int, wanted: int = PERMUTATIONS) -> int:
    """How many permutations decide on each pair of a family, `wanted` or more."""
    return max(wanted, FOR_EACH_PAIR * pairs - 1)


def _in_a_swap_test(permutations: int) -> int:
    return IN_A_SWAP_TEST * math.ceil((1 + permutations) / AT_ONCE)


def deciding_metric(metric: str) -> str:
    """The metric that rows of a column are compared by: the column's own where that is valid."""
    return DECIDED_BY.get(metric, metric)


def published_verdict(
    published: float | None,
    tier: str | None,
    ends: tuple[float, float] | None,
    *,
    same_count: bool = True,
    published_tier: str = "paper",
) -> PublishedVerdict:
    """Where a published number lies beside a measured cell.

    Args:
        published: the number, or None if the paper has none.
        tier: the cell's, or None if nothing was measured.
        ends: the cell's interval in the number's unit, or None if it has none.
        same_count: whether as many images were scored as for the published number. Which images,
            and what was learned from, is not looked at.
        published_tier: the tier whose schedule is the published one.
    """
    if tier is None:
        return "not run"
    if tier != published_tier:
        return "other tier"
    if published is None:
        return "not published"
    if not same_count:
        return "other images"
    if ends is None:
        return "no interval"
    return "inside" if ends[0] <= published <= ends[1] else "outside"


def _resample(
    rows: Mapping[str, Runs],
    metric: str,
    not_pretrained: Collection[str],
    draws: int,
    seed: int,
    advance: Advance,
) -> dict[str, ResampledRow]:
    weights = bootstrap_weights(_common_images(rows), draws, seed)
    resampled = {}
    for row, runs in rows.items():
        found = resample_row(runs, deciding_metric(metric), weights)
        resampled[row] = replace(found, pretrained=row not in not_pretrained)
        advance(sum(map(len, runs)))
    return resampled


def _compare(
    rows: Mapping[str, Runs],
    resampled: Mapping[str, ResampledRow],
    names: Sequence[tuple[str, str]],
    permutations: int,
    seed: int,
    advance: Advance,
) -> dict[tuple[str, str], PairComparison]:
    """The named pairs, with Holm's adjustment over them."""
    images, pairs = _common_images(rows), []
    permutations = permutations_of(len(names), permutations)
    for first, second in names:
        pair = paired_interval(resampled[first], resampled[second], images)
        runs = [run for row in (first, second) for tuned in rows[row] for run in tuned]
        if len(runs) == 2:
            (p_value,) = swap_test(runs[0], runs[1], permutations, seed, [pair.metric])
            pair = replace(pair, p_value=float(p_value), test="permutation")
            advance(_in_a_swap_test(permutations))
        pairs.append(pair)
    adjusted = holm_adjusted([pair.p_value for pair in pairs])
    return {
        name: replace(pair, adjusted_p_value=p)
        for name, pair, p in zip(names, pairs, adjusted, strict=True)
    }


def _common_images(rows: Mapping[str, Runs]) -> int:
    sizes = {run.images for runs in rows.values() for tuned in runs for run in tuned}
    if len(sizes) != 1:
        raise ValueError(f"expected rows on the same images, got sets of {sorted(sizes)} images")
    return sizes.pop()


def _letters(
    resampled: Mapping[str, ResampledRow],
    pairs: Mapping[tuple[str, str], PairComparison],
    higher_is_better: bool,
) -> dict[str, str]:
    means = {row: float(found.estimates.mean()) for row, found in resampled.items()}
    ranked = sorted(means, key=means.__getitem__, reverse=higher_is_better)
    place = {row: n for n, row in enumerate(ranked)}
    differ = np.zeros((len(ranked), len(ranked)), dtype=np.bool_)
    for (first, second), pair in pairs.items():
        differ[place[first], place[second]] = differ[place[second], place[first]] = pair.differs
    return dict(zip(ranked, compact_letters(differ), strict=True))
