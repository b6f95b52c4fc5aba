"""Siamese networks of Agrawal et al. (ICCV 2015): what moved between two images?

Sources: the paper, sections 3 and 4 ("BCNN" and "TCNN"); pulkitag/learning-to-see-by-moving.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.caffenet import POOL5_CHANNELS, gaussian_filler
from cebench.models.foldable import FoldableConv2d, trainable_trunk
from cebench.models.options import conv5_side
from cebench.models.sync_layers import Dropout

UNITS = 500


class EgomotionNetwork(nn.Module):
    """conv1 to conv5 for each of two images, then one head on both; 227 px, 3 x 22 classes.

    The head is the paper's TCNN: 3 x 3 convolutions of 256 channels and of 128 with stride 2, 500
    units, dropout, a layer of scores per label. 3,108,510 parameters, 5,442,590 with the trunk.

    Args:
        class_counts: classes of each label.
        side: of the square images, in pixels.
        init: of trunk and head: CaffeNet's fillers and N(0, 0.01), or He's normals, biases 0; the
            scores begin at N(0, 0.01) in both.
        batch_norm: see `make_trainable`; the head's convolutions are normalised too.
        input_divisor: see `make_trainable`.
        dropout: share of the 500 units that a step leaves out.
        generator: source of the initial weights (on the CPU); torch's global one if None.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        side: int = 227,
        *,
        init: Literal["caffenet", "he"] = "caffenet",
        batch_norm: bool = False,
        input_divisor: float = 1,
        dropout: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trainable_trunk(
            init, batch_norm=batch_norm, input_divisor=input_divisor, generator=generator
        )
        self.mix1: nn.Conv2d = nn.Conv2d(2 * POOL5_CHANNELS, 256, 3)
        self.mix2: nn.Conv2d = nn.Conv2d(256, 128, 3, stride=2)
        mixed = (conv5_side(side) - 5) // 2 + 1
        if mixed < 1:
            raise ValueError(f"side={side}: images too small for the network")
        self.hidden = nn.Linear(128 * mixed**2, UNITS)
        self.dropout = Dropout(dropout)
        self.scores = nn.ModuleList(nn.Linear(UNITS, count) for count in class_counts)
        layers: tuple[nn.Conv2d | nn.Linear, ...] = (self.mix1, self.mix2, self.hidden)
        for layer in layers:
            he = math.sqrt(2 / layer.weight[0].numel())
            gaussian_filler(layer, he if init == "he" else 0.01, 0, generator)
        for scores in self.scores:
            assert isinstance(scores, nn.Linear)
            gaussian_filler(scores, 0.01, 0, generator)
        if batch_norm:
            self.mix1 = FoldableConv2d(self.mix1, batch_norm=True)
            self.mix2 = FoldableConv2d(self.mix2, batch_norm=True)

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Two images (N, 3, side, side) of `preprocess` to raw scores (N, classes) per label."""
        features = self.trunk.feature_maps(torch.cat((first, second)))[16]
        pairs = torch.cat(features.chunk(2), dim=1)
        x = F.relu(self.mix2(F.relu(self.mix1(pairs))))
        x = self.dropout(F.relu(self.hidden(x.flatten(1))))
        return [layer(x) for layer in self.scores]


class SlownessNetwork(nn.Module):
    """conv1 to pool5 of one image, flattened: what slow feature analysis compares."""

    def __init__(
        self,
        *,
        init: Literal["caffenet", "he"] = "caffenet",
        batch_norm: bool = False,
        input_divisor: float = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trainable_trunk(
            init, batch_norm=batch_norm, input_divisor=input_divisor, generator=generator
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances (N,) of two images (N, 3, side, side) each: root mean square over pool5."""
        features = self.trunk(torch.cat((first, second))).flatten(1)
        one, other = features.chunk(2)
        distances: Tensor = (one - other).square().mean(1).clamp(min=1e-12).sqrt()
        return distances


def contrastive_losses(distances: Tensor, near: Tensor, margin: float) -> Tensor:
    """D^2 / 2 of a near pair, max(0, margin - D)^2 / 2 of a far one, as Caffe's layer has it: (N,).

    Args:
        distances: (N,).
        near: (N,) bool, whether the images belong together.
        margin: beyond which far pairs cost nothing.
    """
    apart = (margin - distances).clamp(min=0)
    return torch.where(near, distances, apart).square() / 2
