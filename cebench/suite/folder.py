"""A suite's folder: where cells lie, which are finished, running or failed. Read from files alone.

OUT/plan.json               the cells, and what they were made from
OUT/data, weights, runs     a folder for each cell, named after it and its key
OUT/cells/CELL.log          what the cell printed
OUT/cells/CELL.lock, .json  held while it is computed; how it ended
OUT/records, tables.md, index.html, pictures
"""

import json
import os
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from cebench.errors import InputError
from cebench.files import check_writable, is_locked, write_atomically
from cebench.suite.cells import Cell, blocked

State = Literal["finished", "running", "failed", "blocked", "stopped", "waiting"]
PLAN = "plan.json"
_OWN = frozenset({PLAN, "fingerprints.json", "cells"})
"""What no other folder holds: `records`, for one, may be somebody's results."""


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is."""

    cell: Cell
    state: State
    problem: str = ""
    """Why it failed, or which failed cell it waits for."""
    seconds: float | None = None
    """It took, or has taken so far."""
    host: str = ""


@dataclass(frozen=True)
class Ending:
    """How the last attempt at a cell began or ended; a file of the suite's folder."""

    state: Literal["running", "finished", "failed", "stopped"]
    host: str
    pid: int
    began: float
    """Seconds since 1970."""
    seconds: float = 0.0
    processor_seconds: float = 0.0
    memory_bytes: int = 0
    """Largest resident memory."""
    problem: str = ""


class SuiteFolder:
    """The folder of one suite."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, *, create: bool = True, look: bool = False) -> None:
        """InputError unless the folder is a suite's, or new, and can be written.

        create: whether it is made; else nothing is written. look: it need not be writable.
        """
        if not (look and self.path.is_dir()):
            check_writable(self.path)
        held = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        if held and not held & _OWN:
            raise InputError(f"{self.path}: holds other files; choose an empty or new --out")
        if not create:
            return
        try:
            (self.path / "cells").mkdir(parents=True, exist_ok=True)
            write_atomically(self.path / "cells" / f".write-{os.getpid()}", b"")
            (self.path / "cells" / f".write-{os.getpid()}").unlink()
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror}); choose another --out"
            ) from None

    def result(self, cell: Cell) -> Path:
        """The file that the cell writes last."""
        return self.path / cell.result

    def log(self, cell: Cell) -> Path:
        """What the cell printed."""
        return self.path / "cells" / f"{cell.stem}.log"

    def lock(self, cell: Cell) -> FileLock:
        """Held by the process that computes the cell; the system frees it when that dies."""
        return FileLock(self.path / "cells" / f"{cell.stem}.lock", blocking=False)

    def is_finished(self, cell: Cell) -> bool:
        """Whether the cell's last file stands."""
        return self.result(cell).exists()

    def is_held(self, cell: Cell) -> bool:
        """Whether a living process, here or on another machine, computes the cell."""
        return is_locked(Path(self.lock(cell).lock_file))

    def write_ending(self, cell: Cell, ending: Ending) -> None:
        """Say how an attempt at the cell began or ended."""
        content = json.dumps(asdict(ending)).encode()
        write_atomically(self._ending(cell), content)

    def ending(self, cell: Cell) -> Ending | None:
        """How the last attempt began or ended; None before the first."""
        try:
            return Ending(**json.loads(self._ending(cell).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def forget_failures(self, cells: Iterable[Cell]) -> None:
        """Let failed cells be tried again."""
        for cell in cells:
            ending = self.ending(cell)
            if ending and ending.state == "failed":
                self._ending(cell).unlink(missing_ok=True)

    def statuses(self, cells: Sequence[Cell]) -> list[CellStatus]:
        """The status of each cell, in their order; each comes after those that it needs."""
        found = {cell.name: self.status(cell) for cell in cells}
        failed = {name for name, status in found.items() if status.state == "failed"}
        for name, culprit in blocked(cells, failed).items():
            if found[name].state != "finished":
                found[name] = CellStatus(found[name].cell, "blocked", f"needs {culprit}")
        return list(found.values())

    def status(self, cell: Cell) -> CellStatus:
        """The status of one cell, whatever those that it needs are."""
        if self.is_finished(cell):
            ending = self.ending(cell)
            return CellStatus(cell, "finished", seconds=ending.seconds if ending else None)
        ending = self.ending(cell)
        if ending is None:
            return CellStatus(cell, "waiting")
        if ending.state == "running":
            if self.is_held(cell):
                return CellStatus(
                    cell, "running", seconds=time.time() - ending.began, host=ending.host
                )
            return CellStatus(cell, "stopped")
        state: State = "stopped" if ending.state == "finished" else ending.state
        return CellStatus(cell, state, ending.problem, ending.seconds, ending.host)

    def last_lines(self, cell: Cell, count: int = 5) -> list[str]:
        """The last lines of the cell's log."""
        try:
            with self.log(cell).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4000))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-count:]

    def left_over(self, cells: Collection[Cell]) -> int:
        """Run directories of earlier forms of the suite."""
        known = {cell.stem for cell in cells}
        runs = self.path / "runs"
        if not runs.is_dir():
            return 0
        return sum(p.is_dir() and p.name not in known for p in runs.iterdir())

    def read_plan(self) -> dict[str, Any] | None:
        """What plan.json holds; None where there is none of this form."""
        try:
            found = json.loads((self.path / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Replace plan.json."""
        write_atomically(self.path / PLAN, json.dumps(plan, indent=1).encode())

    def _ending(self, cell: Cell) -> Path:
        return self.path / "cells" / f"{cell.stem}.json"


def began_here() -> Ending:
    """A cell that this process begins now."""
    return Ending("running", socket.gethostname(), os.getpid(), time.time())
