"""What a pretext method is given and what it hands back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from cebench.config import TrainingRecipe
from cebench.training.options import ComputingOptions
from cebench.training.run_directory import RunDirectory
from cebench.weights.files import TRUNK_ARCHITECTURE, Preprocessing


class PretrainingRecipe(TrainingRecipe, ComputingOptions):
    """The options of every method that trains."""

    # Like the device, these two change a number by rounding alone.
    excluded_from_hash: ClassVar[frozenset[str]] = TrainingRecipe.excluded_from_hash | {
        "compile",
        "cuda_graphs",
    }

    batch_size: PositiveInt
    """Images per step, those of all processes together."""
    learning_rate: PositiveFloat
    """At the first step."""
    voc_image_set: str = "train"
    """Image set taken from a VOC year folder given as --data."""
    held_out_images: NonNegativeInt = 6
    """Images kept out of training, for the pictures in samples/."""
    samples_at: tuple[PositiveInt, ...] = ()
    """Numbers of finished steps at which samples/ gets a picture; the last step always does."""


class TrunkRecipe(PretrainingRecipe):
    """The options of every method that trains a trunk."""

    weights_at: tuple[PositiveInt, ...] = ()
    """Numbers of finished steps at which the trunk is kept, as weights-STEP.safetensors."""
    rescale: bool = False
    """Whether the layers of the trunk that is written are scaled until all would learn at one rate
    (Krähenbühl et al. 2016)."""

    @model_validator(mode="after")
    def _kept_steps_are_taken(self) -> "TrunkRecipe":
        beyond = [step for step in self.weights_at if step > self.steps]
        if beyond:
            raise ValueError(f"weights_at={beyond[0]} lies beyond the last step, {self.steps}")
        return self


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
    """Writes weights-STEP.safetensors of a pretraining that goes on."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """What is kept of a pretraining."""

    trunk: Mapping[str, Tensor] | None
    """CaffeNet trunk's state dict, with fc6 and fc7 where labels trained them: weights.safetensors,
    all that transfer takes; None without."""
    trunk_architecture: str = TRUNK_ARCHITECTURE
    """What `trunk` is; `caffenet-trunk-nogroups` where its convolutions have no groups."""
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
