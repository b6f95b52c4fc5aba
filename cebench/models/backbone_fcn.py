"""FCN on another library's network: scores of its maps, enlarged bilinearly and added."""

from collections.abc import Sequence
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
from cebench.models.caffenet import FC_UNITS, fill_fc6_and_fc7
from cebench.models.fcn import SegmentationNetwork, zero_score_layer
from cebench.models.frozen_batch_norm import freeze_scales, freeze_statistics
from cebench.models.options import HeadInit, Stride


class BackboneFCN(SegmentationNetwork):
    """A backbone with a score layer on its coarsest map, and on finer ones for 16s and 8s.

    fc6 and fc7 stand before the coarsest scores, as convolutions, where the network has them
    (AlexNet, VGG). Score layers start at zero. A ViT has one map, so its scores have the stride of
    its patches whatever `stride` says above that; its position embedding is resized to each image
    and not trained.

    Args:
        backbone: its trunk becomes part of this network.
        num_classes: number of classes, background included.
        stride: pixels between two of the finest scores.
        head_init: initial fc6 and fc7.
        generator: source of the initial weights of the head (on the CPU).
        train_batch_norm: whether batch normalisation in the trunk is trained; else its statistics
            and scales stay as they came.

    Raises:
        InputError: the backbone has no map of that stride, or takes images of one size alone.
    """

    head: "MapScores"

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        stride: Stride = 32,
        head_init: HeadInit = "caffenet",
        generator: torch.Generator | None = None,
        train_batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.trunk = backbone, backbone.trunk
        self.train_batch_norm = train_batch_norm
        channels = backbone.map_channels()
        self.strides = score_strides(backbone.architecture, [*channels], stride)
        self.head = MapScores(
            [channels[s] for s in self.strides],
            [(float(s), backbone.centre(s)) for s in self.strides],
            num_classes,
            backbone.pooled_side if backbone.fully_connected else 0,
        )
        if self.head.pooled_side:
            fill_fc6_and_fc7(self.head.fc6, self.head.fc7, head_init, generator)
        prepare_for_any_size(self.trunk)
        if not train_batch_norm:
            freeze_scales(self.trunk)
        freeze_unused(self.trunk, self.eval())
        self.train()

    @property
    def hidden(self) -> tuple[nn.Conv2d, ...]:
        """fc6 and fc7 where the network has them."""
        return (self.head.fc6, self.head.fc7) if self.head.pooled_side else ()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not self.train_batch_norm:
            freeze_statistics(self.trunk)
        return self

    def maps_before_fc6(self, images: Tensor) -> Tensor:
        """The coarsest map (N, C, h, w)."""
        coarsest = self.strides[0]
        return self.backbone.feature_maps(padded_to_stride(images), (coarsest,))[coarsest]

    def maps(self, images: Tensor) -> list[Tensor]:
        """The maps that are scored, coarse to fine."""
        found = self.backbone.feature_maps(padded_to_stride(images), self.strides)
        return [found[stride] for stride in self.strides]


class MapScores(nn.Module):
    """Scores of some maps, coarse to fine, each enlarged to the next and added, then to the image.

    Args:
        channels: of the maps.
        grids: their strides, and the pixels that their first values look at.
        num_classes: number of classes, background included.
        pooled_side: side of fc6's kernel; 0: the coarsest map is scored itself.
    """

    def __init__(
        self,
        channels: Sequence[int],
        grids: Sequence[tuple[float, float]],
        num_classes: int,
        pooled_side: int,
    ) -> None:
        super().__init__()
        widths, self.grids, self.pooled_side = [*channels], [*grids], pooled_side
        if pooled_side:
            self.fc6 = nn.Conv2d(widths[0], FC_UNITS, pooled_side, padding=pooled_side // 2)
            self.fc7 = nn.Conv2d(FC_UNITS, FC_UNITS, 1)
            self.dropout = nn.Dropout(0.5)
            widths[0] = FC_UNITS
            # An even kernel, padded by its half, looks half a value to the left.
            stride, centre = grids[0]
            self.grids[0] = stride, centre + stride * ((pooled_side - 1) / 2 - pooled_side // 2)
        self.score_layers = nn.ModuleList(zero_score_layer(n, num_classes) for n in widths)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """(N, C, h, w) each, of images `height` x `width`, to (N, num_classes, height, width)."""
        x = maps[0]
        if self.pooled_side:
            x = self.dropout(F.relu(self.fc6(x)))
            x = self.dropout(F.relu(self.fc7(x)))
        scores: Tensor = self.score_layers[0](x)
        grid = self.grids[0]
        for layer, map_, of_map in zip(
            self.score_layers[1:], maps[1:], self.grids[1:], strict=True
        ):
            finer = layer(map_)
            scores = resample(scores, grid, finer.shape[-2:], of_map) + finer
            grid = of_map
        return resample(scores, grid, (height, width), (1, 0))


def resample(
    scores: Tensor,
    grid: tuple[float, float],
    sides: tuple[int, ...],
    at: tuple[float, float],
) -> Tensor:
    """Bilinear interpolation of scores (N, C, h, w) at the places of another grid, in float32.

    Two matrix products, which are deterministic on every device. Beyond the outermost scores their
    values go on.

    Args:
        scores: whose value i lies at pixel stride * i + centre on either axis.
        grid: that stride and centre.
        sides: height and width of the result.
        at: stride and centre of its values.
    """
    rows, columns = (
        _weights(to, given, grid, at, scores.device)
        for to, given in zip(sides, scores.shape[-2:], strict=True)
    )
    with torch.autocast("cuda" if scores.is_cuda else "cpu", enabled=False):
        return rows @ scores.float() @ columns.T


def _weights(
    to: int, given: int, grid: tuple[float, float], at: tuple[float, float], device: torch.device
) -> Tensor:
    """(to, given): what each score counts at each place."""
    pixels = at[0] * torch.arange(to, device=device) + at[1]
    places = ((pixels - grid[1]) / grid[0]).clamp(0, given - 1)
    distance = places[:, None] - torch.arange(given, device=device)
    return (1 - distance.abs()).clamp(min=0)


def score_strides(architecture: str, known: list[int], stride: Stride) -> tuple[int, ...]:
    """Strides of the maps that are scored, coarse to fine, of those `known`.

    InputError where none of them is as fine as `stride`.
    """
    coarsest = max(known)
    if stride < coarsest and stride not in known:
        raise InputError(
            f"{architecture}: stride={stride} needs a map of that stride; it has maps of "
            f"{', '.join(map(str, known))}"
        )
    finer = [s for s in (16, 8) if stride <= s < coarsest and s in known]
    return (coarsest, *finer)
