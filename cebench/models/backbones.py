"""Networks up to the features that a head is put on: CaffeNet, or another library's.

Another library's network is named `torchvision/NAME` or `timm/NAME`; its tensors keep the names
that they have there. Nothing is ever downloaded: weights come from files.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cebench.errors import InputError
from cebench.models.backbone import Backbone
from cebench.models.caffenet import (
    POOL5_FEATURES,
    POOL5_SIDE,
    CaffeNetTrunk,
    PoolFreeTrunk,
)
from cebench.models.options import Pooling
from cebench.models.timm_backbones import timm_backbone
from cebench.models.torchvision_backbones import torchvision_backbone

TrunkArchitecture = Literal["caffenet-trunk", "caffenet-trunk-pool-free", "caffenet-trunk-nogroups"]
CAFFENET: TrunkArchitecture = "caffenet-trunk"
CAFFENET_POOL_FREE: TrunkArchitecture = "caffenet-trunk-pool-free"
CAFFENET_WITHOUT_GROUPS: TrunkArchitecture = "caffenet-trunk-nogroups"
"""CaffeNet whose conv2, conv4 and conv5 see all channels, as Doersch et al. train it."""
OWN_TRUNKS = (CAFFENET, CAFFENET_WITHOUT_GROUPS)
"""Our own networks that weights files of trunks hold."""
LIBRARIES = ("torchvision", "timm")
_CAFFENET_LAYERS = {f"conv{n}": f"conv{n}" for n in range(1, 6)}


@dataclass(frozen=True, kw_only=True)
class CaffeNetBackbone(Backbone):
    """CaffeNet for 227 px images, before fc6."""

    trunk: CaffeNetTrunk

    def feature_maps(self, images: Tensor, strides: Collection[int] = ()) -> dict[int, Tensor]:
        """conv1 (4), conv2 (8), conv5 (16) and pool5 (32)."""
        return self.trunk.feature_maps(images)

    def centre(self, stride: int) -> float:
        """The image pixel that value 0 of the map of `stride` looks at: nothing is padded."""
        return stride + 1


def is_foreign(architecture: str) -> bool:
    """Whether the architecture is another library's."""
    return architecture.partition("/")[0] in LIBRARIES


def trunk_architecture(architecture: str) -> TrunkArchitecture:
    """The trunk for weights of `architecture`: without groups for those without, else CaffeNet."""
    return CAFFENET_WITHOUT_GROUPS if architecture == CAFFENET_WITHOUT_GROUPS else CAFFENET


def build_trunk(
    architecture: TrunkArchitecture = CAFFENET,
    generator: torch.Generator | None = None,
    *,
    conv1_padding: int = 0,
    pool_padding: int = 0,
) -> CaffeNetTrunk:
    """A CaffeNet trunk with the reference net's initial weights; every network's is built here.

    Args:
        architecture: CaffeNet's own, the one without groups, or the one without pooling, for which
            paddings have no meaning.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        conv1_padding: see `CaffeNetTrunk`.
        pool_padding: see `CaffeNetTrunk`.
    """
    if architecture == CAFFENET_POOL_FREE:
        return PoolFreeTrunk(generator)
    groups = architecture != CAFFENET_WITHOUT_GROUPS
    return CaffeNetTrunk(conv1_padding, pool_padding, generator, groups)


def build_backbone(
    architecture: str,
    seed: int = 0,
    side: int | None = None,
    pooling: Pooling = "network",
    positions: int | None = None,
) -> Backbone:
    """A backbone with weights drawn from `seed`, whatever state torch's generator is in.

    Args:
        architecture: `torchvision/NAME`, `timm/NAME` or `caffenet-trunk-nogroups`; anything else
            is CaffeNet.
        seed: what the initial weights are drawn from.
        side: side of the images where it is not the network's usual one; CaffeNet's is 227.
        pooling: which tokens a transformer of timm makes its features of.
        positions: length of its position embedding, where weights of another size of image than
            the network's usual one bring another.

    Raises:
        InputError: the library is absent or has no such network, it is no classifier of images, or
            there are no tokens that `pooling` could take.
    """
    library, _, name = architecture.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if library == "torchvision":
            return torchvision_backbone(architecture, name, side, pooling, positions)
        if library == "timm":
            return timm_backbone(architecture, name, side, pooling, positions)
        own = trunk_architecture(architecture)
        if pooling != "network":
            raise InputError(
                f"{own}: has no tokens that pooling={pooling} could take; leave it out"
            )
        return CaffeNetBackbone(
            architecture=own,
            trunk=build_trunk(own),
            side=227,
            features=POOL5_FEATURES,
            layers=_CAFFENET_LAYERS,
            fully_connected=("fc6", "fc7"),
            pooled_side=POOL5_SIDE,
        )
