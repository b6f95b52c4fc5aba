"""Cells of a suite: what each is known by, what it needs, and in which order they can be computed.

A cell's key is the hash of everything that determines its result: recipe, data, weights, seed and
the versions of the code's protocols. What it takes from other cells counts by their keys. Pure: no
file is read here.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cebench.errors import InputError

Verb = Literal["draw", "track", "import", "rescale", "pretrain", "transfer"]
FOLDERS: Mapping[Verb, str] = {
    "draw": "data",
    "track": "data",
    "import": "weights",
    "rescale": "weights",
    "pretrain": "runs",
    "transfer": "runs",
}
"""Verb -> folder of the suite in which its cells lie."""
RESULTS: Mapping[Verb, str] = {
    "draw": "toy.json",
    "track": "pairs.txt",
    "import": "weights.json",
    "rescale": "weights.json",
    "pretrain": "record.json",
    "transfer": "record.json",
}
"""Verb -> the file that a cell writes last: where it stands the cell is finished."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One thing to compute."""

    name: str
    """Such as `context-p0-detection-s1`."""
    verb: Verb
    key: str
    """SHA-256 of what determines the result."""
    needs: tuple[str, ...] = ()
    """Names of the cells whose results it takes."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the program; `{out}` stands for the suite's folder."""
    row: str = ""
    column: str = ""
    """The task of a transfer."""
    line: str = ""
    """The line of the tables in which numbers of its weights stand."""
    measured_by: Sequence[Any] = ()
    """Name and version of a transfer's protocol, and the hash of its options."""
    last_file: str = ""
    """What it writes last, where that is not its verb's."""
    gpus: int = 1
    work: Mapping[str, float] = field(default_factory=dict)
    """What it costs, in the units of the estimates."""

    @property
    def stem(self) -> str:
        """Name of its folder: readable, then 8 hex digits of the key."""
        return f"{self.name}-{self.key[:8]}"

    @property
    def folder(self) -> str:
        """Its folder, relative to the suite's."""
        return f"{FOLDERS[self.verb]}/{self.stem}"

    @property
    def result(self) -> str:
        """The file that is written last, relative to the suite's folder."""
        return f"{self.folder}/{self.last_file or RESULTS[self.verb]}"


def content_key(*parts: Any) -> str:
    """SHA-256 of `parts`, which are what JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def check_names(cells: Iterable[Cell]) -> None:
    """InputError where two cells have one name."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.name, cell)
        if other is not cell:
            raise InputError(
                f"two cells are called {cell.name!r} ({other.verb} and {cell.verb}); rename a row "
                "or the data"
            )


def in_order(needs: Mapping[str, Collection[str]]) -> list[str]:
    """Names, each after all that it needs, otherwise as given; InputError that shows a cycle."""
    ordered: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in ordered:
            return
        if name in path:
            cycle = " -> ".join([*path[path.index(name) :], name])
            raise InputError(f"{cycle}: a cycle; none of them can be made first")
        path.append(name)
        for other in needs.get(name, ()):
            visit(other)
        path.pop()
        ordered[name] = None

    for name in needs:
        visit(name)
    return list(ordered)


def ready(cells: Sequence[Cell], finished: Collection[str], begun: Collection[str]) -> list[Cell]:
    """Cells that are neither finished nor begun and whose needs are finished, in their order."""
    return [
        cell
        for cell in cells
        if cell.name not in finished
        and cell.name not in begun
        and all(need in finished for need in cell.needs)
    ]


def blocked(cells: Sequence[Cell], failed: Collection[str]) -> dict[str, str]:
    """Name of each cell that needs a failed one, itself or by way of others -> that failed one.

    cells: in an order in which each comes after all that it needs.
    """
    found: dict[str, str] = {}
    for cell in cells:
        for need in cell.needs:
            if need in failed or need in found:
                found.setdefault(cell.name, found.get(need, need))
    return found
