"""Votes of the nearest neighbours, weighted by exp(cosine / temperature).

Source: the weighted vote of Wu et al., CVPR 2018 (arXiv:1805.01978), section 3.4, and of DINO
(facebookresearch/dino, eval_knn.py), for several classes per image.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cebench.metrics.average_precision import multilabel_scores


class Choice(NamedTuple):
    """How neighbours vote."""

    neighbours: int
    temperature: float


def votes(
    cosines: np.ndarray, labels: np.ndarray, neighbours: Sequence[int], temperature: float
) -> Iterator[np.ndarray]:
    """For each number of neighbours the share of their votes that each class has: (M, C), 0 to 1.

    A neighbour whose label for a class is ignored does not vote on it; 0 where none votes. Of
    equally near images the one that stands first in the train set is nearer.

    Args:
        cosines: (M, N) of test and train features.
        labels: (N, C) of the train images: 1 present, 0 ignored, -1 absent.
        neighbours: numbers of neighbours; more than N are N.
        temperature: of the weights exp(cosine / temperature).
    """
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : max(neighbours)]
    nearest = np.take_along_axis(cosines, order, axis=1)
    # The nearest one has weight 1: small temperatures would overflow.
    weights = np.exp((nearest - nearest[:, :1]) / temperature)
    present, counted = (labels == 1).astype(np.float64), (labels != 0).astype(np.float64)
    for count in neighbours:
        rows, voice = order[:, :count], weights[:, :count, None]
        total = (voice * counted[rows]).sum(axis=1)
        yield (voice * present[rows]).sum(axis=1) / np.where(total > 0, total, 1)


def leave_one_out(
    cosines: np.ndarray,
    labels: np.ndarray,
    neighbours: Sequence[int],
    temperatures: Sequence[float],
) -> dict[Choice, float]:
    """Mean average precision (scikit-learn's) of the train images by the votes of the others.

    cosines: (N, N) of the train features, N at least 2; labels: (N, C). A choice of more than N
    neighbours is one of N, whose votes are the same.
    """
    neighbours = list(dict.fromkeys(min(count, len(labels)) for count in neighbours))
    others = cosines.copy()
    np.fill_diagonal(others, -np.inf)
    found = {}
    for temperature in temperatures:
        scores = votes(others, labels, [min(n, len(labels) - 1) for n in neighbours], temperature)
        for count, of_count in zip(neighbours, scores, strict=True):
            value = multilabel_scores(of_count, labels).mean_ap_sklearn
            found[Choice(count, temperature)] = value
    return found


def best_choice(found: dict[Choice, float]) -> Choice:
    """The choice of the best score; of equals the first."""
    return max(found, key=lambda choice: found[choice])
