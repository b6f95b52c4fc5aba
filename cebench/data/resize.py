"""Resizing by exact averages, the same to the last bit on every machine."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Pixel = np.floating | np.integer | np.bool_


def resize(images: NDArray[Pixel], height: int, width: int) -> NDArray[np.float64]:
    """Resize by exact area averaging where a side shrinks and bilinearly where it grows.

    Torch7's `image.scale`, through which the authors brought their 227 px test images to 128 px,
    averages areas; Pillow's BOX filter counts every pixel wholly or not at all. Sums are taken in
    float64 and in a fixed order, whatever the number of threads.

    Args:
        images: (..., H, W, C).
        height: of the result.
        width: of the result.

    Returns:
        (..., height, width, C), not rounded.
    """
    return _resize_axis(_resize_axis(images, -3, height), -2, width)


def _resize_axis(images: NDArray[Pixel], axis: int, to_side: int) -> NDArray[np.float64]:
    weights, total = _weights(images.shape[axis], to_side)
    lines = np.moveaxis(images, axis, 0)
    resized: NDArray[np.float64] = weights @ lines.reshape(len(lines), -1)
    resized /= total
    return np.moveaxis(resized.reshape(to_side, *lines.shape[1:]), 0, axis)


@cache
def _weights(from_side: int, to_side: int) -> tuple[csr_array, int]:
    """(to_side, from_side) weights of the source pixels, integers, and the sum of each row."""
    if to_side <= from_side:
        # In units of 1 / to_side source pixels, every edge of both grids is an integer.
        edges = np.arange(to_side + 1)[:, None] * from_side
        source = np.arange(from_side + 1) * to_side
        ends, starts = np.minimum(edges[1:], source[1:]), np.maximum(edges[:-1], source[:-1])
        return csr_array((ends - starts).clip(min=0).astype(np.float64)), from_side
    # In units of 1 / (2 * to_side) source pixels, every centre is an integer.
    centres = (2 * np.arange(to_side)[:, None] + 1) * from_side - to_side
    centres = centres.clip(0, 2 * to_side * (from_side - 1))
    distances = np.abs(centres - 2 * to_side * np.arange(from_side))
    return csr_array((2 * to_side - distances).clip(min=0).astype(np.float64)), 2 * to_side
