"""`random`: no pretraining, the trunk as CaffeNet's fillers draw it."""

from cebench.config import Recipe
from cebench.weights.files import random_weights

from .run_context import Pretrained, RunContext


class RandomRecipe(Recipe):
    """Nothing to choose."""


def pretrain(recipe: RandomRecipe, run_context: RunContext) -> Pretrained:
    """Draw the trunk from the seed."""
    return Pretrained(
        trunk=random_weights(run_context.seed).tensors,
        model=None,
        images=0,
        data_fingerprint="none",
        steps=0,
        seconds=0.0,
    )
