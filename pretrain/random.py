"""`random` and `random-he`: no pretraining, the trunk with its initial weights.

`random` is Table 2's row, CaffeNet's fillers. `random-he` has the weights that the reconstruction
methods start from: what they add to it, they have learned.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from cebench.models.backbones import build_trunk
from cebench.models.caffenet import he_weights
from cebench.randomness import torch_seed
from cebench.weights.files import random_weights

from .options.initial_weights import RandomRecipe
from .run_context import DataOptions, Inputs, Pretrained, RunContext


def inputs(recipe: RandomRecipe, given: DataOptions) -> Inputs:
    """Nothing is read."""
    return Inputs(files=(), count=0, bytes=0, fingerprint=lambda: "none")


def pretrain(recipe: RandomRecipe, run_context: RunContext) -> Pretrained:
    """The trunk of `seed` with CaffeNet's fillers, that of `--weights random`."""
    return _untrained(random_weights(run_context.seed).tensors)


def pretrain_he(recipe: RandomRecipe, run_context: RunContext) -> Pretrained:
    """The trunk of `seed` with He's normal weights and biases of 0."""
    trunk = build_trunk()
    generator = torch.Generator().manual_seed(torch_seed(run_context.seed, "random-he"))
    he_weights(trunk, generator)
    return _untrained(trunk.state_dict())


def _untrained(trunk: Mapping[str, Tensor]) -> Pretrained:
    return Pretrained(
        trunk=trunk, model=None, images=0, data_fingerprint="none", steps=0, seconds=0.0
    )
