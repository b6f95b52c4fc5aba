"""Which layer, how many neighbours and how sharply they vote: the options of `knn`."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from ..options import AllDifferent, FrozenFeaturesRecipe

NEIGHBOURS = (5, 10, 20, 50, 100, 200)
TEMPERATURES = (0.02, 0.07, 0.2, 1.0)


class KnnRecipe(FrozenFeaturesRecipe):
    """Which layer, and what is chosen from (protocol ledger: frozen features)."""

    layer: str = "pool5"
    """Layer of the backbone, such as conv4."""
    neighbours: Annotated[tuple[PositiveInt, ...], AllDifferent] = Field(NEIGHBOURS, min_length=1)
    """From which the number of neighbours is taken, by leave-one-out on the train set."""
    temperatures: Annotated[tuple[PositiveFloat, ...], AllDifferent] = Field(
        TEMPERATURES, min_length=1
    )
    """From which the temperature of the votes is taken with it; a smaller one trusts the nearest
    neighbours more."""

    @property
    def variant(self) -> str:
        """Another layer is another protocol."""
        return "-".join(part for part in (self.layer, super().variant) if part)
