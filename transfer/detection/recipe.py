"""How Fast R-CNN is trained and scored: the options of `detection`."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from cebench.config import TrainingRecipe
from cebench.data.proposals.selective_search import MIN_SIDE
from cebench.models.options import HeadInit, RandomFrom, RoiPooling
from cebench.training.options import FineTuningOptions, PrecisionOptions

from ..options import check_head_init

Caps = Literal["original", "py-faster-rcnn"]
Scales = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class DetectionRecipe(TrainingRecipe, FineTuningOptions, PrecisionOptions):
    """How Fast R-CNN is trained and scored (protocol ledger: detection)."""

    # Images and boxes are part of the data's fingerprint, wherever their files lie.
    excluded_from_hash: ClassVar[frozenset[str]] = TrainingRecipe.excluded_from_hash | {
        "year",
        "train_set",
        "test_set",
        "train_images",
        "test_images",
        "proposals",
        "proposal_max_side",
        "proposal_min_side",
        "pictures",
    }

    year: int = 2007
    """VOC year."""
    train_set: str
    """Image set that is learned from, or the path of a list."""
    test_set: str
    """Image set that is scored, or the path of a list."""
    train_images: NonNegativeInt = 0
    """Images taken from the train set by a rule that knows no seed; 0 takes all."""
    test_images: NonNegativeInt = 0
    """Images taken from the test set, by the same rule."""
    proposals: str = "fast"
    """Mode of Selective Search, `fast` or `quality`: the boxes lie beside the run directory, in
    proposals-<hash>.safetensors, so that the runs of one folder compute them once. Or the path of
    a file of `cebench data proposals`."""
    proposal_max_side: NonNegativeInt = 0
    """Longer image side in pixels that Selective Search sees; 0 leaves images as they are."""
    proposal_min_side: PositiveInt = MIN_SIDE
    """Smallest side of a proposal in pixels of the image that Selective Search sees."""
    max_proposals: NonNegativeInt = 0
    """Proposals per image that are used: the first, which are Selective Search's largest; 0 uses
    all."""
    scales: Scales = (600,)
    """Shorter image side in pixels that is learned from; of several, an image draws one."""
    max_side: PositiveInt = 1000
    """Longer side that it never exceeds."""
    test_scales: Scales = (600,)
    """Shorter side that is scored; of several, each region is computed at the one where its area
    is closest to 224 x 224."""
    test_max_side: PositiveInt = 1000
    """Longer side that it never exceeds."""
    images_per_step: PositiveInt = 2
    """Images per step."""
    rois_per_image: PositiveInt = 64
    """Regions per image and step, at most a quarter of them objects."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate of SGD at the first step; biases learn twice as fast."""
    tenth_every: PositiveInt = 30_000
    """Steps after which the learning rate falls to a tenth."""
    conv1_padding: NonNegativeInt = 5
    """5 in Fast R-CNN's network, 0 in the one that was pretrained."""
    random_from: RandomFrom = "pool5"
    """Which layers are drawn anew: fc6, fc7 and the outputs (`pool5`), or the outputs alone
    (`drop7`: the weights bring fc6 and fc7, as ImageNet's do in the original)."""
    head_init: HeadInit = "caffenet"
    """Initial fc6 and fc7: `caffenet`, N(0, 0.005), biases 1; `voc-classification`, N(0, 0.01),
    biases 0.1; `he`, He's normals without biases; `data`, these scaled so that each unit has mean 0
    and variance 1 on training regions."""
    roi_pooling: RoiPooling = "max"
    """How regions are pooled: `max`, the original's, corners rounded; `align`, RoIAlign."""
    train_conv1: bool = True
    """The original freezes conv1, which presumes that ImageNet labels trained it. Of another
    library's network it is the first convolution."""
    train_batch_norm: bool = False
    """Whether batch normalisation of another library's network is trained; else its statistics
    and scales stay as the weights brought them."""
    train_difficult: bool = True
    """Whether difficult objects are learned from: fast-rcnn does, py-faster-rcnn does not."""
    caps: Caps = "original"
    """Limits at test time. original: per class 100 per image and 40 times the images over the set,
    then suppression; py-faster-rcnn: scores above 0.05, suppression, 100 per image."""
    pictures: PositiveInt = 9
    """Test images drawn in samples/: the best, the middle ones and the worst."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        usual = type(self).model_fields["head_init"].default
        check_head_init(self.random_from, self.head_init, usual)
        return self
