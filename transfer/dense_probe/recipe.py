"""How a linear layer is trained on frozen patch features: the options of `dense-probe`."""

from typing import ClassVar

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cebench.config import TrainingRecipe
from cebench.training.options import PrecisionOptions, RateSchedule

from ..segmentation.recipe import TrainData


class DenseProbeRecipe(TrainingRecipe, RateSchedule, PrecisionOptions):
    """Which images, at which size, and how the layer is trained (protocol ledger: dense probe)."""

    # The images are part of the data's fingerprint.
    excluded_from_hash: ClassVar[frozenset[str]] = TrainingRecipe.excluded_from_hash | {
        "year",
        "train_set",
        "test_set",
        "test_images",
    }

    year: int = 2012
    """VOC year."""
    train_data: TrainData = "voc"
    """`voc`; `aug`, with labels of SegmentationClassAug first; or `sbd` for the Semantic Boundaries
    Dataset."""
    train_set: str = "train"
    """Image set that is learned from, or the path of a list."""
    test_set: str = "val"
    """VOC image set that is scored, or the path of a list."""
    test_images: NonNegativeInt = 0
    """Images of the test set that are scored, evenly spaced in its list; 0: all."""
    short_side: PositiveInt = 448
    """Pixels of the shorter side that the network sees. Labels are scored at their own size."""
    patches_per_step: PositiveInt = 4096
    """Patches of the train images that a step looks at."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate of AdamW."""
    weight_decay: NonNegativeFloat = 1e-4
    """Decoupled weight decay of the layer's weights."""

    @property
    def variant(self) -> str:
        """Another size of image is another protocol."""
        return f"{self.short_side}px"
