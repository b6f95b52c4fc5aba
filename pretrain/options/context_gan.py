"""The options of `context-gan`."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from cebench.data.hole_kinds import Mask
from cebench.models.options import BOTTLENECK
from cebench.training.options import RateSchedule

from .shared import PretrainingRecipe


class ContextGanRecipe(PretrainingRecipe, RateSchedule):
    """How the inpainting model trains (protocol ledger: inpainting model).

    `learning_rate` is the discriminator's; both networks' rates rise and fall together.
    """

    batch_size: int = Field(ge=2)
    """Images per step, those of all processes together; the bottleneck is normalised over them."""
    objective: Literal["joint", "l2", "adversarial"] = "joint"
    """Reconstruction and adversary together, or one of them alone (figure 6)."""
    generator_rate_factor: PositiveFloat = 10
    """The generator's learning rate over the discriminator's; the released code has 1 where
    either objective is alone."""
    region: Literal["center", "image"] = "center"
    """What is predicted: the central half of the image's side, or the whole image."""
    mask: Mask = "central"
    """Which pixels are missing; other than central only with region `image`."""
    region_image_set: str = "train"
    """Segmentation image set of --region-shapes whose silhouettes shape the random regions."""
    overlap: int = Field(default=4, ge=0, lt=32)
    """Pixels by which the predicted square exceeds the central hole on each side."""
    visible_weight: PositiveFloat = 10
    """Weight of predicted pixels that the network sees, against 1 of missing ones, in the
    reconstruction loss; the released code has 10 for the centre and 1 for the whole image."""
    side: Literal[64, 128] = 128
    """Pixels of the square crop that the network sees."""
    bottleneck: PositiveInt = BOTTLENECK
    """Units between encoder and decoder."""
    short_side: int = Field(default=350, ge=64)
    """Pixels of the shorter image side before the random crop; near `side`, whole views."""
    more_short_sides: tuple[int, ...] = ()
    """Further sizes of the images; each crop is taken at one of all, drawn uniformly. The released
    code has one. Needs image files, not a packed store."""
    average_decay: float = Field(default=0, ge=0, lt=1)
    """Share that a step keeps of the running average of the generator's weights, which is what is
    written; 0: the weights of the last step, as in the released code."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> "ContextGanRecipe":
        for name, short_side in (
            ("short_side", self.short_side),
            *(("more_short_sides", short_side) for short_side in self.more_short_sides),
        ):
            if short_side < self.side:
                raise ValueError(f"{name}={short_side} is less than side={self.side}")
        if self.region == "center" and (self.side, self.mask) != (128, "central"):
            raise ValueError("region=center needs side=128 and mask=central; set region=image")
        if self.mask == "central" and self.hole_side <= 0:
            raise ValueError(
                f"overlap={self.overlap} leaves no central hole: less than {self.side // 4} does "
                f"with side={self.side}"
            )
        return self

    @property
    def hole_side(self) -> int:
        """Pixels of the central hole."""
        return self.side // 2 - 2 * self.overlap
