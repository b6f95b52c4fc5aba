"""`context`: the paper's pretext task, predicting a missing region from what surrounds it."""

from cebench.models.context_encoder import IMAGE_SIDE

from .holes import Mask, holes_of
from .reconstruction import ReconstructionRecipe, pretrain_by_reconstruction
from .run_context import Pretrained, RunContext

CENTRAL_HOLE_SIDE = 113
"""Half of 227 px: a quarter of the image (section 3.3)."""


class ContextRecipe(ReconstructionRecipe):
    """How the context encoder trains."""

    mask: Mask
    """Which region is missing (section 3.3); Table 2 used random regions, the code noise."""
    region_image_set: str = "train"
    """Segmentation image set of --region-shapes whose silhouettes shape the random regions."""


def pretrain(recipe: ContextRecipe, run_context: RunContext) -> Pretrained:
    """Train the context encoder on images with regions missing."""
    shapes = recipe.region_image_set
    holes = holes_of(recipe.mask, IMAGE_SIDE, CENTRAL_HOLE_SIDE, shapes, run_context)
    return pretrain_by_reconstruction(recipe, run_context, "context", holes, "missing")
