import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.data_dependent import (
    Filters,
    balance_gradient_ratios,
    gradient_ratios,
    initialise_from_data,
    parameter_layers,
)


def network(seed: int = 0) -> nn.Sequential:
    """Homogeneous: convolutions with groups, rectified, pooled, and a linear layer."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12 * 16, 10),
    )


IMAGES = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 60


def outputs(net: nn.Sequential, images: Tensor) -> dict[int, Tensor]:
    """What each parameter layer answers, units first."""
    found = {}
    for number, layer in enumerate(net):
        images = layer(images)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            found[number] = images.transpose(0, 1).flatten(1)
    return found


@pytest.mark.parametrize("filters", ["kmeans", "pca", "normal"])
def test_every_channel_has_the_mean_and_deviation_asked_for(filters: Filters) -> None:
    net = network()
    initialise_from_data(net, IMAGES.chunk(4), filters, bias=0.1, seed=3)
    with torch.no_grad():
        for units in outputs(net, IMAGES).values():
            torch.testing.assert_close(
                units.mean(1), torch.full((len(units),), 0.1), atol=1e-4, rtol=0
            )
            torch.testing.assert_close(units.std(1), torch.ones(len(units)), atol=1e-4, rtol=0)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = network(1), network(2), network(1)
    for net, seed in ((first, 5), (again, 5), (other, 6)):
        initialise_from_data(net, IMAGES.chunk(4), "kmeans", bias=0.1, seed=seed)
        balance_gradient_ratios(net, IMAGES, seed)
    states = [net.state_dict() for net in (first, again, other)]
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
    assert not torch.equal(states[0]["0.weight"], states[2]["0.weight"])


def test_principal_directions_are_those_of_the_patches() -> None:
    """conv1's filters against the eigenvectors of its patches' covariance, computed apart."""
    net = nn.Sequential(nn.Conv2d(2, 4, 2))
    images = torch.randn(50, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    images[:, 0] *= 3
    initialise_from_data(net, [images], "pca", bias=0.1, seed=0)
    patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1)
    _, directions = torch.linalg.eigh(torch.cov(patches.T))
    rows = F.normalize(parameter_layers(net)[0].weight.detach().flatten(1), dim=1)
    agreement = (rows * directions[:, -4:].T).sum(1).abs()
    torch.testing.assert_close(agreement, torch.ones(4), atol=1e-3, rtol=0)


def test_kmeans_finds_the_patterns_that_patches_are_made_of() -> None:
    generator = torch.Generator().manual_seed(2)
    patterns = torch.linalg.qr(torch.randn(12, 12, generator=generator))[0][:3]
    which = torch.randint(0, 3, (600,), generator=generator)
    images = patterns[which] * 5 + torch.randn(600, 12, generator=generator) * 0.1
    net = nn.Sequential(nn.Linear(12, 3))
    initialise_from_data(net, [images], "kmeans", bias=0.1, seed=0)
    answers = net(images)
    groups = [answers[which == k].argmax(1).mode().values.item() for k in range(3)]
    assert sorted(groups) == [0, 1, 2]
    expected = torch.tensor(groups)[which]
    assert (answers.argmax(1) == expected).float().mean() > 0.99


def test_rescaling_makes_the_gradient_ratios_agree_within_one_percent() -> None:
    net = network()
    with torch.no_grad():
        net[0].weight.mul_(30)
        net[6].weight.mul_(0.01)
    before = gradient_ratios(net, IMAGES)
    after = balance_gradient_ratios(net, IMAGES)
    assert before.max() / before.min() > 100
    torch.testing.assert_close(after, gradient_ratios(net, IMAGES))
    assert (after / after.log().mean().exp() - 1).abs().max() < 0.01


def test_the_gradient_ratio_of_a_linear_layer_by_hand() -> None:
    """One linear layer: its gradient is noise' x, whatever its weights are."""
    net = nn.Sequential(nn.Linear(3, 2))
    x = torch.tensor([[1.0, 2.0, 3.0]])
    one = gradient_ratios(net, x, seed=4)
    weight = parameter_layers(net)[0].weight
    noise_squares = (one * weight.detach().square().mean().sqrt()) ** 2 * 6 / x.square().sum()
    with torch.no_grad():
        weight.mul_(10)
    torch.testing.assert_close(gradient_ratios(net, x, seed=4), one / 10)
    assert 0 < noise_squares < 30  # Of two normal numbers.


def test_a_homogeneous_network_computes_the_same_up_to_one_factor() -> None:
    net = network()
    with torch.no_grad():
        net[2].weight.mul_(20)
        before = net(IMAGES)
        balance_gradient_ratios(net, IMAGES)
        after = net(IMAGES)
    factor = (after * before).sum() / before.square().sum()
    torch.testing.assert_close(after, before * factor, rtol=1e-3, atol=1e-5)
    assert after.std(0).mean() == pytest.approx(1, rel=0.05)
