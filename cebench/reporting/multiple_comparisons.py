"""Many comparisons at once: Holm's adjustment, and letters that say which rows differ."""

from collections.abc import Sequence
from itertools import combinations
from string import ascii_lowercase

import numpy as np


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given (Holm 1979).

    Rejecting where the adjusted value is at most alpha makes one false rejection or more in at most
    alpha of all families, whatever the dependence. nan stays nan and is not counted.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(values), np.nan)
    order = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return adjusted.tolist()


def compact_letters(differ: np.ndarray) -> list[str]:
    """Letters of every row: two rows share a letter exactly if they cannot be told apart.

    Insert and absorb (Piepho 2004): start with one letter for all; for every pair that differs,
    split each letter that both have into one without the first and one without the second; drop
    letters whose rows all have another.

    Args:
        differ: (R, R) bool, symmetric, rows in the order of the letters: a for the first.

    Raises:
        ValueError: the matrix is not square and symmetric, or a row differs from itself.
    """
    if differ.ndim != 2 or not np.array_equal(differ, differ.T) or differ.diagonal().any():
        raise ValueError("expected a symmetric matrix in which no row differs from itself")
    groups = [frozenset(range(len(differ)))]
    for first, second in combinations(range(len(differ)), 2):
        if differ[first, second]:
            groups = _absorbed(_inserted(groups, first, second))
    groups.sort(key=sorted)
    return [
        "".join(_letter(number) for number, group in enumerate(groups) if row in group)
        for row in range(len(differ))
    ]


def _inserted(groups: list[frozenset[int]], first: int, second: int) -> list[frozenset[int]]:
    split = []
    for group in groups:
        both = first in group and second in group
        split += [group - {first}, group - {second}] if both else [group]
    return split


def _absorbed(groups: list[frozenset[int]]) -> list[frozenset[int]]:
    different = list(dict.fromkeys(groups))
    return [group for group in different if not any(group < other for other in different)]


def _letter(number: int) -> str:
    """A to z, then a' to z', and so on."""
    rounds, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + "'" * rounds
