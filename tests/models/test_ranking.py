"""The ranking loss against the released layer, written anew as loops."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cebench.models.ranking import Mining, RankingNetwork, ranking_loss, select_negatives


def looped_negatives(
    distance: list[float], positive: float, own: set[int], mining: Mining, priorities: Tensor
) -> set[int]:
    """One pair's negatives: sort, take, shuffle by priority, take."""
    violators = [
        (d, j)
        for j, d in enumerate(distance)
        if j not in own and max(0.0, positive - d + mining.margin) > 0
    ]
    if len(violators) <= mining.negatives:
        return {j for _, j in violators}
    ordered = [j for _, j in sorted(violators)]
    near, far = ordered[: mining.negatives], ordered[mining.negatives :]
    near.sort(key=lambda j: priorities[0, j].item())
    far += near[mining.hard :]
    far.sort(key=lambda j: priorities[1, j].item())
    return {*near[: mining.hard], *far[: mining.negatives - mining.hard]}


def descriptors(pairs: int, seed: int, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(2 * pairs, 6, generator=generator) * spread + 1)


@pytest.mark.parametrize(
    "mining", [Mining(), Mining(hard=0), Mining(margin=0.05), Mining(4, 4, 0.3), Mining(6, 1, 0.5)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_is_the_released_layers(mining: Mining, seed: int) -> None:
    count = 8
    tracks = torch.tensor([0, 1, 2, 3, 4, 5, 0, 7])  # Pairs 0 and 6 are of one track.
    features = descriptors(count, seed, 2.0)
    priorities = torch.rand(2, count, 2 * count, generator=torch.Generator().manual_seed(9))
    distance = -(features @ features.T)
    total, mask = 0.0, torch.zeros(count, 2 * count, dtype=torch.bool)
    for p in range(count):
        i, k = 2 * p, 2 * p + 1
        own = {j for j in range(2 * count) if tracks[j // 2] == tracks[p]}
        chosen = looped_negatives(
            distance[i].tolist(), distance[i, k].item(), own, mining, priorities[:, p]
        )
        for j in chosen:
            mask[p, j] = True
            total += max(0.0, (distance[i, k] - distance[i, j] + mining.margin).item())
            total += max(0.0, (distance[i, k] - distance[k, j] + mining.margin).item())
    loss = ranking_loss(features, slice(None), tracks, mining, priorities)
    assert loss.item() == pytest.approx(total / (2 * mining.negatives * count), rel=1e-5)
    positives = -(features[0::2] * features[1::2]).sum(1)
    others = tracks[:, None] != tracks.repeat_interleave(2)
    ours = select_negatives(distance[0::2], positives, others, mining, priorities)
    assert torch.equal(ours, mask)


def test_parts_of_the_batch_add_up() -> None:
    features, tracks = descriptors(6, 0), torch.arange(6)
    priorities = torch.rand(2, 6, 12, generator=torch.Generator().manual_seed(3))
    whole = ranking_loss(features, slice(None), tracks, Mining(), priorities)
    parts = [
        ranking_loss(features, own, tracks, Mining(), priorities)
        for own in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_a_case_by_hand() -> None:
    """Pair 0 at (1, 0) twice, pair 1 at (0, 1) twice, margin 1.

    D within a pair is -1, between pairs 0: hinge = -1 - 0 + 1 = 0, so nothing violates. With a
    margin of 1.5 every image of the other pair does, by 0.5: 2 pairs x 2 images x 2 x 0.5 = 4,
    over 2 x 4 x 2 = 16.
    """
    features = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    priorities = torch.rand(2, 2, 4)
    tracks = torch.arange(2)
    assert ranking_loss(features, slice(None), tracks, Mining(), priorities) == 0
    loss = ranking_loss(features, slice(None), tracks, Mining(margin=1.5), priorities)
    assert loss.item() == pytest.approx(0.25)


def test_equal_descriptors_cost_the_margin() -> None:
    """Chance level: D is -1 everywhere, and every pair has its four negatives."""
    features = F.normalize(torch.ones(20, 3))
    priorities = torch.rand(2, 10, 20, generator=torch.Generator().manual_seed(0))
    loss = ranking_loss(features, slice(None), torch.arange(10), Mining(), priorities)
    assert loss.item() == pytest.approx(1)


def test_the_table_of_the_network() -> None:
    network = RankingNetwork()
    assert sum(p.numel() for p in network.parameters()) == 44_282_240
    assert tuple(network.fc6.weight.shape) == (4096, 9216)
    assert tuple(network.fc7.weight.shape) == (1024, 4096)
    assert (network.fc6.bias == 1).all()


def test_descriptors_have_unit_length_and_no_negative_value() -> None:
    network = RankingNetwork(
        115, 32, 16, init="he", generator=torch.Generator().manual_seed(0)
    ).eval()
    images = torch.randn(3, 3, 115, 115, generator=torch.Generator().manual_seed(1)) * 60
    found = network(images)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    assert (found >= 0).all()
