"""The kinds of holes that a recipe names (section 3.3)."""

from typing import Literal

from cebench.data.hole_masks import CentralHole, Holes, NoisePattern, RandomBlocks, RandomRegions
from cebench.data.photos import voc_year
from cebench.errors import InputError

from .run_context import RunContext

Mask = Literal["central", "random-block", "random-region", "noise"]


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
    if run_context.region_shapes is None:
        raise InputError(
            "mask random-region needs silhouettes: --region-shapes VOCdevkit/VOC2012 "
            "(or --set mask=random-block)"
        )
    voc = voc_year(run_context.region_shapes, "--region-shapes")
    return RandomRegions.from_voc(size, voc, shapes).to(run_context.device)
