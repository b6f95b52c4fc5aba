"""A linear layer on the frozen patch features of a backbone: a class for every pixel."""

from typing import Self

import torch
from torch import Tensor, nn

from cebench.models.backbone import Backbone, padded_to_stride
from cebench.models.backbone_fcn import resample
from cebench.models.fcn import zero_score_layer

LARGEST_STRIDE = 16
"""The coarsest map with at most so many pixels between its values is probed, if there is one."""
_LEAST_DEVIATION = 1e-6


class DenseProbe(nn.Module):
    """Frozen trunk, standardised features of its map, one linear layer, bilinear enlargement.

    Of a ViT the map is that of its patches, behind its last normalisation; of a network with stages
    that of stride 16. `standardise_by` must come before training.

    Args:
        backbone: its trunk becomes part of this network.
        num_classes: number of classes, background included.

    Raises:
        InputError: the backbone has no maps that are known, or takes images of one size alone.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone, self.trunk = backbone, backbone.trunk.requires_grad_(False)
        channels = backbone.map_channels()
        fine = [stride for stride in channels if stride <= LARGEST_STRIDE]
        self.stride = max(fine) if fine else min(channels)
        width = channels[self.stride]
        self.register_buffer("mean", torch.zeros(width, 1, 1))
        self.register_buffer("deviation", torch.ones(width, 1, 1))
        self.linear = zero_score_layer(width, num_classes)
        self.train(self.training)

    @property
    def first_pixel(self) -> int:
        """Where the pixels of the first patch begin; above 0 where a trunk pads too little."""
        return round(self.backbone.centre(self.stride) - (self.stride - 1) / 2)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.trunk.eval()
        return self

    @torch.no_grad()
    def patch_features(self, images: Tensor) -> Tensor:
        """The map (N, C, h, w) float32 of images (N, 3, H, W) as the weights' sidecar says."""
        maps = self.backbone.feature_maps(padded_to_stride(images), (self.stride,))
        return maps[self.stride].float()

    @torch.no_grad()
    def standardise_by(self, features: Tensor) -> None:
        """Take mean and deviation of each channel from the features (P, C) of train patches."""
        # Sums of half-precision numbers overflow, and a copy of all in float32 may not fit.
        parts = features.split(1 << 16)
        mean = torch.stack([part.double().sum(0) for part in parts]).sum(0) / len(features)
        squares = torch.stack([(part.double() - mean).square().sum(0) for part in parts]).sum(0)
        deviation = (squares / len(features)).sqrt().clamp(min=_LEAST_DEVIATION)
        self.mean.copy_(mean.view_as(self.mean))
        self.deviation.copy_(deviation.view_as(self.deviation))

    def scores_of(self, features: Tensor) -> Tensor:
        """Features (N, C, h, w) to raw scores (N, num_classes, h, w)."""
        scores: Tensor = self.linear((features - self.mean) / self.deviation)
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) as the weights' sidecar says to raw scores (N, num_classes, H, W)."""
        scores = self.scores_of(self.patch_features(images))
        grid = (float(self.stride), self.backbone.centre(self.stride))
        return resample(scores, grid, images.shape[-2:], (1, 0))


def patch_loss(scores: Tensor, shares: Tensor) -> Tensor:
    """Mean softmax cross-entropy of all pixels that are not void, each scored by its patch.

    Args:
        scores: (P, C) raw scores of patches.
        shares: (P, C), what share of each patch's pixels has each class; the void ones in none.

    Returns:
        A scalar, 0 without such pixels.
    """
    losses = -(shares * scores.float().log_softmax(1)).sum()
    return losses / shares.sum().clamp(min=1e-6)
