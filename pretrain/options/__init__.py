"""The recipe class of every method; imports no PyTorch, so that mistakes are told at once."""

from cebench.config import Recipe

from .context_gan import ContextGanRecipe
from .egomotion import EgomotionRecipe
from .imagenet import ImagenetRecipe
from .initial_weights import KmeansInitRecipe, RandomHeRecipe, RandomRecipe
from .motion import MotionRecipe
from .reconstruction import AutoencoderRecipe, ContextRecipe, DenoisingRecipe
from .relative_context import RelativeContextRecipe

RECIPES: dict[str, type[Recipe]] = {
    "context": ContextRecipe,
    "context-gan": ContextGanRecipe,
    "autoencoder": AutoencoderRecipe,
    "denoising-autoencoder": DenoisingRecipe,
    "imagenet": ImagenetRecipe,
    "relative-context": RelativeContextRecipe,
    "motion": MotionRecipe,
    "egomotion": EgomotionRecipe,
    "kmeans-init": KmeansInitRecipe,
    "random": RandomRecipe,
    "random-he": RandomHeRecipe,
}
