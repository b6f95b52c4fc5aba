import torch
from torch import Tensor

from cebench.models.egomotion import (
    EgomotionNetwork,
    SlownessNetwork,
    contrastive_losses,
)
from cebench.models.foldable import folded_state_dict

PARAMETERS = {
    "trunk": 2_334_080,
    "mix1": 1_179_904,
    "mix2": 295_040,
    "hidden": 1_600_500,
    "scores": 33_066,
}


def test_the_table_of_the_network() -> None:
    network = EgomotionNetwork((22, 22, 22))
    counts = {
        name: sum(p.numel() for p in network.get_submodule(name).parameters())
        for name in PARAMETERS
    }
    assert counts == PARAMETERS
    assert sum(counts.values()) == 5_442_590
    pairs = torch.randn(2, 1, 3, 227, 227)
    scores = network.eval()(*pairs)
    assert [tuple(s.shape) for s in scores] == [(1, 22)] * 3


def test_both_images_pass_one_trunk_and_their_order_counts() -> None:
    network = EgomotionNetwork(
        (5,), 115, init="he", generator=torch.Generator().manual_seed(0)
    ).eval()
    one, other = torch.randn(2, 1, 3, 115, 115, generator=torch.Generator().manual_seed(1)) * 60
    assert not torch.allclose(network(one, other)[0], network(other, one)[0])
    slow = SlownessNetwork(init="he", generator=torch.Generator().manual_seed(0)).eval()
    torch.testing.assert_close(slow(one, other), slow(other, one))
    assert slow(one, one).item() < 1e-5


def test_slowness_measures_the_root_mean_square_of_the_difference_of_pool5() -> None:
    network = SlownessNetwork()
    network.trunk.forward = lambda images: images  # type: ignore[method-assign]
    one, other = torch.zeros(2, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    other[0], other[1, 0] = 2, 2
    torch.testing.assert_close(network(one, other), torch.tensor([2.0, 1.0]))


def test_contrastive_losses_of_a_case_by_hand() -> None:
    """Margin 10: near 3 apart 9/2; far 4 apart (10 - 4)^2 / 2 = 18; far 11 apart nothing."""
    losses = contrastive_losses(torch.tensor([3.0, 4, 11]), torch.tensor([True, False, False]), 10)
    assert losses.tolist() == [4.5, 18, 0]


def test_gradients_reach_all_weights() -> None:
    network = EgomotionNetwork((5, 4), 115, init="he", batch_norm=True, input_divisor=60)
    pairs: Tensor = torch.randn(2, 4, 3, 115, 115) * 60
    sum(scores.logsumexp(1).sum() for scores in network(*pairs)).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


def test_a_normalised_head_folds_into_the_plain_network() -> None:
    network = EgomotionNetwork((5, 4), 115, init="he", batch_norm=True, input_divisor=60)
    pairs = torch.randn(2, 4, 3, 115, 115) * 60
    for _ in range(3):  # moves the running statistics
        network(*pairs)
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules()) == 7
    plain = EgomotionNetwork((5, 4), 115)
    plain.load_state_dict(folded_state_dict(network))
    for folded, normalised in zip(plain.eval()(*pairs), network.eval()(*pairs), strict=True):
        torch.testing.assert_close(folded, normalised, rtol=1e-3, atol=1e-3)


def test_dropout_leaves_out_the_share_that_is_asked_for() -> None:
    pairs = torch.randn(2, 8, 3, 115, 115)
    for share in (0.0, 0.9):
        network = EgomotionNetwork((5,), 115, init="he", dropout=share)
        seen: list[Tensor] = []
        network.dropout.register_forward_hook(lambda *event, seen=seen: seen.append(event[2]))
        network(*pairs)
        kept = (seen[0] > 0).double().mean().item()
        assert kept > 0.3 if share == 0 else kept < 0.15
