"""Network and loss of Wang and Gupta (ICCV 2015): tracked patches lie closer than others.

Source: xiaolonw/caffe-video_triplet, rank_scripts/rank_alexnet and
src/caffe/layers/rank_hard_loss_layer.cpp.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.caffenet import POOL5_CHANNELS, fill_fc6_and_fc7
from cebench.models.foldable import trainable_trunk
from cebench.models.options import pool5_side


class RankingNetwork(nn.Module):
    """CaffeNet to fc6, fc7 of 1,024 units, both rectified, then unit length; 44,282,240 parameters.

    Args:
        side: of the square images, in pixels.
        units: of fc6; 4096 in the source.
        descriptor: of fc7; 1024 in the source.
        init: CaffeNet's fillers, or He's normals with biases of 0.
        batch_norm: see `make_trainable`.
        input_divisor: see `make_trainable`.
        generator: source of the initial weights (on the CPU); torch's global one if None.
    """

    def __init__(
        self,
        side: int = 227,
        units: int = 4096,
        descriptor: int = 1024,
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
        self.fc6 = nn.Linear(POOL5_CHANNELS * pool5_side(side) ** 2, units)
        self.fc7 = nn.Linear(units, descriptor)
        fill_fc6_and_fc7(self.fc6, self.fc7, init, generator)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) of `preprocess` to descriptors (N, 1024) of unit length."""
        x = F.relu(self.fc6(self.trunk(images).flatten(1)))
        return F.normalize(F.relu(self.fc7(x)).float(), eps=1e-6)


@dataclass(frozen=True)
class Mining:
    """Which of the other images of a batch push a pair apart."""

    negatives: int = 4
    """Most negatives of a pair."""
    hard: int = 2
    """How many of them are taken among the `negatives` hardest; the others are any violators."""
    margin: float = 1.0
    """By which D(patch, its track) should fall below D(patch, other), where D = -cosine."""


def select_negatives(
    distances: Tensor, positives: Tensor, others: Tensor, mining: Mining, priorities: Tensor
) -> Tensor:
    """The released layer's negatives of each pair, as a mask (P, N).

    A violator is an image of another track with D(first, second) - D(first, image) + margin > 0.
    A pair with no more violators than `negatives` has them all. Else `hard` of the `negatives`
    nearest violators are taken at random, and then as many others as are left, at random among all
    remaining violators, the near ones included.

    Args:
        distances: (P, N) from the first image of each pair to every image of the batch.
        positives: (P,) from there to the second image.
        others: (P, N) bool, images of other tracks.
        mining: how many of which.
        priorities: (2, P, N) uniform random numbers that decide, the lesser the sooner.
    """
    violators = others & (positives[:, None] - distances + mining.margin > 0)
    near = violators & (_rank(distances, violators) < mining.negatives)
    hard = near & (_rank(priorities[0], near) < mining.hard)
    rest = violators & ~hard
    drawn = rest & (_rank(priorities[1], rest) < mining.negatives - mining.hard)
    few = violators.sum(1, keepdim=True) <= mining.negatives
    return torch.where(few, violators, hard | drawn)


def ranking_loss(
    descriptors: Tensor, pairs: slice, tracks: Tensor, mining: Mining, priorities: Tensor
) -> Tensor:
    """The hinge loss of some pairs of a batch, against negatives from all of it; a sum.

    Over each pair (i, k) and each of its negatives j, hinge(i, k, j) + hinge(k, i, j), where
    hinge(a, b, j) = max(0, D(a, b) - D(a, j) + margin); divided by what the batch could have:
    2 * negatives * pairs.

    Args:
        descriptors: (2 P, C) of unit length; rows 2 p and 2 p + 1 are pair p.
        pairs: which of the P pairs are summed.
        tracks: (P,) int64, the track of each pair.
        mining: of the negatives.
        priorities: (2, P, 2 P) uniform random numbers.
    """
    count = len(tracks)
    first, second = descriptors[0::2][pairs], descriptors[1::2][pairs]
    from_first, from_second = (-(x @ descriptors.T) for x in (first, second))
    positives = -(first * second).sum(1)
    others = tracks[pairs][:, None] != tracks.repeat_interleave(2)
    chosen = select_negatives(
        from_first.detach(), positives.detach(), others, mining, priorities[:, pairs]
    )
    gap = positives[:, None] + mining.margin
    hinges = F.relu(gap - from_first) + F.relu(gap - from_second)
    return (hinges * chosen).sum() / (2 * mining.negatives * count)


def _rank(values: Tensor, among: Tensor) -> Tensor:
    """(P, N) int64: how many of a row's `among` come before each; equal ones in their order."""
    order = values.masked_fill(~among, torch.inf).argsort(dim=1, stable=True)
    return order.argsort(dim=1)
