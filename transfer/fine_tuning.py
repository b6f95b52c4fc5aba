"""By what a transfer fine-tunes: the published SGD, or what fits the network."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cebench.models.parameter_groups import layer_decay_groups, normalises_layers
from cebench.training.options import FineTuningOptions


def build_optimizer(
    recipe: FineTuningOptions,
    network: nn.Module,
    trunk: nn.Module,
    sgd_groups: Iterable[dict[str, Any]],
) -> Optimizer:
    """SGD over `sgd_groups`, or AdamW whose rates fall from the head of `network` to its input.

    Args:
        recipe: which of the two.
        network: what is trained.
        trunk: the part of it that the weights brought.
        sgd_groups: the protocol's own groups.
    """
    kind = recipe.optimizer
    if kind == "adamw" or (kind == "by-network" and normalises_layers(trunk)):
        groups = layer_decay_groups(
            network,
            trunk,
            recipe.adamw_learning_rate,
            recipe.adamw_weight_decay,
            recipe.layer_decay,
        )
        return torch.optim.AdamW(groups, fused=True)
    return torch.optim.SGD(sgd_groups, momentum=recipe.momentum, fused=True)
