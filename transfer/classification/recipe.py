"""How the classifier is fine-tuned and scored: the options of `classification`."""

from typing import Literal, Self

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from cebench.config import TrainingRecipe
from cebench.models.options import HeadInit, Part, Pooling, RandomFrom
from cebench.training.options import FineTuningOptions, PrecisionOptions

from ..options import ImageSetsRecipe, check_head_init

CropRule = Literal["scale", "area"]
"""`scale` is that of philkr/voc-classification, `area` that of deepcluster's port of it."""

SCALES = (0.5, 2.0)
"""The protocol's least and greatest number of source pixels per pixel of a crop."""


class ClassificationRecipe(ImageSetsRecipe, TrainingRecipe, FineTuningOptions, PrecisionOptions):
    """How the classifier is fine-tuned and scored (protocol ledger: classification)."""

    train_from: Part = "all"
    """What is trained: `all`, `fc6-8`, `fc8`, or `pool5`: fc8 alone, put directly on pool5."""
    random_from: RandomFrom = "pool5"
    """Which layers are drawn anew: fc6, fc7 and fc8, or fc8 alone (the weights bring fc6, fc7)."""
    head_init: HeadInit = "voc-classification"
    """Initial fc6 and fc7: `voc-classification`, N(0, 0.01) and biases of 0.1, the authors' code;
    `caffenet`, N(0, 0.005) and biases of 1; `he`, He's normals without biases; `data`, these scaled
    so that each unit has mean 0 and variance 1 on training crops."""
    pooling: Pooling = "network"
    """What fc8 takes of a transformer of timm: what its own classifier takes; the class `token`;
    the `mean` of the patches; or `both`, one behind the other."""
    batch_size: PositiveInt = 16
    """Crops per step."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate of SGD at the first step; biases learn twice as fast."""
    halve_every: PositiveInt = 10_000
    """Steps after which the learning rate is halved."""
    weight_decay: NonNegativeFloat = 1e-6
    """L2 penalty of weights and biases."""
    clip_gradients: PositiveFloat = 10.0
    """Greatest L2 norm of all gradients together."""
    crop_rule: CropRule = "scale"
    """`scale`: source pixels per pixel uniform; `area`: share of the image in 0.1 .. 0.5."""
    min_scale: PositiveFloat = SCALES[0]
    """Least number of source pixels per pixel of a crop."""
    max_scale: PositiveFloat = SCALES[1]
    """Greatest number of source pixels per pixel of a crop, where the image is large enough."""
    test_crops: PositiveInt = 10
    """Random crops per test image; their raw scores are added."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale={self.min_scale:g} exceeds max_scale={self.max_scale:g}")
        if self.random_from == "drop7" and self.train_from == "pool5":
            raise ValueError(
                "train_from=pool5 has no fc6 and fc7 that random_from=drop7 could take from the "
                "weights; leave random_from out"
            )
        usual = type(self).model_fields["head_init"].default
        check_head_init(self.random_from, self.head_init, usual)
        return self

    @property
    def column(self) -> str:
        """Where its numbers stand: only `all` is Table 2's."""
        return "classification" + ("" if self.train_from == "all" else f"_{self.train_from}")

    @property
    def variant(self) -> str:
        """What the protocol's name says of the options that make it another one."""
        usual_scales = self.crop_rule == "area" or (self.min_scale, self.max_scale) == SCALES
        parts = [
            super().variant,
            "" if self.train_from == "all" else self.train_from,
            "" if self.crop_rule == "scale" else f"{self.crop_rule}-rule",
            "" if usual_scales else f"scales-{self.min_scale:g}-{self.max_scale:g}",
            "" if self.pooling == "network" else f"{self.pooling}-pooling",
            f"{self.test_crops}-crops",
        ]
        return "-".join(part for part in parts if part)
