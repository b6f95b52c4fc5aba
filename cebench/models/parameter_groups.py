"""Parameter groups: Caffe's multipliers of rate and decay, and rates that fall with the depth."""

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import inf
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
    """Whether it has layer or RMS normalisation, as transformers and ConvNeXt do."""
    return any(
        isinstance(module, nn.LayerNorm | nn.RMSNorm)
        or type(module).__name__.startswith(_NORMS_OF_TIMM)
        for module in network.modules()
    )


_NORMS_OF_TIMM = ("RmsNorm", "SimpleNorm")
"""How names of its own normalisations over the channels begin, which may be of no class above."""


def layer_decay_groups(
    network: nn.Module,
    trunk: nn.Module,
    learning_rate: float,
    weight_decay: float,
    layer_decay: float,
) -> list[dict[str, Any]]:
    """Groups for AdamW: the rate times `layer_decay` for each layer between it and the head.

    Source: BEiT (Bao et al., arXiv:2106.08254) and MAE (facebookresearch/mae, util/lr_decay.py).
    Biases, scales and embeddings do not decay.

    Args:
        network: what is trained; frozen parameters are left out.
        trunk: the part of it whose layers have lower rates; the rest is the head.
        learning_rate: of the head and of the trunk's last layers.
        weight_decay: of weights with two axes or more.
        layer_decay: 1: one rate for all.
    """
    depths = _depths(trunk)
    of_trunk = {parameter: name for name, parameter in trunk.named_parameters()}
    deepest = max((depths[name] for p, name in of_trunk.items() if p.requires_grad), default=0)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for parameter in network.parameters():
        if not parameter.requires_grad:
            continue
        name = of_trunk.get(parameter)
        above = 0 if name is None else deepest - depths[name]
        decays = parameter.dim() > 1 and not (name or "").endswith(_UNDECAYED)
        new = {
            "params": [],
            "lr": learning_rate * layer_decay**above,
            "weight_decay": weight_decay if decays else 0.0,
        }
        groups.setdefault((above, decays), new)["params"].append(parameter)
    return list(groups.values())


_UNDECAYED = (
    "pos_embed",
    "pos_embedding",
    "cls_token",
    "class_token",
    "dist_token",
    "reg_token",
    "bias_table",
    "layer_scale",
)
"""How names of embeddings and scales end that have two axes or more."""


def _depths(trunk: nn.Module) -> Mapping[str, int]:
    """Name of each parameter -> the number of its layer, from the input upwards.

    A layer is a block, as BEiT counts them. timm's networks say it themselves; torchvision's are
    counted alike.
    """
    matcher: Any = getattr(trunk, "group_matcher", None)
    if matcher is None:
        return _depths_by_name(trunk)
    from timm.models import group_parameters

    depths: dict[str, int] = group_parameters(trunk, matcher(coarse=False), reverse=True)
    return depths


def _depths_by_name(trunk: nn.Module) -> Mapping[str, int]:
    """`_depths` by the numbers in torchvision's names, `features.3.0.block.0.weight`.

    What lies between two stages belongs to the block behind it; what has no number to the block
    before it, or in front of all blocks to the stem; what the classifier keeps is the last layer.
    """
    names = [name for name, _ in trunk.named_parameters()]
    places = [_stage_and_block(trunk, name) for name in names]
    blocks = sorted((stage, block) for stage, block in places if block is not None)

    def layer(stage: float, block: int | None) -> tuple[float, int]:
        if block is not None or not blocks or stage < blocks[0][0] or stage == inf:
            return stage, block or 0
        return next((place for place in blocks if place[0] > stage), blocks[-1])

    layers = [*accumulate((layer(*place) for place in places), max)]
    number = {place: depth for depth, place in enumerate(sorted(set(layers)))}
    return {name: number[place] for name, place in zip(names, layers, strict=True)}


def _stage_and_block(trunk: nn.Module, name: str) -> tuple[float, int | None]:
    """Numbers of a parameter's stage and of its block there, if it lies in one.

    -1 in a stem or without a number, infinity in the classifier.
    """
    if name.startswith("classifier."):
        return inf, None
    if found := re.match(r"((?:features\.|layer)(\d+)\.(\d+))\.", name):
        is_block = any(trunk.get_submodule(found[1]).children())
        return int(found[2]), int(found[3]) if is_block else None
    stem = re.match(r"(conv|bn)1\.", name)
    number = re.search(r"\d+", name)
    return (int(number[0]) if number and not stem else -1), None


def scale_rates(optimizer: Optimizer, factor: float) -> None:
    """Set each group's learning rate to `factor` times the one that it was built with."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
