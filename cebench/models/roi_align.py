"""RoIAlign with a repeatable gradient: regions sampled bilinearly, corners not rounded.

Source: He et al., Mask R-CNN (ICCV 2017, arXiv:1703.06870), section 3, in the form of detectron2's
ROIAlignV2 (`aligned`: half a pixel less) with 2 x 2 samples in each bin.
"""

from typing import Any

import torch
import torchvision.ops  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

SAMPLES = 2
"""Along each axis of a bin."""


class _RoIAlign(torch.autograd.Function):
    """torchvision's forward; its backward adds with atomics on CUDA, whatever the switch."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, rois: Tensor, scale: float, side: int) -> Tensor:
        ctx.save_for_backward(rois)
        ctx.shape, ctx.scale, ctx.side = features.shape, scale, side
        pooled: Tensor = torch.ops.torchvision.roi_align(
            features, rois, scale, side, side, SAMPLES, True
        )
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (rois,) = ctx.saved_tensors
        found = gradient.new_zeros(ctx.shape)
        for image, map_ in enumerate(found):
            chosen = rois[:, 0] == image
            of_image, boxes = gradient[chosen], rois[chosen, 1:]
            rows, columns = (
                bin_weights(boxes[:, axis::2], ctx.scale, ctx.side, ctx.shape[2 + (axis == 0)])
                for axis in (1, 0)
            )
            # (R, C, side, w), then one product over all regions and rows of bins.
            wide = of_image @ columns[:, None]
            map_ += torch.einsum("rph,rcpw->chw", rows, wide)
        return found, None, None, None


def bin_weights(ends: Tensor, scale: float, side: int, length: int) -> Tensor:
    """What each of `length` pixels counts in each bin along one axis: (R, side, length).

    RoIAlign is separable: a region's values are rows @ map @ columns.T.

    Args:
        ends: (R, 2) first and last coordinate of the regions, half-open, in image pixels.
        scale: feature pixels per image pixel.
        side: number of bins.
        length: of the map along the axis.
    """
    first, last = (ends * scale - 0.5).unbind(1)
    steps = (torch.arange(side * SAMPLES, device=ends.device) + 0.5) / SAMPLES
    places = first[:, None] + steps * ((last - first) / side)[:, None]
    inside = (places >= -1) & (places <= length)
    pixels = torch.arange(length, device=ends.device)
    distance = places.clamp(0, length - 1)[:, :, None] - pixels
    weights = (1 - distance.abs()).clamp(min=0) * inside[:, :, None]
    return weights.view(len(ends), side, SAMPLES, length).mean(2)


def roi_align(features: Tensor, rois: Tensor, scale: float, side: int) -> Tensor:
    """Average bilinear samples of each region of interest in side x side bins.

    Args:
        features: (N, C, H, W) float32.
        rois: (R, 5) float32, index of the image and x0 y0 x1 y1, half-open, in image pixels.
        scale: feature pixels per image pixel.
        side: number of bins along each axis.

    Returns:
        (R, C, side, side) float32.
    """
    pooled: Tensor = _RoIAlign.apply(features, rois, scale, side)
    return pooled
