import math

import pytest
import torch
from torch import Tensor

from cebench.models.fast_rcnn import FastRCNN, detection_losses


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def model() -> FastRCNN:
    return FastRCNN(generator=seeded()).eval()


def test_parameter_count_and_shapes(model: FastRCNN) -> None:
    # 2,334,080 + 4096 * 9217 + 4096 * 4097 + 21 * 4097 + 84 * 4097
    assert sum(p.numel() for p in model.parameters()) == 57_298_409
    rois = torch.tensor([[0.0, 0, 0, 50, 60], [1, 10, 10, 90, 60], [1, 0, 0, 120, 96]])
    with torch.no_grad():
        scores, deltas = model(torch.zeros(2, 3, 96, 120), rois)
    assert scores.shape == (3, 21)
    assert deltas.shape == (3, 84)


def test_fillers_of_the_head(model: FastRCNN) -> None:
    for layer, std, bias in (
        (model.fc6, 0.005, 1),
        (model.fc7, 0.005, 1),
        (model.cls_score, 0.01, 0),
        (model.bbox_pred, 0.001, 0),
    ):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
        assert layer.bias.unique().tolist() == [bias]


def test_half_open_regions_are_pooled_by_their_inclusive_corners(model: FastRCNN) -> None:
    # Half-open x1 = 88 is inclusive 87: 87 / 16 rounds to 5 where 88 / 16 = 5.5 rounds to 6, so
    # the region equals the one that ends at half-open 73 (72 / 16 = 4.5 rounds to 5), not at 89.
    images = 50 * torch.randn(1, 3, 128, 128, generator=seeded(1))
    ends = torch.tensor([88.0, 73.0, 89.0])
    rois = torch.zeros(3, 5)
    rois[:, 3:] = ends[:, None]
    with torch.no_grad():
        scores, _ = model(images, rois)
    assert torch.equal(scores[0], scores[1])
    assert not torch.allclose(scores[0], scores[2])


def test_gradient_reaches_every_parameter(model: FastRCNN) -> None:
    images = 50 * torch.randn(1, 3, 96, 120, generator=seeded(1))
    scores, deltas = model(images, torch.tensor([[0.0, 0, 0, 100, 90], [0, 30, 20, 110, 70]]))
    losses = detection_losses(
        scores,
        deltas,
        torch.tensor([3, 0]),
        torch.ones(2, 4),
        torch.zeros(21, 4),
        torch.ones(21, 4),
    )
    sum(losses).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_losses_of_a_hand_solved_case() -> None:
    # Three regions, two classes and the background. Scores 0: ln 3 each.
    # Region 0, class 2, target (2, 0, 1, 1) normalised by mean 1, std 0.5 to (2, -2, 0, 0); its
    # own deltas are (0, 0, 0.5, 0): |2| - 0.5, |2| - 0.5, 0.5 * 0.25, 0 = 3.125. Its deltas of
    # other classes and the regions of the background add nothing. Over three regions: 3.125 / 3.
    deltas = torch.full((3, 12), 7.0)
    deltas[0, 8:] = torch.tensor([0, 0, 0.5, 0])
    targets = torch.zeros(3, 4)
    targets[0] = torch.tensor([2.0, 0, 1, 1])
    mean, std = torch.ones(3, 4), torch.full((3, 4), 0.5)
    class_loss, box_loss = detection_losses(
        torch.zeros(3, 3), deltas, torch.tensor([2, 0, 0]), targets, mean, std
    )
    assert class_loss.item() == pytest.approx(math.log(3))
    assert box_loss.item() == pytest.approx(3.125 / 3)


def test_losses_without_regions_are_zero() -> None:
    class_loss, box_loss = detection_losses(
        torch.zeros(0, 3),
        torch.zeros(0, 12),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(0, 4),
        torch.zeros(3, 4),
        torch.ones(3, 4),
    )
    assert class_loss.item() == 0
    assert box_loss.item() == 0


def test_random_initialisation_is_a_function_of_the_seed(model: FastRCNN) -> None:
    torch.manual_seed(99)  # the global generator has no say
    again = FastRCNN(generator=seeded())
    assert all(map(torch.equal, model.parameters(), again.parameters()))


def test_a_head_scaled_to_the_data_has_standard_units_on_its_regions() -> None:
    generator = torch.Generator().manual_seed(0)
    network = FastRCNN(generator=generator, head_init="data").eval()
    assert not network.fc6.bias.any()
    images = 50 * torch.randn(2, 3, 160, 160, generator=generator)
    corners = 80 * torch.rand(60, 2, generator=generator)
    sides = 16 + 60 * torch.rand(60, 2, generator=generator)
    index = torch.arange(60)[:, None] % 2
    rois = torch.cat([index, corners, corners + sides], dim=1)
    network.data_dependent_init([(images, rois[:40]), (images, rois[40:])])
    units: list[Tensor] = []
    for layer in (network.fc6, network.fc7):
        layer.register_forward_hook(lambda _, __, output: units.append(output))
    with torch.no_grad():
        network(images, rois)
    for output in units:
        torch.testing.assert_close(output.mean(0), torch.zeros(4096), rtol=0, atol=1e-3)
        torch.testing.assert_close(output.std(0), torch.ones(4096), rtol=0, atol=1e-3)
