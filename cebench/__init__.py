"""cebench: the transfer and inpainting benchmark of Context Encoders (CVPR 2016)."""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout pretrain/ and transfer/ lie beside this folder, in an installation inside it.
if not Path(__file__).with_name("pretrain").is_dir():
    __path__.append(str(Path(__file__).parents[1]))
