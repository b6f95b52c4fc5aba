"""Fast R-CNN on another library's network: what its regions are pooled from, and its head."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.errors import InputError
from cebench.models.backbone import (
    Backbone,
    freeze_unused,
    padded_to_stride,
    prepare_for_any_size,
)
from cebench.models.caffenet import FC_UNITS, fill_fc6_and_fc7, gaussian_filler
from cebench.models.fast_rcnn import STRIDE, RegionNetwork
from cebench.models.frozen_batch_norm import freeze_scales, freeze_statistics
from cebench.models.options import HeadInit, RoiPooling

FINEST_STRIDE = 8
"""A ViT with patches of 8 to 16 pixels has regions of its only map."""
C4_SIDE, PLAIN_SIDE, PLAIN_UNITS = 14, 7, 1024
"""Side of a region before a residual network's last stage; side and units of two new layers."""
_REGIONS_AT_ONCE = 256


class BackboneFastRCNN(RegionNetwork):
    """A backbone with regions of its map of stride 16 (or a ViT's only one, of 8 to 16).

    The head is fc6 and fc7 where the network has them (AlexNet, VGG); its last stage where that is
    convolutional (a ResNet's layer4 on regions of layer3: the C4 form of He et al., CVPR 2016); two
    new layers of 1024 units elsewhere (ViT, ConvNeXt, Swin, EfficientNet).

    A position embedding is resized to each image and not trained: the gradient of resizing is not
    repeatable on CUDA.

    Args:
        backbone: its trunk becomes part of this network.
        num_classes: number of object classes, without the background.
        generator: source of the initial weights of the head (on the CPU).
        head_init: initial fc6 and fc7, or the two layers of 1024.
        pooling: of the regions.
        train_batch_norm: whether batch normalisation in the trunk is trained; else its statistics
            and scales stay as they came.

    Raises:
        InputError: the backbone has no such map, or takes images of one size alone.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        generator: torch.Generator | None = None,
        head_init: HeadInit = "caffenet",
        pooling: RoiPooling = "max",
        train_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.trunk = backbone, backbone.trunk
        self.pooling, self.train_batch_norm = pooling, train_batch_norm
        channels = backbone.map_channels()
        self.stride = region_stride(backbone.architecture, channels)
        self.shift = backbone.centre(self.stride) - (self.stride - 1) / 2
        width = self._build_head(channels[self.stride], head_init, generator)
        self.cls_score = nn.Linear(width, num_classes + 1)
        self.bbox_pred = nn.Linear(width, 4 * (num_classes + 1))
        gaussian_filler(self.cls_score, 0.01, 0, generator)
        gaussian_filler(self.bbox_pred, 0.001, 0, generator)
        prepare_for_any_size(self.trunk)
        if not train_batch_norm:
            freeze_scales(self.trunk)
        self.eval()
        whole = torch.tensor([[0.0, 0, 0, 64, 64]])
        freeze_unused(self.trunk, lambda images: self(images, whole)[0])
        self.train()

    def _build_head(
        self, channels: int, head_init: HeadInit, generator: torch.Generator | None
    ) -> int:
        """Make fc6 and fc7 if the head is made of them; returns the numbers that it ends in."""
        if self.backbone.last_stage:
            self.pooled_side = C4_SIDE
            with torch.no_grad():
                return self.embed(torch.zeros(1, channels, C4_SIDE, C4_SIDE)).shape[1]
        own = bool(self.backbone.fully_connected)
        self.pooled_side = self.backbone.pooled_side if own else PLAIN_SIDE
        units = FC_UNITS if own else PLAIN_UNITS
        self.fc6 = nn.Linear(channels * self.pooled_side**2, units)
        self.fc7 = nn.Linear(units, units)
        self.dropout = nn.Dropout(0.5 if own else 0.0)
        fill_fc6_and_fc7(self.fc6, self.fc7, head_init, generator)
        return units

    @property
    def hidden(self) -> tuple[nn.Linear, ...]:
        """fc6 and fc7, or the two layers of 1024; empty behind a convolutional last stage."""
        return () if self.backbone.last_stage else (self.fc6, self.fc7)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not self.train_batch_norm:
            freeze_statistics(self.trunk)
        return self

    def features(self, images: Tensor) -> Tensor:
        """The map (N, C, h, w) float32 of images as the weights' sidecar says."""
        maps = self.backbone.feature_maps(padded_to_stride(images), (self.stride,))
        return maps[self.stride].float()

    def embed(self, pooled: Tensor) -> Tensor:
        """Pooled regions (R, C, side, side) to what is classified, (R, D)."""
        if self.backbone.last_stage:
            stage: Tensor = self.trunk.get_submodule(self.backbone.last_stage)(pooled)
            return stage.mean((2, 3))
        x = self.dropout(F.relu(self.fc6(pooled.flatten(1))))
        fc7: Tensor = self.dropout(F.relu(self.fc7(x)))
        return fc7

    def regions(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """From the map (N, C, h, w) and rois (R, 5) to scores and deltas.

        In evaluation so many regions at once that a last stage's maps of 2,000 fit into memory.
        """
        if self.training or len(rois) <= _REGIONS_AT_ONCE:
            return super().regions(features, rois)
        parts = [
            super(BackboneFastRCNN, self).regions(features, r) for r in rois.split(_REGIONS_AT_ONCE)
        ]
        scores, deltas = zip(*parts, strict=True)
        return torch.cat(scores), torch.cat(deltas)


def region_stride(architecture: str, channels: dict[int, int]) -> int:
    """Stride of the map that regions are pooled from, by `Backbone.map_channels`.

    InputError where none is of 8 to 16 pixels.
    """
    fitting = [stride for stride in channels if FINEST_STRIDE <= stride <= STRIDE]
    if not fitting:
        found = ", ".join(map(str, channels))
        raise InputError(
            f"{architecture}: has no map of stride 16 that regions could be pooled from, only of "
            f"{found}; take a network with one, such as a ViT with patches of 16 pixels"
        )
    return max(fitting)
