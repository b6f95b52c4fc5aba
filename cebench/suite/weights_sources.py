"""The weights that the rows of a suite transfer, and the line of the tables each will stand in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cebench.errors import InputError
from cebench.models.backbones import is_foreign
from cebench.suite.suite_file import Suite, belongs
from cebench.weights.files import Sidecar, read_sidecar


@dataclass(frozen=True)
class WeightsSource:
    """Weights that a row transfers."""

    name: str
    path: str
    key: Any
    needs: tuple[str, ...]
    method: str
    architecture: str
    """"" where a pretraining decides."""
    seed: int | None
    """Seed of the pretraining; None where there was none, or it is not known."""
    replicates: str = ""
    """Hash of the recipe of weights that are there: those of other seeds may share a line."""

    @property
    def line(self) -> str:
        """The line of the tables in which its numbers stand."""
        return line_of(self.method, self.architecture)


def line_of(method: str, architecture: str) -> str:
    """The line of the tables in which numbers of a method's weights stand."""
    return f"{method} ({architecture})" if is_foreign(architecture) else method


def sidecar_of(path: Path) -> Sidecar:
    """The sidecar of a weights file or run directory."""
    return read_sidecar(path / "weights.safetensors" if path.is_dir() else path)


def stored_source(name: str, path: Path) -> WeightsSource:
    """Weights that are there: known by their bits and all that a record will say of them."""
    sidecar = sidecar_of(path)
    return WeightsSource(
        name=name,
        path=str(path),
        key=sidecar.identity(),
        needs=(),
        method=sidecar.method,
        architecture=sidecar.architecture,
        seed=sidecar.seed,
        replicates=sidecar.recipe_sha256,
    )


def check_lines(suite: Suite, sources: Mapping[str, Sequence[WeightsSource]]) -> None:
    """InputError if a task would have two rows in one line that are no replicates of each other.

    sources: row -> its weights.
    """
    taken: dict[tuple[str, str], list[tuple[str, WeightsSource]]] = {}
    for name, (first, *_) in sources.items():
        for task in (task for task in suite.tasks if belongs(suite, name, task)):
            others = taken.setdefault((first.line, task), [])
            for other, weights in others:
                if not _are_replicates(first, weights):
                    raise InputError(
                        f"rows {other} and {name} are both of method {first.line}, and would stand "
                        f"in one line of {task}; put them into two suites"
                    )
            others.append((name, first))


def _are_replicates(one: WeightsSource, other: WeightsSource) -> bool:
    alike = one.replicates == other.replicates != ""
    return alike and None is not one.seed != other.seed
