"""The options of `egomotion`."""

import math
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from cebench.config import OrNone
from cebench.data.poses import window_side
from cebench.training.options import RateSchedule, SgdOptions

from .shared import TrunkRecipe


class EgomotionRecipe(TrunkRecipe, SgdOptions, RateSchedule):
    """How the siamese network trains (protocol ledger: egomotion)."""

    source: Literal["kitti", "single-images"] = "kitti"
    """Frames with camera poses, or two views of one image with a known shift and turn."""
    batch_size: PositiveInt
    """Pairs of images per step, those of all processes together."""
    objective: Literal["motion", "slowness"] = "motion"
    """Classes of the motion, or the source's baseline: frames close in time look alike."""
    side: Literal[115, 227] = 227
    """Pixels of the square crops; the trunk's tensors are the same."""
    short_side: int = 376
    """Pixels of the shorter image side; KITTI's frames have 370 to 376."""
    most_frames: PositiveInt = 7
    """Largest distance of two frames."""
    frame: Literal["sequence", "camera"] = "sequence"
    """Axes of the translation: the first frame's of the sequence, as in the source, or those of
    the first camera of the pair."""
    most_shift: PositiveFloat = 24
    """Largest shift between two views of a single image along an axis, in pixels."""
    most_turn_degrees: float = Field(default=30, gt=0, le=90)
    """Largest turn between two views of a single image."""
    shift_classes: PositiveInt = 7
    """Parts of the range of a shift."""
    turn_classes: PositiveInt = 20
    """Parts of the range of the turn."""
    margin: PositiveFloat = 10
    """Margin of slowness's contrastive loss."""
    init: Literal["caffenet", "he"] = "caffenet"
    """Initial weights; `he`: He's normals, biases 0."""
    batch_norm: bool = False
    """Whether each convolution, also the head's, is batch-normalised before its ReLU; folded into
    the weights."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of the head's 500 units that a step leaves out."""
    input_divisor: PositiveFloat = 1
    """What conv1's input in 0..255 is divided by in training; folded into the weights."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """The source has SGD; AdamW (0.9, 0.999) learns in fewer steps."""
    halve_every: Annotated[PositiveInt | None, OrNone] = None
    """Steps after which the learning rate is halved; `none`: never."""
    held_out_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of each clip's frames, the last ones, that are held out without sequences 06 and 09."""
    held_out_pairs: PositiveInt = 1000
    """Pairs on which accuracy is measured."""

    @model_validator(mode="after")
    def _options_agree(self) -> "EgomotionRecipe":
        if self.objective == "slowness" and self.source != "kitti":
            raise ValueError("objective=slowness needs source=kitti: single images have no time")
        if self.source == "single-images" and not self.held_out_images:
            raise ValueError("held_out_images must be positive: egomotion measures on them")
        if self.batch_norm and self.side == 115 and self.batch_size == 1:
            raise ValueError("batch_norm=true needs two pairs in a batch at side=115")
        if self.short_side < self.window:
            raise ValueError(
                f"short_side={self.short_side} is less than the {self.window} pixels that "
                f"source={self.source} needs for side={self.side}"
            )
        return self

    @property
    def window(self) -> int:
        """Pixels of the square that a pair is cut from."""
        if self.source == "kitti":
            return self.side
        # Each of the two views has half of the shift and half of the turn.
        most_turn = math.radians(self.most_turn_degrees / 2)
        return window_side(self.side, self.most_shift / 2, most_turn)
