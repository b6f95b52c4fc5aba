"""Parameter groups: Caffe's multipliers of rate and decay, and rates that fall with the depth."""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
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


def normalises_layers(network: nn.Module) -> bool:
    """Whether it has layer normalisation, as transformers and ConvNeXt do."""
    return any(isinstance(module, nn.LayerNorm) for module in network.modules())


def layer_decay_groups(
    network: nn.Module,
    trunk: nn.Module,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float,
) -> list[dict[str, Any]]:
    """Groups for AdamW: the rate times `layer_decay` for each layer between it and the head.

    Source: BEiT (Bao et al., arXiv:2106.08254) and MAE (facebookresearch/mae, util/lr_decay.py).
    Biases, scales of normalisations and embeddings do not decay.

    Args:
        network: what is trained; frozen parameters are left out.
        trunk: the part of it whose layers have lower rates; the rest is the head.
        learning_rate: of the head and of the trunk's last layers.
        weight_decay: of weights with two axes or more.
        layer_decay: 1: one rate for all.
    """
    depths = _depths(trunk)
    deepest = max(depths.values(), default=0)
    of_trunk = {parameter: name for name, parameter in trunk.named_parameters()}
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for parameter in network.parameters():
        if not parameter.requires_grad:
            continue
        name = of_trunk.get(parameter)
        above = 0 if name is None else deepest - depths[name]
        decays = parameter.dim() > 1 and not (name or "").endswith(_EMBEDDINGS)
        new = {
            "params": [],
            "lr": learning_rate * layer_decay**above,
            "weight_decay": weight_decay if decays else 0.0,
        }
        groups.setdefault((above, decays), new)["params"].append(parameter)
    return list(groups.values())


_EMBEDDINGS = ("pos_embed", "pos_embedding", "cls_token", "class_token", "reg_token", "bias_table")


def _depths(trunk: nn.Module) -> Mapping[str, int]:
    """Name of each parameter -> the number of its layer, from the input upwards.

    timm's networks say it; elsewhere it is the first number in the name, `features.3.0.weight`, or
    that of the layers before: of a ViT's patches -1, of a last normalisation its last block's.
    """
    names = [name for name, _ in trunk.named_parameters()]
    matcher: Any = getattr(trunk, "group_matcher", None)
    if matcher is None:
        numbers = [int(found[0]) if (found := re.search(r"\d+", name)) else -1 for name in names]
        return dict(zip(names, accumulate(numbers, max), strict=True))
    from timm.models import group_parameters

    depths: dict[str, int] = group_parameters(trunk, matcher(coarse=False), reverse=True)
    return depths


def scale_rates(optimizer: Optimizer, factor: float) -> None:
    """Set each group's learning rate to `factor` times the one that it was built with."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
