"""Histograms of oriented gradients in batches, equal to scikit-image's, and those of a context."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CELL = 8
BLOCK = 2
ORIENTATIONS = 9
"""Orientation bins, of 20 degrees each; the paper gives no parameters, these are the usual ones."""

_EPSILON = 1e-5
_CLIP = 0.2
_AT_ONCE = 4
"""Images, few enough to stay in a core's cache."""


def hog(images: Tensor) -> Tensor:
    """`skimage.feature.hog` with cells of 8 x 8 pixels, 2 x 2 cells in a block, L2-Hys.

    Args:
        images: (N, C, H, W) floating point, H and W multiples of 8; a pixel's gradient is that of
            the channel in which it is largest.

    Returns:
        (N, H / 8 - 1, W / 8 - 1, 2, 2, 9), normalised blocks.
    """
    count, _, height, width = images.shape
    rows, columns = height // CELL, width // CELL
    magnitude, bins = _oriented_gradients(images)
    cells = torch.arange(count * rows * columns, device=images.device)
    cell = cells.view(count, rows, 1, columns, 1) * ORIENTATIONS
    index = bins.view(count, rows, CELL, columns, CELL) + cell
    sums = magnitude.new_zeros(len(cells) * ORIENTATIONS)
    sums.scatter_add_(0, index.flatten(), magnitude.flatten())
    histograms = (sums / CELL**2).view(count, rows, columns, ORIENTATIONS)
    # (N, rows, columns, 9, 2, 2) to (N, rows, columns, 2, 2, 9).
    blocks = histograms.unfold(1, BLOCK, 1).unfold(2, BLOCK, 1).permute(0, 1, 2, 4, 5, 3)
    return _normalised(_normalised(blocks).clamp(max=_CLIP))


def _oriented_gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Magnitude of each pixel's central differences and the bin of their direction, (N, H, W)."""
    down, right = torch.zeros_like(images), torch.zeros_like(images)
    torch.sub(images[..., 2:, :], images[..., :-2, :], out=down[..., 1:-1, :])
    torch.sub(images[..., 2:], images[..., :-2], out=right[..., 1:-1])
    squared = down.square().addcmul_(right, right)
    largest, channel = squared.max(dim=1, keepdim=True)
    degrees = torch.atan2(down.gather(1, channel), right.gather(1, channel)).rad2deg_()
    bins = degrees.remainder_(180).mul_(ORIENTATIONS / 180).long()
    return largest.sqrt_()[:, 0], bins[:, 0]


def _normalised(blocks: Tensor) -> Tensor:
    energy = blocks.square().sum(dim=(-3, -2, -1), keepdim=True)
    return blocks / (energy + _EPSILON**2).sqrt()


def context_hog(
    images: NDArray[np.uint8], hole: NDArray[np.bool_], cells: Literal["dropped", "filled"]
) -> NDArray[np.float32]:
    """HOG of what surrounds a hole; what is inside never matters.

    Args:
        images: (N, H, W, 3), 0..255; H and W multiples of 8.
        hole: (H, W), True = missing, the same in all images; filled with the mean colour of the
            rest of each image.
        cells: whether those that touch the hole are left out of every block.

    Returns:
        (N, D).
    """
    visible = ~hole
    kept = _untouched_cells(hole) if cells == "dropped" else np.s_[:]
    described = []
    for start in range(0, len(images), _AT_ONCE):
        filled = images[start : start + _AT_ONCE].astype(np.float64)
        filled[:, hole] = filled[:, visible].mean(axis=1)[:, None]
        channels = torch.from_numpy(filled.transpose(0, 3, 1, 2).copy())
        blocks = hog(channels).float().numpy()
        described.append(blocks[:, kept].reshape(len(blocks), -1))
    return np.concatenate(described)


def _untouched_cells(hole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H / 8 - 1, W / 8 - 1, 2, 2): the cells of each block that the hole leaves alone."""
    height, width = hole.shape
    free = ~hole.reshape(height // CELL, CELL, width // CELL, CELL).any(axis=(1, 3))
    return np.lib.stride_tricks.sliding_window_view(free, (BLOCK, BLOCK))
