"""How much of what a hole hides is texture, and what the errors of fillings are beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

SCALE_PIXELS = 4.0
"""Standard deviation of the Gaussian: what it takes away of an image is texture."""


@dataclass(frozen=True)
class TextureGroup:
    """Images whose holes hide about as much texture."""

    least: float
    most: float
    images: int
    mean_l1: Mapping[str, float]
    """Row -> mean over the images."""
    behind_first: Mapping[str, tuple[float, float]]
    """Every other row -> mean of its L1 less the first row's, and the standard error of that."""


def texture_share(image: np.ndarray, hole: np.ndarray) -> float:
    """Share (0..1) of the variance inside a hole that lies in details finer than `SCALE_PIXELS`.

    Args:
        image: (H, W, C), of any scale; around the hole it is the true image too.
        hole: (H, W) bool, True = missing.
    """
    values = image.astype(np.float64)
    smooth = gaussian_filter(values, (SCALE_PIXELS, SCALE_PIXELS, 0))
    fine = (values - smooth)[hole]
    whole = values[hole] - values[hole].mean(axis=0)
    variance = float((whole**2).sum())
    return min(1.0, float((fine**2).sum()) / variance) if variance else 0.0


def grouped_by_texture(
    shares: np.ndarray, mean_l1: Mapping[str, np.ndarray], groups: int
) -> Sequence[TextureGroup]:
    """Errors of images from least to most texture, in groups of nearly equal size.

    Args:
        shares: (N,) texture of each image.
        mean_l1: row -> (N,) error of each image; the others are compared with the first row.
        groups: at most so many; no group is empty.
    """
    order = np.argsort(shares, kind="stable")
    first = next(iter(mean_l1))
    found = []
    for inside in np.array_split(order, min(groups, len(order))):
        behind = {row: errors[inside] - mean_l1[first][inside] for row, errors in mean_l1.items()}
        found.append(
            TextureGroup(
                least=float(shares[inside].min()),
                most=float(shares[inside].max()),
                images=len(inside),
                mean_l1={row: float(errors[inside].mean()) for row, errors in mean_l1.items()},
                behind_first={r: _mean_and_error(d) for r, d in behind.items() if r != first},
            )
        )
    return found


def _mean_and_error(differences: np.ndarray) -> tuple[float, float]:
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()), deviation / len(differences) ** 0.5
