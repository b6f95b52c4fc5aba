"""How a linear layer is trained on frozen patch features: the options of `dense-probe`."""

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from cebench.config import TrainingRecipe
from cebench.training.options import PrecisionOptions, RateSchedule

from ..segmentation.recipe import SegmentationSetsRecipe


class DenseProbeRecipe(SegmentationSetsRecipe, TrainingRecipe, RateSchedule, PrecisionOptions):
    """Which images, at which size, and how the layer is trained (protocol ledger: dense probe)."""

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
