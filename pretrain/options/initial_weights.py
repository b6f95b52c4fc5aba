"""The options of `kmeans-init`, `random` and `random-he`, which take no step of training."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

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
    """The seed and the network determine the trunk."""

    excluded_from_hash: ClassVar[frozenset[str]] = Recipe.excluded_from_hash | {"network"}
    """The weights' architecture, which says the same, belongs to the identity of every number."""

    network: str = "caffenet"
    """Whose initial weights: caffenet, caffenet-nogroups, torchvision/NAME or timm/NAME, which
    draws them as its library does."""

    @field_validator("network")
    @classmethod
    def _is_known(cls, network: str) -> str:
        library, slash, name = network.partition("/")
        if network not in ("caffenet", "caffenet-nogroups") and not (
            slash and name and library in ("torchvision", "timm")
        ):
            raise ValueError("expected caffenet, caffenet-nogroups, torchvision/NAME or timm/NAME")
        return network


class RandomHeRecipe(Recipe):
    """No options: the seed alone determines the trunk."""
