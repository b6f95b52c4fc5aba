"""The network of Doersch et al. (ICCV 2015): where does the second of two patches lie?

Source: cdoersch/deepcontext, train.py (`gen_net`).
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.backbones import CAFFENET_WITHOUT_GROUPS, build_trunk
from cebench.models.caffenet import POOL5_CHANNELS
from cebench.models.foldable import FoldableConv2d, folded_state_dict
from cebench.models.folding import fold_batch_norm
from cebench.models.options import PATCH_CONV1_PADDING, pool5_side
from cebench.models.sync_layers import BatchNorm2d

POSITIONS = 8
"""Neighbours of a patch in its grid."""


class PatchPairNetwork(nn.Module):
    """conv1 to fc6 for each patch, fc7 to fc9 for each pair; 63,561,096 parameters.

    CaffeNet without groups, conv1 padded by 5; batch normalisation without scale and shift behind
    conv3, conv4, conv5, fc6 and fc7, without which all patches collapse to one response. Caffe's
    xavier fillers, biases of 0.

    Args:
        patch_side: pixels; 96 in the source, whose pool5 is then 3 x 3.
        units: of fc6, fc7 and fc8; 4096 in the source.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        batch_norm: whether conv1 and conv2 are batch-normalised too, with scale and shift.
        input_divisor: what conv1's input is divided by, see `FoldableConv2d`.
    """

    def __init__(
        self,
        patch_side: int = 96,
        units: int = 4096,
        generator: torch.Generator | None = None,
        *,
        batch_norm: bool = False,
        input_divisor: float = 1,
    ) -> None:
        super().__init__()
        self.trunk = build_trunk(
            CAFFENET_WITHOUT_GROUPS, generator, conv1_padding=PATCH_CONV1_PADDING
        )
        self.norm3, self.norm4 = (BatchNorm2d(384, affine=False) for _ in range(2))
        self.norm5 = BatchNorm2d(POOL5_CHANNELS, affine=False)
        features = POOL5_CHANNELS * pool5_side(patch_side, PATCH_CONV1_PADDING) ** 2
        self.fc6, self.norm6 = nn.Linear(features, units), BatchNorm2d(units, affine=False)
        self.fc7, self.norm7 = nn.Linear(2 * units, units), BatchNorm2d(units, affine=False)
        self.fc8, self.fc9 = nn.Linear(units, units), nn.Linear(units, POSITIONS)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                xavier_filler(layer, generator)
        trunk = self.trunk
        trunk.conv1 = FoldableConv2d(trunk.conv1, input_divisor, batch_norm=batch_norm)
        trunk.conv2 = FoldableConv2d(trunk.conv2, batch_norm=batch_norm)

    def pool5(self, patches: Tensor) -> Tensor:
        """Patches (M, 3, S, S) to pool5 (M, 256, s, s)."""
        trunk = self.trunk
        x = trunk.norm2(trunk.pool1_and_pool2(patches)[1])
        x = F.relu(self.norm3(trunk.conv3(x)))
        x = F.relu(self.norm4(trunk.conv4(x)))
        features: Tensor = trunk.pool5(F.relu(self.norm5(trunk.conv5(x))))
        return features

    def describe(self, patches: Tensor) -> Tensor:
        """Patches (M, 3, S, S), RMS about 50, to fc6 after its ReLU: (M, units)."""
        return F.relu(_normalised(self.norm6, self.fc6(self.pool5(patches).flatten(1))))

    def compare(self, descriptions: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Raw scores of the positions of patch `second` relative to patch `first`.

        fc7 of two concatenated descriptions is a sum of two products; each is computed once per
        patch instead of once per pair, of which there are four times as many:
            fc7(cat((descriptions[first], descriptions[second]), dim=1))

        Args:
            descriptions: (M, units) of `describe`.
            first: (P,) int64, row of `descriptions`.
            second: (P,) int64.

        Returns:
            (P, 8).
        """
        of_first, of_second = self.fc7.weight.chunk(2, dim=1)
        left = F.linear(descriptions, of_first, self.fc7.bias)
        right = F.linear(descriptions, of_second)
        pairs = left.index_select(0, first) + right.index_select(0, second)
        x = F.relu(self.fc8(F.relu(_normalised(self.norm7, pairs))))
        scores: Tensor = self.fc9(x)
        return scores

    def forward(self, patches: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Scores of the relative positions of pairs: `compare` of what `describe` says."""
        return self.compare(self.describe(patches), first, second)

    @torch.no_grad()
    def set_statistics(self, batches: Iterable[Tensor]) -> None:
        """Make the running statistics of conv1 to conv5 the means over `batches`.

        One process may call it without the others.

        Args:
            batches: images (N, 3, H, W) of any size, as the trunk is going to see them.
        """
        training, norms = self.training, self._norms()
        momenta = [norm.momentum for norm in norms]
        self.train()
        for number, images in enumerate(batches, start=1):
            for norm in norms:
                norm.alone = True
                norm.momentum = 1 / number  # The mean so far, from 1 for the first batch.
            self.pool5(images)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.alone, norm.momentum = False, momentum
        self.train(training)

    def _norms(self) -> list[BatchNorm2d]:
        in_trunk = [m for m in self.trunk.modules() if isinstance(m, BatchNorm2d)]
        return [*in_trunk, self.norm3, self.norm4, self.norm5]

    def folded_trunk(self) -> dict[str, Tensor]:
        """The state of a trunk without batch normalisation that equals this one in eval mode."""
        state = folded_state_dict(self.trunk)
        for n, norm in ((3, self.norm3), (4, self.norm4), (5, self.norm5)):
            conv = self.trunk.get_submodule(f"conv{n}")
            assert isinstance(conv, nn.Conv2d)
            state[f"conv{n}.weight"], state[f"conv{n}.bias"] = fold_batch_norm(conv, norm)
        return state


def xavier_filler(layer: nn.Conv2d | nn.Linear, generator: torch.Generator | None) -> None:
    """Caffe's "xavier" filler: uniform weights of variance 1 / fan-in, biases 0."""
    bound = math.sqrt(3 / layer.weight[0].numel())
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _normalised(norm: BatchNorm2d, units: Tensor) -> Tensor:
    """Batch normalisation of (N, units)."""
    normalised: Tensor = norm(units[:, :, None, None])
    return normalised.flatten(1)
