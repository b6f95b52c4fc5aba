"""The kinds of holes that a recipe names (section 3.3)."""

from typing import Any

from cebench.data.hole_kinds import Mask
from cebench.data.hole_masks import CentralHole, Holes, NoisePattern, RandomBlocks, RandomRegions

from .run_context import DataOptions, Inputs, RunContext
from .silhouettes import find_shapes
from .sources import inputs_of


def holes_of(
    mask: Mask, size: int, central_side: int, shapes: str, run_context: RunContext
) -> Holes:
    """Holes of the kind `mask` in images of `size` x `size` pixels.

    central_side: side of the central hole in pixels.
    shapes: segmentation image set of --region-shapes whose objects shape the random regions.
    """
    if mask == "central":
        return CentralHole(size, central_side)
    if mask == "random-block":
        return RandomBlocks(size)
    if mask == "noise":
        return NoisePattern(size)
    voc, _ = find_shapes(shapes, run_context.region_shapes)
    return RandomRegions.from_voc(size, voc, shapes).to(run_context.device)


def inputs_with_holes(recipe: Any, given: DataOptions) -> Inputs:
    """`inputs_of` a method whose `mask` may need the silhouettes of `region_image_set`."""
    if recipe.mask == "random-region":
        find_shapes(recipe.region_image_set, given.region_shapes)
    return inputs_of(recipe, given)
