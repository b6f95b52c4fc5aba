"""The options of `motion`."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from cebench.config import OrNone
from cebench.training.options import RateSchedule, SgdOptions

from .shared import TrunkRecipe


class MotionRecipe(TrunkRecipe, SgdOptions, RateSchedule):
    """How the ranking network trains (protocol ledger: motion)."""

    side: Literal[115, 227] = 227
    """Pixels to which patches are resized; the trunk's tensors are the same."""
    units: PositiveInt = 4096
    """Units of fc6."""
    descriptor: PositiveInt = 1024
    """Units of fc7: the numbers that are compared."""
    margin: PositiveFloat = 1
    """Margin of the ranking loss on D = -cosine: 1 in the released code, 0.5 in the paper."""
    negatives: PositiveInt = 4
    """Other patches that each pair is held against, at most."""
    hard_share: float = Field(default=0.5, ge=0, le=1)
    """Share of them that are hard, once `random_steps` are over."""
    random_steps: NonNegativeInt = 0
    """Steps at the start whose negatives are all random."""
    tenth_every: Annotated[PositiveInt | None, OrNone] = None
    """Steps after which the learning rate falls to a tenth; `none`: never."""
    init: Literal["caffenet", "he"] = "caffenet"
    """Initial weights; `he`: He's normals, biases 0."""
    batch_norm: bool = False
    """Whether each convolution is batch-normalised before its ReLU; folded into the weights."""
    input_divisor: PositiveFloat = 1
    """What conv1's input in 0..255 is divided by in training; folded into the weights."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """The source has SGD; AdamW (0.9, 0.999) learns in fewer steps."""
    held_out_pairs: PositiveInt = 100
    """The last pairs of the list, which are not learned from; at most half of all."""

    @model_validator(mode="after")
    def _batch_is_of_pairs(self) -> "MotionRecipe":
        if self.batch_size % 2 or self.batch_size < 4:
            raise ValueError(f"batch_size={self.batch_size}: needs two images for each of 2+ pairs")
        if self.compile:
            raise ValueError("compile=true is not offered: the loss gathers all processes' rows")
        return self
