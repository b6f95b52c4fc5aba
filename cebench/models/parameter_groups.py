"""Caffe's learning-rate and weight-decay multipliers as PyTorch parameter groups."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer


def caffe_parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    learning_rate: float,
    weight_decay: float,
    *,
    bias_multiplier: float = 2,
    decay_biases: bool = True,
) -> list[dict[str, Any]]:
    """Two groups for `torch.optim.SGD`: the weights, and the biases with their own rate and decay.

    Args:
        named_parameters: of `module.named_parameters()`; frozen ones are left out.
        learning_rate: of the weights.
        weight_decay: of the weights.
        bias_multiplier: learning rate of the biases as a multiple of the weights'.
        decay_biases: whether the biases decay as the weights do (False: not at all).
    """
    trained = [(name, p) for name, p in named_parameters if p.requires_grad]
    weights = [p for name, p in trained if not name.endswith("bias")]
    biases = [p for name, p in trained if name.endswith("bias")]
    return [
        {"params": weights, "lr": learning_rate, "weight_decay": weight_decay},
        {
            "params": biases,
            "lr": learning_rate * bias_multiplier,
            "weight_decay": weight_decay if decay_biases else 0.0,
        },
    ]


def sgd_or_adamw(
    network: nn.Module,
    kind: Literal["sgd", "adamw"],
    *,
    learning_rate: float,
    weight_decay: float,
    momentum: float,
) -> Optimizer:
    """Caffe's SGD, whose biases have twice the rate, or AdamW (0.9, 0.999) at one rate.

    Biases never decay.

    Args:
        network: what is trained.
        kind: which of the two.
        learning_rate: of the weights.
        weight_decay: of the weights.
        momentum: of SGD.
    """
    groups = caffe_parameter_groups(
        network.named_parameters(),
        learning_rate,
        weight_decay,
        bias_multiplier=1 if kind == "adamw" else 2,
        decay_biases=False,
    )
    if kind == "adamw":
        return torch.optim.AdamW(groups, fused=True)
    return torch.optim.SGD(groups, momentum=momentum, fused=True)


def scale_rates(optimizer: Optimizer, factor: float) -> None:
    """Set each group's learning rate to `factor` times the one that it was built with."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
