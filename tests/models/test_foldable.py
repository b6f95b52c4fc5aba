import pytest
import torch
from torch import nn

from cebench.models.caffenet import TRUNK_TENSORS, CaffeNetTrunk, he_weights
from cebench.models.context_encoder import ContextEncoder
from cebench.models.foldable import FoldableConv2d, folded_state_dict, make_trainable


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, side: int = 115) -> torch.Tensor:
    return 60 * torch.randn(count, 3, side, side, generator=seeded(3))


def with_statistics(network: nn.Module) -> nn.Module:
    """The network with arbitrary statistics, scales and shifts in every normalisation."""
    generator = seeded(5)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.running_mean, -1, 1),
                (layer.running_var, 0.5, 2),
                (layer.weight.data, 0.5, 1.5),
                (layer.bias.data, -0.5, 0.5),
            ):
                assert tensor is not None
                tensor.uniform_(low, high, generator=generator)
    return network.eval()


def test_a_convolution_of_one_weight_folds_as_worked_out_by_hand() -> None:
    """y = gamma (3 x / 2 - mu) / sigma + beta with mu 1, sigma 2, gamma 4, beta 5: 3 x + 3."""
    plain = nn.Conv2d(1, 1, 1)
    nn.init.constant_(plain.weight, 1.5)
    layer = FoldableConv2d(plain, 2, batch_norm=True)
    assert layer.weight.item() == 3
    assert layer.norm is not None
    layer.norm.eps = 0
    for tensor, value in (
        (layer.norm.running_mean, 1.0),
        (layer.norm.running_var, 4.0),
        (layer.norm.weight.data, 4.0),
        (layer.norm.bias.data, 5.0),
    ):
        assert tensor is not None
        tensor.fill_(value)
    weight, bias = layer.folded()
    assert (weight.item(), bias.item()) == (3, 3)
    assert layer.eval()(torch.full((1, 1, 1, 1), 7.0)).item() == 24


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_folded_trunk_is_caffenets_and_equals_the_network_in_eval_mode(
    batch_norm: bool,
) -> None:
    trunk = CaffeNetTrunk(generator=seeded())
    he_weights(trunk, seeded())
    make_trainable(trunk, input_divisor=60, batch_norm=batch_norm)
    with_statistics(trunk)
    state = folded_state_dict(trunk)
    assert set(state) == set(TRUNK_TENSORS)
    plain = CaffeNetTrunk()
    plain.load_state_dict(state)
    with torch.no_grad():
        expected = trunk(images(4))
        torch.testing.assert_close(plain(images(4)), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01


@pytest.mark.parametrize(("side", "places"), [(115, "encoder-decoder"), (115, "encoder")])
def test_the_folded_context_encoder_equals_the_network_in_eval_mode(side: int, places: str) -> None:
    network = ContextEncoder(
        generator=seeded(), side=side, batch_norm=places, input_divisor=60, residual="mean-colour"
    )
    nn.init.normal_(network.up_convolutions[-1].weight, std=0.1, generator=seeded(1))
    with_statistics(network)
    plain = ContextEncoder(side=side, residual="mean-colour").eval()
    plain.load_state_dict(folded_state_dict(network))
    with torch.no_grad():
        expected = network(images(2))
        torch.testing.assert_close(plain(images(2)), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


def test_a_divided_input_changes_no_value_and_lets_adam_move_conv1_as_it_moves_the_rest() -> None:
    """One Adam step changes each weight by the rate: 60 times less of what conv1 computes."""
    plain, divided = (CaffeNetTrunk(generator=seeded()) for _ in range(2))
    make_trainable(divided, input_divisor=60, batch_norm=False)
    torch.testing.assert_close(divided(images(2)), plain(images(2)))
    changes = []
    for trunk in (plain, divided):
        before = folded_state_dict(trunk)["conv1.weight"].clone()
        adam = torch.optim.Adam(trunk.parameters(), lr=1e-3)
        trunk(images(2)).square().mean().backward()
        adam.step()
        changes.append((folded_state_dict(trunk)["conv1.weight"] - before).abs().median().item())
    assert changes == pytest.approx([1e-3, 1e-3 / 60], rel=0.01)


def test_folding_leaves_the_network_as_it_is() -> None:
    trunk = CaffeNetTrunk(generator=seeded())
    make_trainable(trunk, input_divisor=60, batch_norm=True)
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    for tensor in folded_state_dict(trunk).values():
        tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in trunk.state_dict().items())
