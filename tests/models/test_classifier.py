import math

import pytest
import torch
from torch import nn

from cebench.models.backbones import build_trunk
from cebench.models.caffenet import POOL5_FEATURES
from cebench.models.classifier import Classifier, sigmoid_cross_entropy_sum
from cebench.models.label_network import LabelNetwork
from cebench.models.options import HeadInit
from cebench.models.sync_layers import Dropout


def caffenet(head_init: HeadInit = "voc-classification") -> Classifier:
    generator = torch.Generator().manual_seed(0)
    trunk = build_trunk(generator=generator)
    return Classifier(trunk, POOL5_FEATURES, 20, generator=generator, head_init=head_init)


@pytest.fixture(scope="module")
def model() -> Classifier:
    return caffenet()


def test_parameter_count_and_shapes(model: Classifier) -> None:
    # 2,334,080 + 4096 * 9217 + 4096 * 4097 + 20 * 4097
    assert sum(p.numel() for p in model.parameters()) == 56_950_164
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 227, 227)).shape == (2, 20)


@pytest.mark.parametrize(
    ("head_init", "deviations", "biases"),
    [
        ("voc-classification", (0.01, 0.01, 0.01), (0.1, 0.1, 0.1)),
        ("caffenet", (0.005, 0.005, 0.01), (1, 1, 0)),
        ("he", ((2 / 9216) ** 0.5, (2 / 4096) ** 0.5, 0.01), (0, 0, 0)),
    ],
)
def test_fillers_of_the_head(
    head_init: HeadInit, deviations: tuple[float, ...], biases: tuple[float, ...]
) -> None:
    model = caffenet(head_init)
    layers = (model.fc6, model.fc7, model.fc8)
    for layer, deviation, bias in zip(layers, deviations, biases, strict=True):
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.01)
        assert layer.bias.unique().tolist() == pytest.approx([bias])


def test_data_dependent_init_gives_every_unit_mean_0_and_variance_1() -> None:
    trunk = nn.Flatten()
    network = Classifier(trunk, 6, 3, generator=torch.Generator().manual_seed(0), head_init="data")
    images = 5 + torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(1))
    network.data_dependent_init(list(images))
    units = network.fc6(images.flatten(0, 1))
    torch.testing.assert_close(units.mean(0), torch.zeros(4096), atol=1e-3, rtol=0)
    torch.testing.assert_close(units.std(0), torch.ones(4096), atol=1e-3, rtol=0)


@pytest.mark.parametrize("place", ["drop6", "drop7"])
def test_half_of_fc6_and_of_fc7_are_left_out_of_what_follows(place: str) -> None:
    """A dropout that leaves out everything: the scores do not depend on the image any more."""
    generator = torch.Generator().manual_seed(0)
    images = 50 * torch.randn(2, 3, 115, 115, generator=generator)
    labels = LabelNetwork(3, generator, side=115, units=8, init="he").eval()
    classes = Classifier(nn.AvgPool2d(23), 75, 3, generator=generator).eval()
    for network in (labels, classes):
        dropout = network.get_submodule(place)
        assert isinstance(dropout, Dropout)
        assert dropout.p == 0.5
        first, second = network(images)
        assert not torch.allclose(first, second)
        dropout.register_forward_hook(lambda layer, inputs, output: torch.zeros_like(output))
        first, second = network(images)
        assert torch.equal(first, second)


def test_gradient_reaches_every_parameter(model: Classifier) -> None:
    images = 50 * torch.randn(1, 3, 227, 227, generator=torch.Generator().manual_seed(1))
    model(images).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_loss_of_a_hand_solved_case() -> None:
    # Image 1: present at score 0: ln 2; absent at score 0: ln 2; ignored: nothing.
    # Image 2: present at ln 3: ln(1 + 1/3) = ln 4/3; absent at ln 3: ln(1 + 3) = ln 4; ignored.
    # Sum over classes, mean over the two images.
    scores = torch.tensor([[0, 0, 9], [math.log(3), math.log(3), -9]])
    labels = torch.tensor([[1, -1, 0], [1, -1, 0]], dtype=torch.int8)
    expected = (2 * math.log(2) + math.log(4 / 3) + math.log(4)) / 2
    assert sigmoid_cross_entropy_sum(scores, labels).item() == pytest.approx(expected)


def test_ignored_labels_send_no_gradient() -> None:
    scores = torch.zeros(1, 3, requires_grad=True)
    sigmoid_cross_entropy_sum(scores, torch.tensor([[1, 0, -1]])).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-0.5, 0, 0.5]]
