"""What a trunk's layers do on given images: dead and always-on units, effective rank."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cebench.models.backbone import Backbone


@dataclass(frozen=True, kw_only=True)
class LayerActivity:
    """What a layer of C channels does on some images, behind its ReLU; shares are fractions."""

    layer: str
    channels: int
    dead_share: float
    """Channels that are positive at no place of any image."""
    always_on_share: float
    """Channels that are positive at every place of every image: linear units."""
    active_share: float
    """Values that are positive."""
    effective_rank: float
    """Participation ratio of the covariance of the channels over all places, 1 .. C:
    (sum of eigenvalues)^2 / sum of squared eigenvalues."""


class _Sums:
    """Running sums of one layer over batches."""

    def __init__(self, channels: int) -> None:
        self.places = 0
        self.positive = torch.zeros(channels, dtype=torch.float64)
        self.first = torch.zeros(channels, dtype=torch.float64)
        self.second = torch.zeros(channels, channels, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """values: (N, C, ...)."""
        rows = values.transpose(0, 1).flatten(1).double().cpu()
        self.places += rows.shape[1]
        self.positive += (rows > 0).sum(1)
        self.first += rows.sum(1)
        self.second += rows @ rows.T

    def activity(self, layer: str) -> LayerActivity:
        mean = self.first / self.places
        covariance = self.second / self.places - mean[:, None] * mean
        # The eigenvalues' sum is the trace, the sum of their squares the sum of squared elements.
        spread = covariance.square().sum()
        rank = covariance.trace().square() / spread if spread > 0 else torch.zeros(())
        return LayerActivity(
            layer=layer,
            channels=len(mean),
            dead_share=(self.positive == 0).double().mean().item(),
            always_on_share=(self.positive == self.places).double().mean().item(),
            active_share=(self.positive.sum() / self.places / len(mean)).item(),
            effective_rank=rank.item(),
        )


@torch.no_grad()
def layer_activities(backbone: Backbone, batches: Iterable[Tensor]) -> list[LayerActivity]:
    """The layers of `backbone`, from the input upwards, on all images of `batches` together.

    batches: (N, 3, side, side) each, as the trunk takes them.
    """
    sums: dict[str, _Sums] = {}

    for batch in batches:
        pool5, found = backbone.layer_maps(batch, backbone.layers)
        for layer, values in {**found, "pool5": pool5}.items():
            if layer not in sums:
                sums[layer] = _Sums(values.shape[1])
            sums[layer].add(F.relu(values))
    return [sums[layer].activity(layer) for layer in backbone.layer_names]
