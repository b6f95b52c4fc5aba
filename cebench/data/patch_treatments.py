"""What is done to patches so that neither colour fringes nor gradients give their place away.

Sources: Doersch et al. (ICCV 2015), section 3.1; cdoersch/deepcontext, train.py (`prep_image`).
Each function takes M patches (M, 3, S, S) float32, RGB, 0..255, on any device.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

SMALLEST_SIDE = 10
"""To which a patch is reduced before it is enlarged again."""
_GREEN_MAGENTA = (-1.0, 2.0, -1.0)
PATCH_RMS = 50.0
"""Root mean square of the patches that a network sees."""


def sample_reduced_sides(
    generator: np.random.Generator, count: int, patch_side: int, share: float
) -> np.ndarray:
    """(count,) int64: the side to which each patch is reduced; `patch_side` leaves it as it is.

    A `share` of the patches is reduced, to a number of pixels uniform between 10^2 and
    (patch_side - 1)^2.
    """
    most, least = (patch_side - 1) ** 2, SMALLEST_SIDE**2
    sides = np.sqrt(generator.random(count) * (most - least) + least).astype(np.int64)
    return np.where(generator.random(count) < share, sides, patch_side)


def reduce_and_enlarge(patches: Tensor, sides: Tensor) -> Tensor:
    """Each patch resized bilinearly to its side and back, by one product per axis.

    Args:
        patches: (M, 3, S, S).
        sides: (M,) int64, 10..S.
    """
    matrices = _reductions(patches.shape[-1]).to(patches.device)[sides - SMALLEST_SIDE, None]
    return matrices @ patches @ matrices.mT


def drop_colours(patches: Tensor, kept: Tensor, noise: Tensor) -> Tensor:
    """Keep one channel, less its mean, and replace the two others by noise.

    Args:
        patches: (M, 3, S, S).
        kept: (M,) int64, the channel.
        noise: (M, 3, S, S), in the source uniform in [-0.5, 0.5]: next to nothing.
    """
    channels = torch.arange(3, device=patches.device)
    chosen = (channels == kept[:, None])[:, :, None, None]
    return torch.where(chosen, patches - patches.mean((2, 3), keepdim=True), noise)


def project_out_green_magenta(patches: Tensor) -> Tensor:
    """Remove the green-magenta axis a = (-1, 2, -1): I (1 - a^T a / (a a^T)); then the mean."""
    axis = torch.tensor(_GREEN_MAGENTA, device=patches.device)
    projection = torch.eye(3, device=patches.device) - torch.outer(axis, axis) / axis.dot(axis)
    projected = torch.einsum("mchw,cd->mdhw", patches, projection)
    return projected - projected.mean((2, 3), keepdim=True)


def subtract_mean(patches: Tensor) -> Tensor:
    """Each channel of each patch less its mean."""
    return patches - patches.mean((2, 3), keepdim=True)


def unit_contrast(patches: Tensor) -> Tensor:
    """Each patch divided by its root mean square and multiplied by 50; a flat one stays small."""
    rms = patches.square().mean((1, 2, 3), keepdim=True).sqrt()
    return patches * (PATCH_RMS / rms.clamp(min=1e-3))


@cache
def _reductions(side: int) -> Tensor:
    """(side - 9, side, side): resizing `side` samples to 10, 11 .. `side` and back, as matrices."""
    return torch.stack(
        [
            _bilinear(reduced, side) @ _bilinear(side, reduced)
            for reduced in range(SMALLEST_SIDE, side + 1)
        ]
    )


def _bilinear(from_side: int, to_side: int) -> Tensor:
    """(to_side, from_side) weights, sampled at pixel centres, without antialias."""
    centres = (torch.arange(to_side) + 0.5) * from_side / to_side - 0.5
    distances = (centres.clamp(0, from_side - 1)[:, None] - torch.arange(from_side)).abs()
    return (1 - distances).clamp(min=0)
