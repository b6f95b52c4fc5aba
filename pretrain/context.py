"""`context`: the paper's pretext task, predicting a missing region from what surrounds it."""

from functools import partial
from typing import Literal

import numpy as np

from cebench.data.hole_masks import RegionShapes, central_holes, random_block_holes
from cebench.errors import InputError
from cebench.models.context_encoder import IMAGE_SIDE

from .reconstruction import Holes, ReconstructionRecipe, pretrain_by_reconstruction
from .setting import Pretrained, Setting
from .sources import voc_year

CENTRAL_HOLE_SIDE = 113
"""Half of 227 px: a quarter of the image (section 3.3)."""


class ContextRecipe(ReconstructionRecipe):
    """How the context encoder trains."""

    mask: Literal["central", "random-block", "random-region"]
    """Which region is missing (section 3.3); Table 2 used random regions."""
    region_image_set: str = "train"
    """Segmentation image set of --region-shapes whose silhouettes shape the random regions."""


def pretrain(recipe: ContextRecipe, setting: Setting) -> Pretrained:
    """Train the context encoder on images with regions missing."""
    return pretrain_by_reconstruction(recipe, setting, "context", _holes(recipe, setting))


def _holes(recipe: ContextRecipe, setting: Setting) -> Holes:
    if recipe.mask == "central":
        return _central
    if recipe.mask == "random-block":
        return partial(random_block_holes, size=IMAGE_SIDE)
    if setting.region_shapes is None:
        raise InputError(
            "mask random-region needs silhouettes: --region-shapes VOCdevkit/VOC2012 "
            "(or --set mask=random-block)"
        )
    voc = voc_year(setting.region_shapes, "--region-shapes")
    shapes = RegionShapes.from_voc(voc, recipe.region_image_set)
    return partial(shapes.holes, size=IMAGE_SIDE)


def _central(generator: np.random.Generator, n: int) -> np.ndarray:
    return central_holes(n, IMAGE_SIDE, CENTRAL_HOLE_SIDE)
