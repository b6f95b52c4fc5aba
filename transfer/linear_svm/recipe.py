"""Which layers are measured and how the SVMs are chosen: the options of `linear-svm`."""

from typing import Annotated, ClassVar, Literal

from ..options import AllDifferent, SvmRecipe


class LinearSvmRecipe(SvmRecipe):
    """Which layers, and how the SVMs are chosen (protocol ledger: frozen features)."""

    # A layer's number is the same whichever others are measured.
    excluded_from_hash: ClassVar[frozenset[str]] = SvmRecipe.excluded_from_hash | {"layers"}

    layers: Annotated[tuple[str, ...], AllDifferent] = ()
    """Layers of the backbone, such as conv4; all that it has if empty."""
    difficult: Literal["absent", "ignored"] = "absent"
    """What images that show only difficult objects of a class are in its training; in its test
    they are ignored."""

    @property
    def variant(self) -> str:
        """Ignoring difficult objects in training is another protocol."""
        ignored = "" if self.difficult == "absent" else "ignored"
        return "-".join(part for part in (ignored, super().variant) if part)
