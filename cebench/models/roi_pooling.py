"""RoI max pooling of Fast R-CNN with a repeatable gradient.

The same bits in every run: on a CPU always, on CUDA under `torch.use_deterministic_algorithms`,
which `cebench.devices` turns on.
"""

from typing import Any

import torch
import torchvision.ops  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor


class _RoIPool(torch.autograd.Function):
    """torchvision's forward; its backward adds with atomics on CUDA, whatever the switch."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, rois: Tensor, scale: float, side: int) -> Tensor:
        pooled: Tensor
        # Under autocast torchvision would return the positions as floats on CUDA, rounded.
        with torch.autocast(features.device.type, enabled=False):
            pooled, argmax = torch.ops.torchvision.roi_pool(features, rois, scale, side, side)
        ctx.save_for_backward(rois, argmax)
        ctx.shape = features.shape
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        rois, argmax = ctx.saved_tensors
        _, channels, height, width = ctx.shape
        maps = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
        # argmax is a position in its map, or -1 in an empty bin, which passes nothing on.
        source = (maps[:, :, None, None] * (height * width) + argmax.clamp(min=0)).flatten()
        flat = gradient.new_zeros(ctx.shape.numel())
        values = gradient.masked_fill(argmax < 0, 0).flatten()
        # index_put_ that accumulates has no fixed order on a CPU without the switch.
        flat.index_add_(0, source, values)
        return flat.view(ctx.shape), None, None, None


def roi_pool(features: Tensor, rois: Tensor, scale: float, side: int) -> Tensor:
    """Max-pool each region of interest into side x side bins.

    Fast R-CNN's own rounding: corners are multiplied by `scale` and rounded half away from zero,
    the last row and column are part of the region, and a bin outside the map is 0.

    Args:
        features: (N, C, H, W) float32.
        rois: (R, 5) float32, index of the image and x1 y1 x2 y2, **inclusive**, in image pixels.
        scale: feature pixels per image pixel.
        side: number of bins along each axis.

    Returns:
        (R, C, side, side) float32.
    """
    pooled: Tensor = _RoIPool.apply(features, rois, scale, side)
    return pooled
