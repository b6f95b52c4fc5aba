"""The options of the context encoder and of the autoencoders, which have most in common."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from cebench.config import OrNone
from cebench.data.hole_kinds import BLOCK_SIDES, Mask
from cebench.models.options import PIXEL_DEVIATION, BatchNormPlaces
from cebench.training.options import RateSchedule

from .shared import TrunkRecipe


class ReconstructionRecipe(TrunkRecipe, RateSchedule):
    """How a reconstruction method trains, by Adam (protocol ledger: feature learning)."""

    side: Literal[115, 227] = 227
    """Pixels of the square crops; the paper's are 227. The trunk's tensors are the same with 115,
    the decoder ends at 33 px, and the loss compares it with the crop averaged to that size."""
    loss: Literal["l2", "l1"] = "l2"
    """The paper says L2; the author later said that the AlexNet model used L1."""
    short_side: int = 256
    """Pixels of the shorter image side before a random crop, at least `side`."""
    pooling: Literal["max", "none"] = "max"
    """`none`: strided convolutions instead (section 4), at 227 px; such an encoder does not
    transfer."""
    mixing_kernel: Literal[1, 3] = 1
    """Kernel of the stride-1 convolution behind the channel-wise layer; not stated."""
    up_kernel: Literal[3, 5] = 5
    """Kernel of the up-convolutions; not stated."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of Adam's first moment; not stated."""
    weight_decay: NonNegativeFloat = 1e-4
    """Share of a weight that each step takes off, times the learning rate (AdamW); biases and
    normalisations are left alone. Not stated."""
    encoder_init: Literal["he", "caffenet"] = "he"
    """Initial weights of the encoder; not stated. CaffeNet's fillers lose most units to Adam."""
    input_divisor: PositiveFloat = PIXEL_DEVIATION
    """What conv1's input in 0..255 is divided by in training; folded into the weights. Not stated;
    with 1, Adam changes conv1 twenty times as fast as the rest."""
    batch_norm: BatchNormPlaces = "encoder-decoder"
    """What is batch-normalised before its ReLUs; folded into the weights. Not stated; without it
    most of conv5 falls silent within the first steps."""
    encoder_rate: PositiveFloat = 0.2
    """The encoder's learning rate as a share of `learning_rate`, which is the decoder's; the paper
    states one rate, which is 1."""
    rescale: bool = True
    """Whether the layers of the trunk that is written are scaled until all would learn at one rate
    (Krähenbühl et al. 2016): batch normalisation leaves their scales free. Not stated."""
    residual: Literal["none", "mean-colour"] = "mean-colour"
    """What the decoder's output is added to: nothing, or the mean colour of the visible pixels, so
    that the encoder need not learn it first. Not stated."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> "ReconstructionRecipe":
        if self.short_side < self.side:
            raise ValueError(f"short_side={self.short_side} is less than side={self.side}")
        if self.pooling == "none" and self.side != 227:
            raise ValueError(f"pooling=none needs side=227, got {self.side}")
        if self.pooling == "none" and self.weights_at:
            raise ValueError("weights_at must be [] with pooling=none, which has no trunk to keep")
        return self


class ContextRecipe(ReconstructionRecipe):
    """How the context encoder trains."""

    mask: Mask
    """Which region is missing (section 3.3); Table 2 used random regions, the code noise."""
    central_side: Annotated[PositiveInt | None, OrNone] = None
    """Side of mask `central` in pixels; `none`: 99 of 227 or 51 of 115, what Table 1 hides."""
    block_sides: tuple[float, float] = BLOCK_SIDES
    """Least and largest side of a random block as a share of the image's; not stated."""
    block_overhang: bool = True
    """Whether random blocks may reach beyond the image, so that its border is missing as often as
    its middle."""
    region_image_set: str = "train"
    """Segmentation image set of --region-shapes whose silhouettes shape the random regions."""

    @model_validator(mode="after")
    def _holes_fit(self) -> "ContextRecipe":
        if self.central_side is not None and self.central_side >= self.side:
            raise ValueError(f"central_side={self.central_side} hides the whole of {self.side} px")
        # block_sides may stay where --set changes the mask of a recipe that has it.
        if self.central_side is not None and self.mask != "central":
            raise ValueError(
                f"central_side applies to mask=central only; leave it out with mask={self.mask}"
            )
        if not self.block_overhang and self.mask != "random-block":
            raise ValueError(
                "block_overhang applies to mask=random-block only; leave it out with "
                f"mask={self.mask}"
            )
        low, high = self.block_sides
        if not 0 < low <= high <= 0.5:
            raise ValueError(f"block_sides must be 0 < least <= largest <= 0.5, got {low}, {high}")
        return self


class AutoencoderRecipe(ReconstructionRecipe):
    """How the autoencoder trains: as the context encoder does, with nothing missing."""


class DenoisingRecipe(ReconstructionRecipe):
    """How the denoising autoencoder trains: as the autoencoder does, its input corrupted."""

    missing_share: float = Field(default=0.25, gt=0, lt=1)
    """Probability that a pixel is replaced by the mean pixel (masking noise)."""
