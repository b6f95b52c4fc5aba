"""Nearest-neighbour inpainting (Table 1): features of the context and the search for its twin."""

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import hog
from torch import Tensor

CELL = 8
BLOCK = 2
ORIENTATIONS = 9

_QUERIES_AT_ONCE = 1024


def nearest_neighbours(queries: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """The gallery row nearest to each query, exactly, the lowest index among equals.

    One float32 matrix product gives |x|^2 - 2 q.x; every row that its rounding error could have
    kept from being the nearest is then compared in float64. The bound on that error holds for
    true float32 products, torch's default, and not for TF32.

    Args:
        queries: (Q, D) float32.
        gallery: (G, D) float32 on the same device, G at least 1.

    Returns:
        index: (Q,) int64 into the gallery.
        distance: (Q,) float64, Euclidean.
    """
    norms = torch.linalg.vector_norm(gallery, dim=1, dtype=torch.float64)
    unit_roundoff = torch.finfo(torch.float32).eps / 2
    found = []
    for chunk in torch.split(queries, _QUERIES_AT_ONCE):
        closeness = norms.square() - 2 * (chunk @ gallery.T).double()
        # |error of a product over D terms| <= D u |q| |x|, twice for 2 q.x, twice for two rows.
        slack = 4 * gallery.shape[1] * unit_roundoff * norms.max() * chunk.double().norm(dim=1)
        near = closeness <= (closeness.amin(dim=1) + slack)[:, None]
        found += [_nearest(q, gallery, rows) for q, rows in zip(chunk, near, strict=True)]
    index, distance = zip(*found, strict=True)
    return torch.stack(index), torch.stack(distance)


def _nearest(query: Tensor, gallery: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor]:
    """Index and distance of the nearest candidate row, in float64; `candidate` is (G,) bool."""
    rows = candidate.nonzero().squeeze(1)
    distances = (gallery[rows].double() - query.double()).norm(dim=1)
    smallest = distances.amin()
    return rows[distances == smallest].amin(), smallest


def context_hog(images: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """HOG of what surrounds a hole; what is inside never matters.

    The paper gives no parameters: 8 x 8 pixel cells, 2 x 2 cell blocks, 9 orientations, L2-Hys.
    The hole is filled with the mean colour of the rest, and cells that touch it are dropped.

    Args:
        images: (N, H, W, 3), 0..255; H and W multiples of 8.
        hole: (H, W), True = missing, the same in all images.

    Returns:
        (N, D).
    """
    height, width = hole.shape
    touched = hole.reshape(height // CELL, CELL, width // CELL, CELL).any(axis=(1, 3))
    kept = np.lib.stride_tricks.sliding_window_view(~touched, (BLOCK, BLOCK))
    return np.stack([_filled_hog(image, hole)[kept].ravel() for image in images])


def _filled_hog(image: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(block rows, block columns, 2, 2, 9) of one image, its hole filled with the mean colour."""
    filled = image.astype(np.float32)
    filled[hole] = filled[~hole].mean(axis=0)
    blocks: NDArray[np.float32] = hog(
        filled,
        orientations=ORIENTATIONS,
        pixels_per_cell=(CELL, CELL),
        cells_per_block=(BLOCK, BLOCK),
        channel_axis=-1,
        feature_vector=False,
    )
    return blocks.astype(np.float32)
