"""How FCN is fine-tuned and scored: the options of `segmentation`."""

from typing import ClassVar, Literal, Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from cebench.config import Recipe, TrainingRecipe
from cebench.models.options import HeadInit, RandomFrom, Stride
from cebench.training.options import ComputingOptions, FineTuningOptions

from ..options import check_head_init

TrainData = Literal["voc", "aug", "sbd"]


class SegmentationSetsRecipe(Recipe):
    """Which labelled images are learned from and scored."""

    # The images are part of the data's fingerprint.
    excluded_from_hash: ClassVar[frozenset[str]] = Recipe.excluded_from_hash | {
        "year",
        "train_set",
        "test_set",
        "test_images",
    }

    year: int = 2012
    """VOC year."""
    train_data: TrainData = "voc"
    """`voc`; `aug`, with labels of SegmentationClassAug first; or `sbd` for the Semantic Boundaries
    Dataset (benchmark_RELEASE), as in the paper."""
    train_set: str = "train"
    """Image set that is learned from, or the path of a list."""
    test_set: str = "val"
    """VOC image set that is scored, or the path of a list. Of no list file: `seg11valid`, VOC2011
    val without SBD train, the paper's; `val_without_sbd`, the given year's val without it."""
    test_images: NonNegativeInt = 0
    """Images of the test set that are scored, evenly spaced in its list; 0: all."""


class SegmentationRecipe(
    SegmentationSetsRecipe, TrainingRecipe, FineTuningOptions, ComputingOptions
):
    """How FCN is fine-tuned and scored (protocol ledger: segmentation)."""

    short_side: NonNegativeInt = 0
    """Pixels of the shorter side that the network sees; 0: images as stored, as in the original.
    Labels are scored at their own size always."""
    crop: NonNegativeInt = 0
    """Side of the random squares, mirrored half of the time, that are learned from; 0: whole
    images, as in the original."""
    size_multiple: PositiveInt = 1
    """Whole images are padded to a multiple of so many pixels, with the mean pixel to the right and
    below: few sizes for `compile`. 1: not at all, as in the original."""
    stride: Stride = 32
    """Pixels between two of the finest scores: 32 is FCN-32s, the original's only AlexNet. A ViT
    has the stride of its patches."""
    random_from: RandomFrom = "pool5"
    """Which layers are drawn anew: fc6, fc7 and the scores (`pool5`), or the scores alone (`drop7`:
    the weights bring fc6 and fc7, as ImageNet's do in the original)."""
    head_init: HeadInit = "caffenet"
    """Initial fc6 and fc7: `caffenet`, N(0, 0.005), biases 1; `voc-classification`, N(0, 0.01),
    biases 0.1; `he`, He's normals without biases; `data`, these scaled so that each unit has mean 0
    and variance 1 on training images."""
    train_batch_norm: bool = False
    """Whether batch normalisation of another library's network is trained; else its statistics
    and scales stay as the weights brought them."""
    accumulate: PositiveInt = 20
    """Images per step, which takes the mean of their gradients."""
    images_per_pass: PositiveInt = 1
    """Images of a step that are computed at once; more than one need a `crop`."""
    learning_rate: PositiveFloat = 1e-4
    """Learning rate of SGD at the first step; the score layers' biases learn twice as fast."""
    tenth_every: NonNegativeInt = 0
    """Steps after which the learning rate falls to a tenth; 0: never."""
    bias_multiplier: PositiveFloat = 1
    """Learning rate of the other layers' biases as a multiple of their weights'."""
    decay_biases: bool = True
    """Whether the other layers' biases decay; those of the score layers never do."""

    @property
    def variant(self) -> str:
        """What the protocol's name says of another network than the original's."""
        return "" if self.stride == 32 else f"{self.stride}s"

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        if self.compile and self.size_multiple == 1:
            raise ValueError("compile=true needs a size_multiple, e.g. 64: few sizes of image")
        if self.images_per_pass > 1 and not self.crop:
            raise ValueError("images_per_pass above 1 needs a crop: whole images differ in size")
        if self.accumulate % self.images_per_pass:
            raise ValueError(f"images_per_pass must divide accumulate={self.accumulate}")
        if self.crop > self.short_side > 0:
            raise ValueError(f"crop must be within short_side={self.short_side}")
        usual = type(self).model_fields["head_init"].default
        check_head_init(self.random_from, self.head_init, usual)
        return self
