"""Scores as functions of image weights: what the bootstrap and paired tests have in common.

A bootstrap draw of N images gives each a weight: how often it was drawn. A score made from sums
over images can be computed anew from the weights alone, for thousands of draws at once. Two runs
under the same weights are compared on the same draw: that is what makes a comparison paired.
"""

import functools
from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np

from cebench.randomness import numpy_generator


class WeightedScores(Protocol):
    """One run's scores on N images, each image counted as often as its weight says."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """K names, as in records."""

    @property
    def images(self) -> int:
        """Number of images, N."""

    @property
    def rarest_images(self) -> int:
        """Images with the rarest class of those that occur; N where there are no classes."""

    def values(self, weights: np.ndarray, metrics: Sequence[str] | None = None) -> np.ndarray:
        """K metrics under B sets of weights.

        Args:
            weights: (N, B), not negative.
            metrics: those wanted, in this order; all if not given.

        Returns:
            (K, B) float64; nan where a metric does not exist, e.g. no class has a positive.
        """

    def pooled(self, other: Self) -> Self:
        """Two runs as one over 2N images: this run's N, then the other's on the same images.

        Weights (1, 0) give this run's scores, (0, 1) the other's, and weights that swap an image
        the scores of two runs that had exchanged their outputs for it.
        """


@functools.lru_cache(maxsize=1)
def bootstrap_weights(images: int, draws: int, seed: int) -> np.ndarray:
    """How often each image is in each draw with replacement, (images, draws) float32.

    Each column sums to `images`. Equal arguments give equal weights, so that all rows of a table
    are scored on the same draws. The last are kept, and cannot be written to: making them takes a
    third of the time of scoring a run.
    """
    generator = numpy_generator(seed, "bootstrap")
    index = generator.integers(0, images, (images, draws), dtype=np.int64) * draws
    flat = np.bincount((index + np.arange(draws)).ravel(), minlength=images * draws)
    weights = flat.reshape(images, draws).astype(np.float32)
    weights.setflags(write=False)
    return weights


def swap_weights(images: int, permutations: int, generator: np.random.Generator) -> np.ndarray:
    """Weights for `WeightedScores.pooled` that swap each image with probability 1/2.

    Returns:
        (2 * images, permutations) float32 of 0 and 1; 1 minus them are the other run's.
    """
    kept = generator.integers(0, 2, (images, permutations), dtype=np.int8).astype(np.float32)
    return np.concatenate([kept, 1 - kept])


def equal_weights(images: int) -> np.ndarray:
    """(images, 1) float32 of ones: the score of the images themselves."""
    return np.ones((images, 1), dtype=np.float32)


def mean_over_classes(values: np.ndarray) -> np.ndarray:
    """(K, C, B) to (K, B), leaving out what is nan; nan where no class is defined."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1)
    return means


def select_metrics(
    names: Sequence[str], scores: Sequence[np.ndarray], wanted: Sequence[str] | None
) -> np.ndarray:
    """(K, B): of `scores` (B,), which go by `names`, those wanted; all if None."""
    chosen = scores if wanted is None else [scores[names.index(name)] for name in wanted]
    return np.stack(chosen)
