"""Which layer, how many positives and how many draws: the options of `low-shot-svm`."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from ..options import AllDifferent, SvmRecipe

Shots = Literal[1, 2, 4, 8, 16, 32, 64, 96]
"""What the table has columns for: numbers of others could not be reported."""
SHOTS: tuple[Shots, ...] = get_args(Shots)


class LowShotSvmRecipe(SvmRecipe):
    """Which layer, how many positives, how many draws (protocol ledger: frozen features)."""

    layer: str = "pool5"
    """Layer of the backbone, such as conv4."""
    shots: Annotated[tuple[Shots, ...], AllDifferent] = Field(SHOTS, min_length=1)
    """Positives per class; 19 times as many negatives are drawn with them."""
    draws: int = Field(5, ge=2)
    """Independent draws, of which mean and sample deviation are taken."""

    @property
    def variant(self) -> str:
        """Another layer is another protocol."""
        return "-".join(part for part in (self.layer, super().variant) if part)
