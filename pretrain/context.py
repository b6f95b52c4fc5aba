"""`context`: the paper's pretext task, predicting a missing region from what surrounds it."""

from cebench.data.hole_masks import Holes, RandomBlocks

from .holes import holes_of
from .options.reconstruction import ContextRecipe
from .reconstruction import pretrain_by_reconstruction
from .run_context import Pretrained, RunContext

CENTRAL_HOLE_SIDES = {227: 99, 115: 51}
"""Image side -> side of the central hole. The paper's hole is half of the side (section 3.3) less
the 7 pixels by which the prediction overlaps it: rows 64 to 162 of 227, as Table 1 is scored."""


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
