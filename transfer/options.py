"""Groups of options that several tasks share; imports no PyTorch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from cebench.config import Recipe
from cebench.models.options import Averaging, HeadInit, Pooling, RandomFrom
from cebench.training.options import PrecisionOptions

Geometry = Literal["squash", "central-square", "library"]
COSTS = (*(10.0**n for n in range(-7, 3)), *(0.5**n for n in range(4, 20)))
"""The benchmark's, in its order: what its command line names, then the powers of a half that
svm_helper.py adds."""


def _all_different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("one of them is named twice")
    return values


AllDifferent = AfterValidator(_all_different)
"""Validator of a recipe's tuple: each value is a file of predictions, or a fit, of its own."""


def check_head_init(random_from: RandomFrom, head_init: HeadInit, usual: HeadInit) -> None:
    """ValueError where fc6 and fc7 of the weights would be scaled to data; usual: the task's."""
    if random_from == "drop7" and head_init == "data":
        raise ValueError(f"random_from=drop7 draws no fc6 and fc7; give head_init={usual}")


class ImageSetsRecipe(Recipe):
    """Which images are learned from and which are scored."""

    # The images are part of the data's fingerprint.
    excluded_from_hash: ClassVar[frozenset[str]] = Recipe.excluded_from_hash | {
        "year",
        "train_set",
        "test_set",
    }

    year: int = 2007
    """VOC year."""
    train_set: str
    """Image set that is learned from, or the path of a list."""
    test_set: str
    """Image set that is scored."""

    @property
    def variant(self) -> str:
        """Another year's images are another protocol's."""
        return "" if self.year == 2007 else f"voc{self.year}"


class FrozenFeaturesRecipe(ImageSetsRecipe, PrecisionOptions):
    """What is taken of an image (protocol ledger: frozen features)."""

    geometry: Geometry = "squash"
    """`squash`: the whole image as a square, whatever its aspect; `central-square` of it;
    `library`: resized and cropped as timm's or torchvision's own evaluation does it."""
    short_side: PositiveInt = 256
    """Images are resized to this shorter side before; `library` has its own."""
    pooling: Pooling = "network"
    """Features (`pool5`) of a transformer of timm: what its own classifier takes; the class
    `token`; the `mean` of the patches; or `both`, one behind the other."""
    averaging: Averaging = "windows"
    """How a layer is averaged to about 9,000 numbers: the benchmark's overlapping `windows` where
    it has some for the network, `adaptive` windows side by side elsewhere or for all."""

    @property
    def variant(self) -> str:
        """Another geometry, averaging or pooling is another protocol."""
        parts = (
            {"squash": "", "central-square": "central"}.get(self.geometry, self.geometry),
            "adaptive" if self.averaging == "adaptive" else "",
            "" if self.pooling == "network" else f"{self.pooling}-pooling",
            super().variant,
        )
        return "-".join(part for part in parts if part)


class SvmRecipe(FrozenFeaturesRecipe):
    """How the SVMs are chosen (protocol ledger: frozen features)."""

    costs: Annotated[tuple[PositiveFloat, ...], AllDifferent] = Field(COSTS, min_length=1)
    """From which one is taken by cross-validation on the train set; the first of equals."""
    folds: int = Field(3, ge=2)
    """Folds of the cross-validation; what has none, a single positive, takes the largest cost."""

    @property
    def variant(self) -> str:
        """Other costs are another protocol."""
        costs = "" if set(self.costs) == set(COSTS) else f"{len(self.costs)}-costs"
        return "-".join(part for part in (costs, super().variant) if part)
