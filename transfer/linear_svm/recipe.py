"""Which layers are measured and how the SVMs are chosen: the options of `linear-svm`."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from cebench.training.options import PrecisionOptions

from ..frozen_features import COSTS, AllDifferent
from ..labelled_images import ImageSetsRecipe


class LinearSvmRecipe(ImageSetsRecipe, PrecisionOptions):
    """Which layers, and how the SVMs are chosen (protocol ledger: linear classification)."""

    layers: Annotated[tuple[str, ...], AllDifferent] = ()
    """Layers of the backbone, such as conv4; all that it has if empty."""
    short_side: PositiveInt = 256
    """Images are resized to this shorter side; their central square is what the network sees."""
    costs: Annotated[tuple[PositiveFloat, ...], AllDifferent] = Field(COSTS, min_length=1)
    """From which each class takes its own, by cross-validation on the train set."""
    folds: int = Field(3, ge=2)
    """Folds of the cross-validation."""
