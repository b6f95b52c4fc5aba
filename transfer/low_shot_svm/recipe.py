"""Which layer, how many positives and how many draws: the options of `low-shot-svm`."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from cebench.training.options import PrecisionOptions

from ..frozen_features import COSTS, AllDifferent
from ..labelled_images import ImageSetsRecipe

SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)


class LowShotSvmRecipe(ImageSetsRecipe, PrecisionOptions):
    """Which layer, how many positives, how many draws (protocol ledger: linear classification)."""

    layer: str = "pool5"
    """Layer of the backbone, such as conv4."""
    shots: Annotated[tuple[PositiveInt, ...], AllDifferent] = Field(SHOTS, min_length=1)
    """Positives per class; 19 times as many negatives are drawn with them."""
    draws: int = Field(5, ge=2)
    """Independent draws, of which mean and sample deviation are taken."""
    short_side: PositiveInt = 256
    """Images are resized to this shorter side; their central square is what the network sees."""
    costs: Annotated[tuple[PositiveFloat, ...], AllDifferent] = Field(COSTS, min_length=1)
    """From which each number of shots takes its own, by cross-validation on the drawn images."""
    folds: int = Field(3, ge=2)
    """Folds of the cross-validation; a single shot has none and takes the largest cost."""

    @property
    def variant(self) -> str:
        """Another layer is another protocol."""
        return "-".join(part for part in (self.layer, super().variant) if part)
