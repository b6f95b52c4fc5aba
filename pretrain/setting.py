"""What a pretext method is given and what it hands back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cebench.run_directory import RunDirectory


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything besides the recipe."""

    run: RunDirectory
    data: tuple[Path, ...]
    """Folders of images, or VOC year folders."""
    exclude: tuple[Path, ...]
    """Image lists or folders whose photos must not be learned from."""
    region_shapes: Path | None
    """VOC year folder whose object silhouettes shape random regions."""
    seed: int
    device: torch.device


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What is kept of a pretraining."""

    trunk: Mapping[str, Tensor]
    """The trunk's state dict: weights.safetensors, all that transfer takes."""
    model: Mapping[str, Tensor] | None
    """The whole network's state dict: model.safetensors, for inpainting; None where it is less."""
    images: int
    """Number of images learned from."""
    data_fingerprint: str
    steps: int
    seconds: float
