"""What a pretext method is given and what it hands back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from cebench.training.run_directory import RunDirectory
from cebench.weights.files import TRUNK_ARCHITECTURE, Preprocessing


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where what is learned from lies."""

    data: tuple[Path, ...]
    """Folders of images, VOC year folders or packed stores."""
    exclude: tuple[Path, ...] = ()
    """Image lists or folders whose photos must not be learned from."""
    region_shapes: Path | None = None
    """VOC year folder whose object silhouettes shape random regions."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files that a pretraining reads: found and checked, not decoded."""

    files: Sequence[Path]
    """All of them, each once."""
    count: int
    unit: str = "images"
    """What is counted."""
    learned_from: int
    """Images learned from: without those held out."""
    bytes: int
    excluded: int = 0
    """Images left out because --exclude shows them."""
    decoded_bytes: int = 0
    """About what they take in memory; 0 where they stay on the disk."""
    fingerprint: Callable[[], str]
    """Reads the files; the hash that the pretraining stores."""


@dataclass(frozen=True, kw_only=True)
class RunContext(DataOptions):
    """Everything besides the recipe."""

    run: RunDirectory
    seed: int
    device: torch.device
    keep: Callable[["Pretrained"], None]
    """Writes weights-STEP.safetensors, or without a trunk model-STEP.safetensors, of a pretraining
    that goes on."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What is kept of a pretraining."""

    trunk: Mapping[str, Tensor] | None
    """The trunk's state dict, with fc6 and fc7 where labels trained them: weights.safetensors, all
    that transfer takes; None without."""
    trunk_architecture: str = TRUNK_ARCHITECTURE
    """What `trunk` is; `caffenet-trunk-nogroups` where its convolutions have no groups, another
    library's of `random` alone."""
    trunk_preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """What `trunk` sees: CaffeNet's pixels, unless it is another library's network."""
    model: Mapping[str, Tensor] | None
    """The whole network's state dict: model.safetensors, for inpainting; None where it is less."""
    architecture: str = ""
    """What `model` is, e.g. `context-encoder`."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """What `model` sees."""
    images: int
    """Number of images learned from."""
    data_fingerprint: str
    steps: int
    seconds: float
