import numpy as np
import pytest
import torch
from torch import nn

from cebench.models.backbone import Backbone
from cebench.models.backbones import build_backbone
from cebench.models.diagnostics import layer_activities


class Taps(nn.Module):
    """One layer of four units of a pixel x: x, -1, 1 and x + 2."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 1)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([1.0, 0, 0, 1]).view(4, 1, 1, 1))
            self.layer.bias.copy_(torch.tensor([0.0, -1, 1, 2]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.layer(images))


def backbone_of(network: Taps) -> Backbone:
    return Backbone(
        architecture="taps",
        trunk=network,
        side=2,
        features=16,
        layers={"conv1": "layer"},
        fully_connected=(),
    )


def test_units_counted_by_hand() -> None:
    """x = -1, 1 | 1, 1: unit 0 is on in 3 of 4 places, unit 1 dead, units 2 and 3 always on."""
    backbone = backbone_of(Taps())
    batches = [torch.tensor([-1.0, 1]).view(1, 1, 1, 2), torch.ones(1, 1, 1, 2)]
    conv1, pool5 = layer_activities(backbone, batches)
    assert (conv1.layer, pool5.layer, conv1.channels) == ("conv1", "pool5", 4)
    assert (conv1.dead_share, conv1.always_on_share) == (0.25, 0.5)
    assert conv1.active_share == pytest.approx((3 + 0 + 4 + 4) / 16)
    # Units 0 and 3 vary together (0, 1, 1, 1 and 1, 3, 3, 3): one direction.
    assert conv1.effective_rank == pytest.approx(1)
    assert pool5.active_share == conv1.active_share


def test_the_rank_is_the_participation_ratio_of_numpys_eigenvalues() -> None:
    backbone = build_backbone("caffenet-trunk", seed=1)
    images = 60 * torch.randn(3, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    activities = layer_activities(backbone, images.split(2))
    assert [activity.layer for activity in activities] == [*backbone.layers, "pool5"]
    with torch.no_grad():
        values = backbone.trunk(images).transpose(0, 1).flatten(1).numpy()
    eigenvalues = np.linalg.eigvalsh(np.cov(values, bias=True))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert activities[-1].effective_rank == pytest.approx(expected, rel=1e-4)
    assert activities[-1].active_share == pytest.approx((values > 0).mean())


def test_a_dead_layer_has_rank_0() -> None:
    network = Taps()
    nn.init.constant_(network.layer.bias, -5)
    (activity, _) = layer_activities(backbone_of(network), [torch.ones(1, 1, 2, 2)])
    assert (activity.dead_share, activity.active_share, activity.effective_rank) == (1, 0, 0)
