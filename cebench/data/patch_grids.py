"""Grids of patches in resized images, and all pairs of neighbours in them (Doersch et al. 2015).

Source: cdoersch/deepcontext, train.py (`imgloader`, `sample_patch`, `pos2lbl`).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_OFFSETS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""(row, column) of the second patch of a pair less those of the first, by label."""


@dataclass(frozen=True)
class GridLayout:
    """The geometry of the grids, in pixels of the resized image."""

    patch_side: int = 96
    gap: int = 48
    """Between two neighbours."""
    jitter: int = 7
    """Farthest that a patch may move from its place, along each axis."""

    @property
    def step(self) -> int:
        """From one place of the grid to the next, in pixels."""
        return self.patch_side + self.gap

    @property
    def fewest_pixels_a_side(self) -> int:
        """Least side, in pixels, of an image that is learned from."""
        return 2 * self.patch_side + self.gap + self.jitter + 1

    @property
    def fewest_pixels_with_pairs(self) -> int:
        """Least number of pixels of an image in which every grid has two patches."""
        return (2 * self.patch_side + self.gap + self.step - 1) ** 2

    def mean_patches_and_pairs(self, height: float, width: float) -> tuple[float, float]:
        """How many patches and pairs a grid in an image of this size has, over all origins.

        floor((x - origin) / step) is (x + 1) / step - 1 on the mean over the origins 0..step - 1.
        """
        rows, columns = ((side - self.patch_side + 1) / self.step for side in (height, width))
        return rows * columns, 8 * rows * columns - 6 * (rows + columns) + 4


@dataclass(frozen=True)
class PatchGrids:
    """M patches of one image or of several, and the P pairs of neighbours among them."""

    scales: NDArray[np.float64]
    """(M,) pixels of the resized image per pixel of the stored one."""
    tops: Ints
    """(M,) uppermost row in the resized image."""
    lefts: Ints
    """(M,) leftmost column."""
    first: Ints
    """(P,) index of a patch."""
    second: Ints
    """(P,) index of its neighbour."""
    labels: Ints
    """(P,) where the second lies from the first: 0 1 2 / 3 - 4 / 5 6 7."""


@cache
def neighbour_pairs(rows: int, columns: int) -> tuple[Ints, Ints, Ints]:
    """Every pair of 8-neighbours of a grid in both orders: first, second and label, (P,) each.

    Patches are numbered row by row. A grid of 3 x 3 has 40 pairs.
    """
    number = np.arange(rows * columns).reshape(rows, columns)
    padded = np.pad(number, 1, constant_values=-1)
    around = [padded[1 + y : 1 + y + rows, 1 + x : 1 + x + columns].ravel() for y, x in _OFFSETS]
    second = np.stack(around, axis=1)
    first, label = np.nonzero(second >= 0)
    return first, second[first, label], label


def sample_grids(
    height: int,
    width: int,
    count: int,
    pixels: tuple[int, int],
    layout: GridLayout,
    generator: np.random.Generator,
) -> PatchGrids:
    """`count` grids of patches in an image that is resized to a random number of pixels.

    The aspect is kept. An image whose shorter side would not hold two patches, which the source
    passes over, is resized to the least size that does. A grid begins anywhere in its first
    period and is as large as fits.

    Args:
        height: of the stored image.
        width: of the stored image.
        count: of grids.
        pixels: least and most pixels of the resized image.
        layout: of the grids.
        generator: of the size, the origins and the jitter.
    """
    total = generator.integers(pixels[0], pixels[1], endpoint=True)
    scale = max(
        float(np.sqrt(total / (height * width))), layout.fewest_pixels_a_side / min(height, width)
    )
    limits = np.array((round(height * scale), round(width * scale)))
    origins = generator.integers(0, layout.step, (count, 2))
    shapes = (limits + layout.gap - origins) // layout.step
    places, pairs, before = [], [], 0
    for origin, (rows, columns) in zip(origins, shapes.tolist(), strict=True):
        cells = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
        places.append(origin + layout.step * cells)
        first, second, label = neighbour_pairs(rows, columns)
        pairs.append(np.stack((first + before, second + before, label)))
        before += rows * columns
    corners = np.concatenate(places)
    corners += generator.integers(-layout.jitter, layout.jitter, corners.shape, endpoint=True)
    corners = corners.clip(0, limits - layout.patch_side)
    first, second, labels = np.concatenate(pairs, axis=1)
    scales = np.full(len(corners), scale)
    return PatchGrids(scales, corners[:, 0], corners[:, 1], first, second, labels)


def join_grids(parts: list[PatchGrids]) -> PatchGrids:
    """The patches and pairs of several images as one, in that order."""
    counts = [len(part.tops) for part in parts]
    before = np.cumsum([0, *counts[:-1]])
    return PatchGrids(
        scales=np.concatenate([part.scales for part in parts]),
        tops=np.concatenate([part.tops for part in parts]),
        lefts=np.concatenate([part.lefts for part in parts]),
        first=np.concatenate([p.first + n for p, n in zip(parts, before, strict=True)]),
        second=np.concatenate([p.second + n for p, n in zip(parts, before, strict=True)]),
        labels=np.concatenate([part.labels for part in parts]),
    )
