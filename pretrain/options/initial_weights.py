"""The options of `kmeans-init`, `random` and `random-he`, which take no step of training."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from cebench.config import Recipe

SIDE = 227


class KmeansInitRecipe(Recipe):
    """How the trunk is drawn (protocol ledger: data-dependent initialisation)."""

    filters: Literal["kmeans", "pca"] = "kmeans"
    """Centres of k-means on whitened patches, or their principal directions."""
    steps: PositiveInt = 10
    """Batches of images that the layers are made of."""
    batch_size: PositiveInt = 16
    """Images in each."""
    mean_output: PositiveFloat = 0.1
    """Mean of each channel before its ReLU; its deviation is 1."""
    balance: bool = True
    """Whether the layers are then scaled until their gradients have one relative size."""
    short_side: int = Field(default=256, ge=SIDE)
    """Pixels of the shorter image side before images are squashed to 227 x 227."""
    voc_image_set: str = "train"
    """Image set taken from a VOC year folder given as --data."""


class RandomRecipe(Recipe):
    """No options: the seed alone determines the trunk."""
