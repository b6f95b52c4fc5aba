"""`autoencoder`: the paper's plain baseline, the same network restoring its full input."""

from .reconstruction import ReconstructionRecipe, pretrain_by_reconstruction
from .run_context import Pretrained, RunContext


class AutoencoderRecipe(ReconstructionRecipe):
    """How the autoencoder trains: as the context encoder does, with nothing missing."""


def pretrain(recipe: AutoencoderRecipe, run_context: RunContext) -> Pretrained:
    """Train the network to reproduce whole images (section 5.2: "a plain autoencoder")."""
    return pretrain_by_reconstruction(recipe, run_context, "autoencoder", None, "all")
