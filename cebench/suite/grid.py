"""How far a suite is: rows x tasks with what is finished, and the cells that need a look."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cebench.progress import clock, counted
from cebench.suite.cells import Cell
from cebench.suite.folder import CellStatus, State

_NAMED: tuple[State, ...] = ("running", "failed", "blocked", "stopped")


@dataclass(frozen=True)
class Place:
    """One place of the grid: the cells of a row and a column."""

    finished: int
    cells: int
    other: tuple[State, ...] = ()
    """States besides finished and waiting."""

    def __str__(self) -> str:
        """Such as `3/4`, `1/4 failed`, or a dash where there is nothing to compute."""
        if not self.cells:
            return "-"
        return " ".join([f"{self.finished}/{self.cells}", *self.other])


def column_of(cell: Cell) -> str:
    """The column in which a cell is counted: its task, or what it does."""
    return cell.column or {"draw": "data", "track": "data"}.get(cell.verb, "weights")


def grid(statuses: Sequence[CellStatus]) -> dict[str, dict[str, Place]]:
    """Row -> column -> its place; data stand in a row of their own, first."""
    groups: dict[str, dict[str, list[State]]] = {}
    for status in statuses:
        row, column = status.cell.row or "data", column_of(status.cell)
        groups.setdefault(row, {}).setdefault(column, []).append(status.state)
    return {
        row: {column: _place(states) for column, states in columns.items()}
        for row, columns in groups.items()
    }


def _place(states: Sequence[State]) -> Place:
    other = tuple(state for state in _NAMED if state in states)
    return Place(states.count("finished"), len(states), other)


def grid_as_text(statuses: Sequence[CellStatus]) -> str:
    """The grid as aligned lines, then a line for each cell that is running, failed or stopped."""
    places = grid(statuses)
    columns = list(dict.fromkeys(column for row in places.values() for column in row))
    lines = [["", *columns]]
    for row, found in places.items():
        lines.append([row, *(str(found.get(column, Place(0, 0))) for column in columns)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    named = [status for status in statuses if status.state in _NAMED and status.state != "blocked"]
    return "\n".join([*shown, *([""] if named else []), *map(_line, named)])


def _line(status: CellStatus) -> str:
    running = status.state == "running"
    taken = f" for {clock(status.seconds or 0)} on {status.host}" if running else ""
    problem = f": {status.problem}" if status.problem else ""
    return f"{status.state:<8}  {status.cell.name}{taken or problem}"


def counts_as_text(statuses: Sequence[CellStatus]) -> str:
    """Such as `30 cells: 12 finished, 2 running, 16 waiting`."""
    counts = Counter(status.state for status in statuses)
    listed = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    return f"{counted(len(statuses), 'cell')}: {listed}"


def as_json(status: CellStatus) -> dict[str, Any]:
    """One cell for scripts."""
    cell = status.cell
    return {
        "name": cell.name,
        "state": status.state,
        "row": cell.row,
        "column": column_of(cell),
        "folder": cell.folder,
        "needs": list(cell.needs),
        "seconds": status.seconds,
        "host": status.host,
        "problem": status.problem,
    }
