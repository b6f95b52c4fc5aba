"""The kinds of holes that a recipe names (section 3.3)."""

from cebench.data.hole_kinds import Mask
from cebench.data.hole_masks import CentralHole, Holes, NoisePattern, RandomBlocks, RandomRegions

from .run_context import RunContext
from .silhouettes import find_shapes


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
