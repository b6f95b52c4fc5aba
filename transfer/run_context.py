"""What a transfer task is given and what it hands back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cebench.reporting.outcomes import RunOutcome
from cebench.training.run_directory import RunDirectory
from cebench.weights.files import Weights


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Everything besides the recipe."""

    run: RunDirectory
    weights: Weights
    data: Path
    seed: int
    device: torch.device
    engine: str = "native"
    """Whose code trains and predicts."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number of a task."""

    metric: str
    value: float
    count: int
    """Images scored."""
    column: str
    draws: int = 1
    """Random draws of training images that the value is the mean over."""
    unit: str = "fraction"
    higher_is_better: bool = True
    row: str = ""
    """Row of the table where it is not the method of the weights, e.g. `nn-hog`."""
    of_weights: bool = True
    """Whether the weights had a part in it; a baseline without a network has none."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All numbers of a task and the data they were measured on."""

    measurements: Sequence[Measurement]
    scored_from: RunOutcome
    """What the measurements can be scored from again, without photographs."""
    data_fingerprint: str
    """Hash of every file that was trained or scored on, labels and lists included."""
    proposals: str = "none"
    """Name and SHA-256 of the object proposals; their hash is part of `data_fingerprint` too."""
