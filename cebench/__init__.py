"""cebench: the transfer and inpainting benchmark of Context Encoders (CVPR 2016)."""

__version__ = "0.1.0"
