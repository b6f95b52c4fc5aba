"""The options of `relative-context`."""

from typing import Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from cebench.data.patch_grids import GridLayout
from cebench.models.options import PATCH_CONV1_PADDING, pool5_side
from cebench.training.options import RateSchedule

from .shared import TrunkRecipe


class RelativeContextRecipe(TrunkRecipe, RateSchedule):
    """How the network of patch pairs trains (protocol ledger: relative context)."""

    short_side: int = Field(default=256, ge=32)
    """Pixels of the shorter side of the stored images, which patches are enlarged from."""
    patch_side: PositiveInt = 96
    """Pixels."""
    gap: NonNegativeInt = 48
    """Pixels between two neighbours of a grid."""
    jitter: NonNegativeInt = 7
    """Farthest that a patch moves from its place along each axis, in pixels."""
    fewest_pixels: PositiveInt = 150_000
    """Least size to which an image is resized."""
    most_pixels: PositiveInt = 450_000
    """Largest size to which an image is resized."""
    grids_per_image: PositiveInt = 4
    """Grids taken from an image each time it is seen, at one size."""
    colours: Literal["dropping", "projection", "none"] = "dropping"
    """Against chromatic aberration: two channels replaced by noise (the released code), or the
    green-magenta axis projected out (the paper's other way)."""
    reduced_share: float = Field(default=0.33, ge=0, le=1)
    """Share of the patches that are reduced to few pixels and enlarged again."""
    units: PositiveInt = 4096
    """Units of fc6, of fc7 and of fc8."""
    batch_norm: bool = False
    """Whether conv1 and conv2 are batch-normalised too, as the source's other convolutions are;
    folded into the weights."""
    input_divisor: PositiveFloat = 1
    """What conv1's input, of a root mean square of 50, is divided by in training; folded into the
    weights."""
    statistics: Literal["patches", "images"] = "patches"
    """What batch normalisation is folded with: the running statistics of patches, as in the source,
    or those of whole images of 227 px, which transfer shows the trunk: in the small maps of a patch
    more of what a convolution sees is padding."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """The released code has SGD; Adam (0.9, 0.999) learns within hours."""
    momentum: NonNegativeFloat = 0.0
    """Momentum of SGD: 0 in the released code, 0.999 in the paper."""
    loss: Literal["sum", "mean"] = "sum"
    """Whether the cross-entropies of a batch's pairs are added, as in the source, or averaged."""

    @model_validator(mode="after")
    def _sizes_agree(self) -> "RelativeContextRecipe":
        pool5_side(self.patch_side, PATCH_CONV1_PADDING)
        least = self.layout.fewest_pixels_with_pairs
        if not least <= self.fewest_pixels <= self.most_pixels:
            raise ValueError(
                f"fewest_pixels={self.fewest_pixels} must lie between {least}, where every grid "
                f"has a pair, and most_pixels={self.most_pixels}"
            )
        if self.rescale and self.short_side < self.patch_side:
            raise ValueError(
                f"rescale=true looks at squares of patch_side={self.patch_side} pixels; "
                f"short_side={self.short_side} is less"
            )
        if self.compile:
            raise ValueError("compile=true would translate every batch anew: grids differ in size")
        return self

    @property
    def layout(self) -> GridLayout:
        """Layout of the grids."""
        return GridLayout(self.patch_side, self.gap, self.jitter)
