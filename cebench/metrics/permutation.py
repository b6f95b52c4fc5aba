"""Permutation test of two runs on the same images: swap their outputs, image by image."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from cebench.metrics.image_weights import WeightedScores, swap_weights
from cebench.randomness import numpy_generator

PERMUTATIONS = 1999
AT_ONCE = 2000
"""Permutations that are scored at once, the given outputs counted among them."""
Scores = TypeVar("Scores", bound=WeightedScores)


def swap_test(
    first: Scores,
    second: Scores,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
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
        metrics: those wanted, in this order; all if not given.
    """
    generator, pooled = numpy_generator(seed, "swap"), first.pooled(second)
    parts = []
    for start in range(0, 1 + permutations, AT_ONCE):
        weights = swap_weights(first.images, min(AT_ONCE, 1 + permutations - start), generator)
        if start == 0:
            weights[: first.images, 0], weights[first.images :, 0] = 1, 0
        # Infinite PSNR minus infinite PSNR is no difference that could be tested.
        with np.errstate(invalid="ignore"):
            one, other = pooled.values(weights, metrics), pooled.values(1 - weights, metrics)
            parts.append(np.abs(one - other))
    differences = np.concatenate(parts, axis=1)
    given = differences[:, :1]
    # Equal sums in another order differ in the last bits.
    p_values: np.ndarray = np.mean(differences >= given - 1e-12, axis=1)
    p_values[~np.isfinite(given[:, 0])] = np.nan
    return p_values
