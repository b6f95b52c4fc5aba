"""`context`: the paper's pretext task, predicting a missing region from what surrounds it."""

from pydantic import PositiveInt, model_validator

from cebench.data.hole_masks import BLOCK_SIDES, Holes, RandomBlocks

from .holes import Mask, holes_of
from .reconstruction import ReconstructionRecipe, pretrain_by_reconstruction
from .run_context import Pretrained, RunContext

CENTRAL_HOLE_SIDES = {227: 99, 115: 51}
"""Image side -> side of the central hole. The paper's hole is half of the side (section 3.3) less
the 7 pixels by which the prediction overlaps it: rows 64 to 162 of 227, as Table 1 is scored."""


class ContextRecipe(ReconstructionRecipe):
    """How the context encoder trains."""

    mask: Mask
    """Which region is missing (section 3.3); Table 2 used random regions, the code noise."""
    central_side: PositiveInt | None = None
    """Side of mask `central` in pixels; by default 99 of 227 or 51 of 115, what Table 1 hides."""
    block_sides: tuple[float, float] = BLOCK_SIDES
    """Least and largest side of a random block as a share of the image's; not stated."""
    block_overhang: bool = True
    """Whether random blocks may reach beyond the image, so that its border is missing as often as
    its middle."""
    region_image_set: str = "train"
    """Segmentation image set of --region-shapes whose silhouettes shape the random regions."""

    @model_validator(mode="after")
    def _holes_fit(self) -> "ContextRecipe":
        if self.central_side is not None and self.central_side >= self.side:
            raise ValueError(f"central_side={self.central_side} hides the whole of {self.side} px")
        low, high = self.block_sides
        if not 0 < low <= high <= 0.5:
            raise ValueError(f"block_sides must be 0 < least <= largest <= 0.5, got {low}, {high}")
        return self


def pretrain(recipe: ContextRecipe, run_context: RunContext) -> Pretrained:
    """Train the context encoder on images with regions missing."""
    return pretrain_by_reconstruction(
        recipe, run_context, "context", context_holes(recipe, run_context), "missing"
    )


def context_holes(recipe: ContextRecipe, run_context: RunContext) -> Holes:
    """The holes that the recipe names, in images of its side."""
    if recipe.mask == "random-block":
        return RandomBlocks(recipe.side, recipe.block_sides, overhang=recipe.block_overhang)
    central_side = recipe.central_side or CENTRAL_HOLE_SIDES[recipe.side]
    return holes_of(recipe.mask, recipe.side, central_side, recipe.region_image_set, run_context)
