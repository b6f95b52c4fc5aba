"""The options of `imagenet`."""

from typing import Annotated, Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from cebench.config import OrNone
from cebench.training.options import RateSchedule, SgdOptions

from .shared import TrunkRecipe


class ImagenetRecipe(TrunkRecipe, SgdOptions, RateSchedule):
    """How the classifier trains (protocol ledger: ImageNet labels).

    The defaults are the reference net's; the other values are for few images and steps.
    """

    side: Literal[115, 227] = 227
    """Pixels of the square crops; the reference net's are 227. The trunk's tensors are the same."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """`sgd`: Caffe's, with `momentum`; `adamw`: Adam (0.9, 0.999) with decoupled weight decay."""
    tenth_every: Annotated[PositiveInt | None, OrNone] = None
    """Steps after which the learning rate falls to a tenth; `none`: never."""
    short_side: int = 256
    """Pixels of the shorter image side before a random crop, at least `side`."""
    init: Literal["caffenet", "he"] = "caffenet"
    """Initial weights; `he`: He's normals, biases 0, for few classes and steps."""
    units: PositiveInt = 4096
    """Units of fc6 and of fc7."""
    batch_norm: bool = False
    """Whether each convolution is batch-normalised before its ReLU; folded into the weights."""
    input_divisor: PositiveFloat = 1
    """What conv1's input in 0..255 is divided by in training; folded into the weights."""
    held_out_images: PositiveInt
    """Images kept out of training, at most half of all, on whose central crops top-1 and top-5 are
    measured: at the end and at `samples_at`."""

    @model_validator(mode="after")
    def _crops_fit(self) -> "ImagenetRecipe":
        if self.short_side < self.side:
            raise ValueError(f"short_side={self.short_side} is less than side={self.side}")
        return self
