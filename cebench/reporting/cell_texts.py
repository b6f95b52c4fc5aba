"""What is printed of a cell."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from cebench.reporting.cells import Number
from cebench.reporting.notes import NO_RECORD
from cebench.reporting.published import Column, Layout, Row
from cebench.reporting.tables import Table

_CLOCK = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


@dataclass(frozen=True)
class CellTexts:
    """Parts of one printed cell; empty where there is nothing to print."""

    value: str = ""
    """Mean and standard deviation; a time with its unit."""
    letters: str = ""
    count: str = ""
    """Pretrainings x fine-tunings, or the number of runs."""
    published: str = ""
    verdict: str = ""
    """Where the published number lies, beside a measured one."""
    difference: str = ""

    def in_columns(self) -> list[str]:
        """Measured, published and difference as text."""
        letters = f" {self.letters}" if self.letters else ""
        measured = f"{self.value}{letters}, {self.count}" if self.value else NO_RECORD
        verdict = f" ({self.verdict})" if self.verdict else ""
        published = f"{self.published}{verdict}" if self.published else NO_RECORD
        return [measured, published, self.difference or NO_RECORD]


def table_rows(table: Table) -> list[Row]:
    """The lines of a table, those of rows that the layout does not list among them."""
    listed = {row.id: row for row in table.layout.rows}
    present = dict.fromkeys(table.cells["row"])
    return [listed.get(row, Row(id=row, label=row)) for row in present]


def headline_numbers(table: Table, column: Column) -> dict[str, list[Number]]:
    """Row -> the numbers of its headline in `column`, measured rows only, in the order of print."""
    found = table.headlines(column)
    return {row.id: found[row.id] for row in table_rows(table) if row.id in found}


def headline_cells(table: Table) -> dict[tuple[str, str], dict[Any, Any]]:
    """(row, column) -> the cell of the rendered table."""
    headlines = table.cells[table.cells["headline"]].set_index(["row", "column"])
    return dict(zip(headlines.index, headlines.to_dict("records"), strict=True))


def column_parts(column: Column, layout: Layout) -> list[str]:
    """What a column prints of each cell: measured, published, difference."""
    if not layout.source:
        return ["measured"]
    # Two machines' wall-clock times have no meaningful difference.
    return ["measured", "published"] + (["difference"] if column.unit != "s" else [])


def cell_texts(column: Column, cell: dict[Any, Any] | None) -> CellTexts:
    """The texts of `cell`, a line of `Table.cells`; None: neither measured nor published."""
    if cell is None:
        return CellTexts()
    published, difference = cell["published"], cell["difference"]
    printed = "" if pd.isna(published) else column.text(published)
    if column.unit == "s":
        printed = "" if pd.isna(cell["printed"]) else cell["printed"]
    measured = bool(cell["n"])
    verdict = cell["verdict"] if measured and printed and not pd.isna(cell["verdict"]) else ""
    no_difference = pd.isna(difference) or column.unit == "s"
    return CellTexts(
        value=_value(column, cell) if measured else "",
        letters="" if pd.isna(cell["letters"]) else cell["letters"],
        count=_count(cell) if measured else "",
        published=printed,
        verdict=verdict,
        difference="" if no_difference else column.signed(difference),
    )


def duration_text(seconds: float, spread: float | None = None) -> str:
    """A time in the unit that a person would choose, with its standard deviation."""
    size, name = next((c for c in _CLOCK if seconds >= c[0]), _CLOCK[-1])
    deviation = "" if spread is None else f" ± {spread / size:.1f}"
    return f"{seconds / size:.1f}{deviation} {name}"


def _value(column: Column, cell: dict[Any, Any]) -> str:
    spread = None if pd.isna(cell["sd"]) else float(cell["sd"])
    if column.unit == "s":
        return duration_text(cell["mean"], spread)
    deviation = "" if spread is None else f" ± {column.text(spread)}"
    return f"{column.text(cell['mean'])}{deviation}"


def _count(cell: dict[Any, Any]) -> str:
    """Pretrainings x fine-tunings each, `3x2` or `3x1-2`; `n=3` where nothing is fine-tuned."""
    draws = f", {cell['draws']} draws" if cell["draws"] > 1 else ""
    if not cell["fine_tunings"]:
        return f"n={cell['n']}{draws}"
    fewest, most = min(cell["fine_tunings"]), max(cell["fine_tunings"])
    each = str(most) if fewest == most else f"{fewest}-{most}"
    return f"{cell['pretrainings']}x{each}{draws}"
