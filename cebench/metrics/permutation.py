"""Permutation test of two runs on the same images: swap their outputs, image by image."""

from typing import TypeVar

import numpy as np

from cebench.metrics.image_weights import WeightedScores, equal_weights, swap_weights

PERMUTATIONS = 1999
Scores = TypeVar("Scores", bound=WeightedScores)


def swap_test(
    first: Scores, second: Scores, permutations: int = PERMUTATIONS, seed: int = 0
) -> np.ndarray:
    """Two-sided p values of the difference in each metric, (K,).

    If the two runs were equally good, it would not matter whose output for an image is whose. So
    each image's outputs are swapped with probability 1/2, again and again, and p is the share of
    permutations with a difference at least as large, the given one counted among them. Average
    precision swaps ranks, not scores: two networks' scores need not have one unit. nan where the
    difference is not a finite number.

    Args:
        first: a run.
        second: a run on the same images in the same order.
        permutations: their number; the smallest p is 1 / (permutations + 1).
        seed: of the permutations.
    """
    ones = equal_weights(first.images)
    pooled = first.pooled(second)
    weights = swap_weights(first.images, permutations, seed)
    # Infinite PSNR minus infinite PSNR is no difference that could be tested.
    with np.errstate(invalid="ignore"):
        given = (first.values(ones) - second.values(ones))[:, 0]
        differences = pooled.values(weights) - pooled.values(1 - weights)
    # Equal sums in another order differ in the last bits.
    reached = np.abs(differences) >= np.abs(given)[:, None] - 1e-12
    p_values: np.ndarray = (1 + reached.sum(axis=1)) / (1 + permutations)
    p_values[~np.isfinite(given)] = np.nan
    return p_values
