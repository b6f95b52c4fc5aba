"""Joining a filled hole to what surrounds it. Pixels outside of the hole are never changed."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.linalg import splu

Image = NDArray[np.uint8]
"""(H, W, 3), 0..255."""
Hole = NDArray[np.bool_]
"""(H, W), True = missing."""

FEATHER_PIXELS = 12
"""Widest band inside the hole's edge in which `feather` fades."""
MOST_UNKNOWNS = 1 << 16
"""Where a hole has more pixels, `poisson` solves for blocks of them."""


def paste(image: Image, filled: Image, hole: Hole) -> Image:
    """The filling as it is, as in the paper."""
    return np.where(hole[..., None], filled, image)


def feather(image: Image, filled: Image, hole: Hole) -> Image:
    """Fade, just inside the hole's edge, from the nearest visible colour to the filling."""
    part = _around(hole)
    result, inside = image.copy(), hole[part]
    distance, nearest = ndimage.distance_transform_edt(inside, return_indices=True)
    depth = distance[inside][:, None]
    weight = (depth / (min(FEATHER_PIXELS, depth.max() / 2) + 1)).clip(0, 1)
    edge = image[part][tuple(nearest[:, inside])]
    result[part][inside] = np.rint(weight * filled[part][inside] + (1 - weight) * edge)
    return result


def poisson(image: Image, filled: Image, hole: Hole) -> Image:
    """Keep the filling's differences between pixels, and make it meet the hole's edge.

    The correction that is added is harmonic in the hole; at the edge it is what takes the filling
    to the visible pixel beside it.
    """
    part = _around(hole)
    result, inside = image.copy(), hole[part]
    correction = _harmonic(image[part], filled[part], inside)
    result[part][inside] = np.rint((filled[part][inside] + correction).clip(0, 255))
    return result


BLENDS: dict[str, Callable[[Image, Image, Hole], Image]] = {
    "paste": paste,
    "feather": feather,
    "poisson": poisson,
}


def _around(hole: Hole) -> tuple[slice, slice]:
    """The smallest part of the image with the hole and one pixel around it."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return (
        slice(max(rows[0] - 1, 0), rows[-1] + 2),
        slice(max(columns[0] - 1, 0), columns[-1] + 2),
    )


def _harmonic(image: Image, filled: Image, hole: Hole) -> NDArray[np.floating]:
    """The correction of the missing pixels, (number of them, 3).

    Minimises the squared differences between neighbours in the hole, and between a pixel at the
    edge and what takes it to its visible neighbour; a large hole is solved in square blocks.
    """
    block = math.ceil(math.sqrt(np.count_nonzero(hole) / MOST_UNKNOWNS))
    grid = tuple(-(-side // block) for side in hole.shape)
    place = np.arange(grid[0] * grid[1]).reshape(grid).repeat(block, 0).repeat(block, 1)
    used, number = np.unique(place[: hole.shape[0], : hole.shape[1]][hole], return_inverse=True)
    unknown = np.full(hole.shape, -1)
    unknown[hole] = number
    matrix = _stiffness(unknown, len(used), block)
    pull, weight = _pull(unknown, len(used), image, filled)
    solved = splu(csc_array(matrix + diags_array(weight))).solve(pull)
    if block == 1:
        return np.asarray(solved[number])
    y, x = hole.nonzero()
    return _interpolated(solved, used, grid, block)[y, x]


def _neighbours(values: NDArray[np.generic]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Each pixel's value beside the next one's: in rows, then in columns."""
    yield values[:, :-1], values[:, 1:]
    yield values[:-1], values[1:]


def _stiffness(unknown: NDArray[np.int64], count: int, block: int) -> csc_array:
    """Graph Laplacian of the unknowns; an edge between blocks is `block` pixels wide and long."""
    entries = []
    for first, second in _neighbours(unknown):
        linked = (first >= 0) & (second >= 0) & (first != second)
        entries += [(first[linked], second[linked]), (second[linked], first[linked])]
    rows, columns = (np.concatenate(side) for side in zip(*entries, strict=True))
    links = coo_array((np.full(len(rows), 1 / block), (rows, columns)), (count, count)).tocsc()
    return csc_array(diags_array(links.sum(axis=1)) - links)


def _pull(
    unknown: NDArray[np.int64], count: int, image: Image, filled: Image
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum of the corrections that each unknown's visible neighbours ask for, and how many."""
    pull, weight = np.zeros((count, 3)), np.zeros(count)
    sides = zip(*(_neighbours(array) for array in (unknown, image, filled)), strict=True)
    for unknowns, images, fillings in sides:
        for inside, outside in ((0, 1), (1, 0)):
            seam = (unknowns[inside] >= 0) & (unknowns[outside] < 0)
            asked = images[outside][seam].astype(np.float64) - fillings[inside][seam]
            np.add.at(pull, unknowns[inside][seam], asked)
            np.add.at(weight, unknowns[inside][seam], 1.0)
    return pull, weight


def _interpolated(
    solved: NDArray[np.float64], used: NDArray[np.int64], grid: tuple[int, ...], block: int
) -> NDArray[np.float32]:
    """The blocks' corrections (n, 3) at the pixels, (H, W, 3)."""
    known = np.zeros(grid, np.bool_)
    known.flat[used] = True
    values = np.zeros((*grid, 3), np.float32)
    values[known] = solved
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    size = (grid[1] * block, grid[0] * block)
    return np.asarray(cv2.resize(values[tuple(nearest)], size, interpolation=cv2.INTER_LINEAR))
