"""`autoencoder`: the paper's plain baseline, the same network restoring its full input."""

from .options.reconstruction import AutoencoderRecipe
from .reconstruction import pretrain_by_reconstruction
from .run_context import Pretrained, RunContext


def pretrain(recipe: AutoencoderRecipe, run_context: RunContext) -> Pretrained:
    """Train the network to reproduce whole images (section 5.2: "a plain autoencoder")."""
    return pretrain_by_reconstruction(recipe, run_context, "autoencoder", None, "all")
