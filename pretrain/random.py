"""`random` and `random-he`: no pretraining, the trunk with its initial weights.

`random` is Table 2's row, CaffeNet's fillers. `random-he` has the weights that the reconstruction
methods start from: what they add to it, they have learned. `random` of another library's network
is the control for weights that were imported into it.
"""

from functools import partial

import torch

from cebench.models.backbones import (
    CAFFENET_WITHOUT_GROUPS,
    build_backbone,
    build_trunk,
    is_foreign,
)
from cebench.models.caffenet import he_weights
from cebench.randomness import torch_seed
from cebench.weights.descriptions import Description
from cebench.weights.files import random_weights
from cebench.weights.foreign_pixels import preprocessing_of

from .options.initial_weights import RandomHeRecipe, RandomRecipe
from .run_context import DataOptions, Inputs, Pretrained, RunContext

UNTRAINED = partial(Pretrained, model=None, images=0, data_fingerprint="none", steps=0, seconds=0.0)
"""What needs its trunk alone."""


def inputs(recipe: RandomRecipe | RandomHeRecipe, given: DataOptions) -> Inputs:
    """Nothing is read; InputError where the library is absent or has no such classifier."""
    if isinstance(recipe, RandomRecipe) and is_foreign(recipe.network):
        build_backbone(recipe.network)
    return Inputs(files=(), count=0, learned_from=0, bytes=0, fingerprint=lambda: "none")


def pretrain(recipe: RandomRecipe, run_context: RunContext) -> Pretrained:
    """The trunk of `seed`: CaffeNet's is that of `--weights random`, others their library's.

    InputError where the library is absent or has no such classifier.
    """
    if recipe.network == "caffenet":
        return UNTRAINED(trunk=random_weights(run_context.seed).tensors)
    seed = torch_seed(run_context.seed, "random-trunk")
    if not is_foreign(recipe.network):
        generator = torch.Generator().manual_seed(seed)
        trunk = build_trunk(CAFFENET_WITHOUT_GROUPS, generator)
        return UNTRAINED(trunk=trunk.state_dict(), trunk_architecture=CAFFENET_WITHOUT_GROUPS)
    backbone = build_backbone(recipe.network, seed=seed)
    return UNTRAINED(
        trunk=backbone.trunk.state_dict(),
        trunk_architecture=backbone.architecture,
        trunk_preprocessing=preprocessing_of(Description(), backbone),
    )


def pretrain_he(recipe: RandomHeRecipe, run_context: RunContext) -> Pretrained:
    """The trunk of `seed` with He's normal weights and biases of 0."""
    trunk = build_trunk()
    generator = torch.Generator().manual_seed(torch_seed(run_context.seed, "random-he"))
    he_weights(trunk, generator)
    return UNTRAINED(trunk=trunk.state_dict())
