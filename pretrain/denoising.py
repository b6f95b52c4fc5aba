"""`denoising-autoencoder`: restoring images from local corruption (section 2 of the paper).

The other end from the context encoder, which the paper calls a variant of it: what is missing is
"very localized and low-level", so that a pixel's neighbours give it away.
"""

from pydantic import Field

from cebench.data.hole_masks import ScatteredPixels

from .reconstruction import ReconstructionRecipe, pretrain_by_reconstruction
from .run_context import Pretrained, RunContext


class DenoisingRecipe(ReconstructionRecipe):
    """How the denoising autoencoder trains: as the autoencoder does, its input corrupted."""

    missing_share: float = Field(default=0.25, gt=0, lt=1)
    """Probability that a pixel is replaced by the mean pixel (masking noise)."""


def pretrain(recipe: DenoisingRecipe, run_context: RunContext) -> Pretrained:
    """Train the network to restore whole images, of which single pixels are missing."""
    holes = ScatteredPixels(recipe.side, recipe.missing_share)
    return pretrain_by_reconstruction(recipe, run_context, "denoising-autoencoder", holes, "all")
