"""Which optimizer fine-tunes a network, and with which of the recipe's options."""

import torch
from torch import nn

from cebench.models.caffenet import CaffeNetTrunk
from cebench.training.options import FineTuningOptions
from cebench.transfer.fine_tuning import build_optimizer

OPTIONS = {
    "momentum": 0.7,
    "weight_decay": 0.02,
    "adamw_learning_rate": 0.03,
    "adamw_weight_decay": 0.04,
}


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = CaffeNetTrunk(), nn.Linear(9216, 20)


def test_adamw_has_its_own_rate_and_decay() -> None:
    network = Network()
    recipe = FineTuningOptions(optimizer="adamw", **OPTIONS)
    optimizer = build_optimizer(recipe, network, network.trunk, [])
    assert isinstance(optimizer, torch.optim.AdamW)
    decays = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {group["lr"] for group in optimizer.param_groups} == {0.03}
    assert {decays[p] for name, p in network.named_parameters() if "weight" in name} == {0.04}
    assert {decays[p] for name, p in network.named_parameters() if "bias" in name} == {0}


def test_a_network_without_layer_normalisation_is_left_to_the_protocols_sgd() -> None:
    network = Network()
    groups = [{"params": [network.head.weight], "lr": 0.5, "weight_decay": 0.25}]
    recipe = FineTuningOptions(optimizer="by-network", **OPTIONS)
    optimizer = build_optimizer(recipe, network, network.trunk, groups)
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.5, 0.7, 0.25)
