"""What every transfer task says of itself; `run.TASKS` is the table of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cebench.config import Recipe
from cebench.training.estimates import Work
from cebench.weights.files import Weights

from .network_cost import NetworkCost
from .run_context import Outcome, RunContext


def _as_given(path: Path) -> Path:
    return path


def _takes_every_run(recipe: Any, weights: Weights, engine: str, device: torch.device) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Task:
    """A transfer task: its program and the protocol that its numbers follow.

    Its recipe is that of its module `start`, which imports no PyTorch.
    """

    find_images: Callable[[Any, Path], dict[str, list[Path]]]
    """(recipe, --data) to the images that it would read, by the part they play."""
    data_fingerprint: Callable[[Any, Path, str], str]
    """(recipe, --data, SHA-256 of the proposals) to what a run's record would call its data."""
    check_weights: Callable[[Any, Weights], None]
    """(recipe, weights): InputError where these cannot be measured by that recipe. Both a run and
    its dry run ask before data are read; `measure` may rely on it."""
    measure: Callable[[Any, RunContext], Outcome]
    """Data, training, prediction, scores and report of one run."""
    work: Callable[[Any, Mapping[str, int], NetworkCost], Work]
    """(recipe, images of each part, the network) to what a run computes, for its dry run."""
    table: str
    protocol: str
    protocol_version: int
    check_engine: Callable[[Any, Weights, str, torch.device], None] = _takes_every_run
    """(recipe, weights, engine, device): InputError where that engine cannot compute them. Asked
    together with `check_weights`."""
    any_backbone: bool = False
    """Whether it takes other networks than CaffeNet."""
    weights_file: Callable[[Path], Path] = _as_given
    """--weights to the weights file that it reads, where a run directory holds several."""

    def protocol_name(self, recipe: Recipe, engine: str) -> str:
        """Numbers of two variants or two engines never stand in one cell: their names differ."""
        parts = [self.protocol, recipe.variant, "" if engine == "native" else engine]
        return "-".join(part for part in parts if part)
