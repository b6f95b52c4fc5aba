"""`denoising-autoencoder`: restoring images from local corruption (section 2 of the paper).

The other end from the context encoder, which the paper calls a variant of it: what is missing is
"very localized and low-level", so that a pixel's neighbours give it away.
"""

from cebench.data.hole_masks import ScatteredPixels

from .options.reconstruction import DenoisingRecipe
from .reconstruction import pretrain_by_reconstruction
from .run_context import Pretrained, RunContext


def pretrain(recipe: DenoisingRecipe, run_context: RunContext) -> Pretrained:
    """Train the network to restore whole images, of which single pixels are missing."""
    holes = ScatteredPixels(recipe.side, recipe.missing_share)
    return pretrain_by_reconstruction(recipe, run_context, "denoising-autoencoder", holes, "all")
