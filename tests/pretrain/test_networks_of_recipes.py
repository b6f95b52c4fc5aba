"""Every option of a recipe that is about its network reaches the network."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from cebench.config import load_recipe
from cebench.pretrain import egomotion, imagenet, motion, reconstruction, relative_context
from cebench.pretrain.options import RECIPES

NETWORKS: dict[str, Callable[[Any, torch.Generator], nn.Module]] = {
    "context": reconstruction.network_of,
    "imagenet": lambda recipe, generator: imagenet.network_of(recipe, 5, generator),
    "relative-context": relative_context.network_of,
    "motion": motion.network_of,
    "egomotion": lambda recipe, generator: egomotion.network_of(recipe, (4, 4, 4), generator),
}
OF_NETWORKS = {
    "context": (
        *("mixing_kernel=3", "encoder_init=caffenet", "up_kernel=3", "pooling=none", "side=115"),
        *("residual=none", "batch_norm=none", "batch_norm=encoder", "input_divisor=1"),
    ),
    "imagenet": ("side=115", "units=16", "init=he", "batch_norm=true", "input_divisor=3"),
    "relative-context": ("units=16", "batch_norm=true", "input_divisor=3"),
    "motion": (
        *("side=115", "units=16", "descriptor=8", "init=he", "batch_norm=true"),
        "input_divisor=3",
    ),
    "egomotion": ("init=he", "batch_norm=true", "input_divisor=3", "dropout=0.25"),
}
"""Method -> an option of its network each, away from what its recipe `paper` has."""


SMALL = dict.fromkeys(("imagenet", "relative-context", "motion"), ("units=8",))


def described(method: str, *changes: str) -> tuple[object, ...]:
    """All that tells two networks apart: layers, numbers, and what the modules were told."""
    changes = (*SMALL.get(method, ()), *changes)
    recipe, _ = load_recipe(RECIPES[method], "cebench.pretrain", method, "paper", changes)
    network = NETWORKS[method](recipe, torch.Generator().manual_seed(0))
    told = [
        (name, key, value)
        for name, module in network.named_modules()
        for key, value in sorted(vars(module).items())
        if isinstance(value, str | int | float)
    ]
    state = {name: (v.shape, v.double().sum().item()) for name, v in network.state_dict().items()}
    return repr(network), told, state


@pytest.mark.parametrize(
    ("method", "change"), [(m, change) for m, all_ in OF_NETWORKS.items() for change in all_]
)
def test_an_option_of_the_network_reaches_it(method: str, change: str) -> None:
    assert described(method) != described(method, change)


@pytest.mark.parametrize("method", list(NETWORKS))
def test_a_recipe_and_a_seed_give_one_network(method: str) -> None:
    assert described(method) == described(method)
