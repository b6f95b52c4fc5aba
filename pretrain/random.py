"""`random` and `random-he`: no pretraining, the trunk as its initialisation draws it.

`random` is Table 2's row, CaffeNet's fillers. `random-he` is the trunk that the reconstruction
methods start from: what they add to it, they have learned.
"""

from typing import Literal

import torch

from cebench.config import Recipe
from cebench.models.caffenet import CaffeNetTrunk, he_weights
from cebench.randomness import torch_seed
from cebench.weights.files import random_weights

from .run_context import Pretrained, RunContext


class RandomRecipe(Recipe):
    """How the trunk is drawn."""

    init: Literal["caffenet", "he"] = "caffenet"
    """`caffenet`: the reference net's fillers; `he`: He's normal weights, biases 0."""


def pretrain(recipe: RandomRecipe, run_context: RunContext) -> Pretrained:
    """Draw the trunk from the seed."""
    trunk = random_weights(run_context.seed).tensors
    if recipe.init == "he":
        generator = torch.Generator().manual_seed(torch_seed(run_context.seed, "random-he"))
        network = CaffeNetTrunk()
        he_weights(network, generator)
        trunk = network.state_dict()
    return Pretrained(
        trunk=trunk, model=None, images=0, data_fingerprint="none", steps=0, seconds=0.0
    )
