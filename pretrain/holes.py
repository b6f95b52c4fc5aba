"""The kinds of holes that a recipe names (section 3.3)."""

from pathlib import Path
from typing import Any, Literal

from cebench.data.hole_masks import CentralHole, Holes, NoisePattern, RandomBlocks, RandomRegions
from cebench.data.photos import voc_year
from cebench.data.voc.devkit import VocYear
from cebench.errors import InputError

from .run_context import DataOptions, Inputs, RunContext
from .sources import inputs_of

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
    voc, _ = find_shapes(shapes, run_context)
    return RandomRegions.from_voc(size, voc, shapes).to(run_context.device)


def inputs_with_holes(recipe: Any, given: DataOptions) -> Inputs:
    """`inputs_of` a method whose `mask` may need the silhouettes of `region_image_set`."""
    if recipe.mask == "random-region":
        find_shapes(recipe.region_image_set, given)
    return inputs_of(recipe, given)


def find_shapes(shapes: str, given: DataOptions) -> tuple[VocYear, list[Path]]:
    """The year of --region-shapes, and the label images whose objects shape random regions.

    InputError if there is none, or an image of the set has no label image.
    """
    if given.region_shapes is None:
        raise InputError(
            "mask random-region needs silhouettes: --region-shapes VOCdevkit/VOC2012 "
            "(or --set mask=random-block)"
        )
    voc = voc_year(given.region_shapes, "--region-shapes")
    ids = voc.ids(shapes, kind="Segmentation")
    objects = [voc.root / "SegmentationObject" / f"{image_id}.png" for image_id in ids]
    return voc, [
        path if path.is_file() else voc.segmentation_path(image_id)
        for path, image_id in zip(objects, ids, strict=True)
    ]
