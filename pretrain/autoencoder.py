"""`autoencoder`: the paper's plain baseline, the same network restoring its full input."""

from .reconstruction import ReconstructionRecipe, pretrain_by_reconstruction
from .setting import Pretrained, Setting


class AutoencoderRecipe(ReconstructionRecipe):
    """How the autoencoder trains: as the context encoder does, with nothing missing."""


def pretrain(recipe: AutoencoderRecipe, setting: Setting) -> Pretrained:
    """Train the network to reproduce whole images (section 4.2: "a plain autoencoder")."""
    return pretrain_by_reconstruction(recipe, setting, "autoencoder", None, "all")
