import pytest
import torch
import torch.nn.functional as F

from cebench.models.caffenet import CaffeNetTrunk
from cebench.models.foldable import FoldableConv2d
from cebench.models.options import conv5_side, pool5_side
from cebench.models.patch_pairs import PatchPairNetwork

PARAMETERS = {
    "trunk.conv1": 34_944,
    "trunk.conv2": 614_656,
    "trunk.conv3": 885_120,
    "trunk.conv4": 1_327_488,
    "trunk.conv5": 884_992,
    "fc6": 9_441_280,
    "fc7": 33_558_528,
    "fc8": 16_781_312,
    "fc9": 32_776,
}


@pytest.fixture(scope="module")
def small() -> PatchPairNetwork:
    network = PatchPairNetwork(48, 32, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):  # Gives the running statistics something to say.
        network(torch.randn(6, 3, 48, 48, generator=generator) * 50, *pairs())
    return network


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([0, 1, 4, 3]), torch.tensor([1, 0, 5, 2])


def test_the_table_of_the_sources_network() -> None:
    with torch.device("meta"):
        network = PatchPairNetwork()
    counts = {
        name: sum(p.numel() for p in network.get_submodule(name).parameters())
        for name in PARAMETERS
    }
    assert counts == PARAMETERS
    assert sum(p.numel() for p in network.parameters()) == 63_561_096
    assert not [name for name, _ in network.named_parameters() if name.startswith("norm")]


def test_pool5_of_96_pixels_is_3_by_3_by_way_of_24_12_and_6() -> None:
    trunk = CaffeNetTrunk(conv1_padding=5, groups=False)
    patches = torch.zeros(1, 3, 96, 96)
    assert trunk.conv1(patches).shape == (1, 96, 24, 24)
    pool1, pool2 = trunk.pool1_and_pool2(patches)
    assert (pool1.shape, pool2.shape) == ((1, 96, 12, 12), (1, 256, 6, 6))
    assert trunk(patches).shape == (1, 256, 3, 3)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("side", [67, 96, 100, 115, 227])
def test_sides_of_conv5_and_pool5_are_what_the_trunk_makes(side: int, padding: int) -> None:
    with torch.device("meta"):
        maps = CaffeNetTrunk(conv1_padding=padding).feature_maps(torch.empty(1, 3, side, side))
    assert maps[16].shape[-1] == conv5_side(side, padding)
    assert maps[32].shape[-1] == pool5_side(side, padding)


def test_patches_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="20 pixels are too small"):
        pool5_side(20, 5)


def test_fc7_per_patch_equals_fc7_of_the_concatenation(small: PatchPairNetwork) -> None:
    descriptions = torch.randn(6, 32, generator=torch.Generator().manual_seed(2))
    first, second = pairs()
    small.eval()
    joined = small.fc7(torch.cat((descriptions[first], descriptions[second]), dim=1))
    expected = small.fc9(
        F.relu(small.fc8(F.relu(small.norm7(joined[:, :, None, None]))[..., 0, 0]))
    )
    torch.testing.assert_close(small.compare(descriptions, first, second), expected)


@pytest.fixture(scope="module")
def conditioned() -> PatchPairNetwork:
    network = PatchPairNetwork(
        48, 32, torch.Generator().manual_seed(0), batch_norm=True, input_divisor=60
    )
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        network(torch.randn(6, 3, 48, 48, generator=generator) * 50, *pairs())
    return network


@pytest.mark.parametrize("name", ["small", "conditioned"])
def test_the_folded_trunk_equals_the_network_in_eval_mode(
    name: str, request: pytest.FixtureRequest
) -> None:
    small: PatchPairNetwork = request.getfixturevalue(name)
    small.eval()
    trunk = CaffeNetTrunk(conv1_padding=5, groups=False)
    trunk.load_state_dict(small.folded_trunk())
    patches = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(3)) * 50
    plain = small.trunk(patches)
    torch.testing.assert_close(trunk(patches), small.pool5(patches), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(plain, small.pool5(patches), rtol=0.1)


def test_first_weights_are_xaviers() -> None:
    network = PatchPairNetwork(48, 64, torch.Generator().manual_seed(0))
    weight = network.trunk.conv3.weight
    bound = (3 / (256 * 9)) ** 0.5
    assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.01)
    assert not network.trunk.conv2.bias.any()


def test_a_gradient_reaches_every_weight_but_the_biases_before_a_norm(
    small: PatchPairNetwork,
) -> None:
    small.train().zero_grad()
    patches = torch.randn(6, 3, 48, 48, generator=torch.Generator().manual_seed(4)) * 50
    F.cross_entropy(small(patches, *pairs()), torch.tensor([0, 1, 2, 3])).backward()
    for name, parameter in small.named_parameters():
        if not name.endswith("bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_the_divisor_is_conv1s_alone_and_changes_no_first_output() -> None:
    divided = PatchPairNetwork(48, 32, torch.Generator().manual_seed(0), input_divisor=60)
    plain = PatchPairNetwork(48, 32, torch.Generator().manual_seed(0))
    torch.testing.assert_close(divided.trunk.conv1.weight, plain.trunk.conv1.weight * 60)
    torch.testing.assert_close(divided.trunk.conv2.weight, plain.trunk.conv2.weight)
    patches = torch.randn(2, 3, 48, 48) * 50
    outputs = divided.trunk.conv1(patches), plain.trunk.conv1(patches)
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-3)


def test_statistics_are_the_means_over_the_images_that_are_given() -> None:
    """Of conv1 by hand; training itself goes on as before."""
    network = PatchPairNetwork(48, 32, torch.Generator().manual_seed(0), batch_norm=True).eval()
    generator = torch.Generator().manual_seed(5)
    batches = [torch.randn(4, 3, 99, 99, generator=generator) * scale for scale in (10, 30)]
    conv1 = network.trunk.conv1
    assert isinstance(conv1, FoldableConv2d)
    assert conv1.norm is not None
    outputs = [F.conv2d(x, conv1.weight, stride=4, padding=5) for x in batches]
    network.set_statistics(batches)
    variance = torch.stack([x.var((0, 2, 3)) for x in outputs]).mean(0)
    torch.testing.assert_close(conv1.norm.running_var, variance)
    assert network.norm5.running_mean is not None
    assert network.norm5.running_mean.any()
    assert not network.norm6.running_mean.any()
    assert (network.training, conv1.norm.momentum) == (False, 0.1)


def test_one_process_makes_the_statistics_without_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone, among_others = (
        PatchPairNetwork(48, 32, torch.Generator().manual_seed(0), batch_norm=True)
        for _ in range(2)
    )
    images = [torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(6)) * 30]
    alone.set_statistics(images)

    def waits(value: torch.Tensor) -> torch.Tensor:
        raise AssertionError("waits for another process")

    for name in ("all_reduce_sum", "all_reduce_sum_with_grad"):
        monkeypatch.setattr(f"cebench.models.sync_layers.{name}", waits)
    monkeypatch.setattr("cebench.models.sync_layers.process_count", lambda: 2)
    among_others.set_statistics(images)
    for name, buffer in alone.named_buffers():
        assert torch.equal(among_others.get_buffer(name), buffer), name
    with pytest.raises(AssertionError, match="waits"):
        among_others.pool5(images[0])  # In training all processes count, as before.
