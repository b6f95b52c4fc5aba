"""What every transfer task says of itself; `run.TASKS` is the table of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cebench.config import Recipe

from .run_context import Outcome, RunContext


def _as_given(path: Path) -> Path:
    return path


@dataclass(frozen=True, kw_only=True)
class Task:
    """A transfer task: its recipe, its program and the protocol that its numbers follow."""

    recipe: type[Recipe]
    find_images: Callable[[Any, Path], dict[str, list[Path]]]
    """(recipe, --data) to the images that it would read, by the part they play."""
    measure: Callable[[Any, RunContext], Outcome]
    """Data, training, prediction, scores and report of one run."""
    table: str
    protocol: str
    protocol_version: int
    engines: tuple[str, ...] = ("native",)
    """Whose code can compute it."""
    any_backbone: bool = False
    """Whether it takes other networks than CaffeNet."""
    weights_file: Callable[[Path], Path] = _as_given
    """--weights to the weights file that it reads, where a run directory holds several."""

    def protocol_name(self, recipe: Recipe, engine: str) -> str:
        """Numbers of two variants or two engines never stand in one cell: their names differ."""
        parts = [self.protocol, recipe.variant, "" if engine == "native" else engine]
        return "-".join(part for part in parts if part)
