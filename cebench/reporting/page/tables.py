"""The tables of the page: texts, what they are sorted by, and where the interval bars lie."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cebench.reporting.cell_texts import (
    CellTexts,
    cell_texts,
    column_parts,
    headline_cells,
    table_rows,
)
from cebench.reporting.notes import NO_RECORD, table_notes
from cebench.reporting.published import Column
from cebench.reporting.quoted import load_quoted
from cebench.reporting.tables import Table

from .stored_outcomes import pair_lines


@dataclass(frozen=True)
class Bar:
    """An interval on its column's common axis, all places in percent of the axis."""

    low: float | None
    high: float | None
    point: float
    published: float | None
    """None also where it lies outside the axis, which spans the measured values."""
    text: str
    """What it shows, in words."""


@dataclass(frozen=True)
class CellView:
    """A cell of the page: its texts, and the numbers that it is sorted by."""

    texts: CellTexts
    measured: float | None = None
    published: float | None = None
    difference: float | None = None
    bar: Bar | None = None


@dataclass(frozen=True)
class ColumnView:
    """A column with its parts: measured, published, difference."""

    heading: str
    parts: Sequence[str]
    aggregation: str


@dataclass(frozen=True)
class RowView:
    """A line, of this report or quoted from a later paper."""

    id: str
    label: str
    supervision: str
    cells: Sequence[CellView]
    source: str = ""
    """Where a quoted row was read; empty for a row of this report."""


@dataclass(frozen=True)
class TableView:
    """One table of the page."""

    id: str
    heading: str
    row_heading: str
    supervised: bool
    columns: Sequence[ColumnView]
    rows: Sequence[RowView]
    notes: Sequence[str]
    pairs: Sequence[Sequence[str]]
    """Lines of comparisons, the cells those of `comparison_formats.HEADINGS`."""
    pair_notes: Sequence[str]

    @property
    def quoted(self) -> bool:
        """Whether it has rows of later papers."""
        return any(row.source for row in self.rows)


def table_view(table: Table) -> TableView:
    """`table` as the page shows it, rows of later papers last."""
    columns = table.layout.columns_in_print
    cells = headline_cells(table)
    scales = {column.id: _scale(column, cells) for column in columns}
    rows = [
        RowView(
            id=row.id,
            label=row.label,
            supervision=row.supervision or NO_RECORD,
            cells=[_cell(c, cells.get((row.id, c.id)), scales[c.id]) for c in columns],
        )
        for row in table_rows(table)
    ]
    pairs, pair_notes = pair_lines(table)
    return TableView(
        id=table.layout.id,
        heading=table.layout.heading,
        row_heading=table.layout.row_heading,
        supervised=table.layout.supervised,
        columns=[
            ColumnView(c.heading, column_parts(c, table.layout), c.aggregation) for c in columns
        ],
        rows=[*rows, *quoted_rows(columns)],
        notes=table_notes(table),
        pairs=pairs,
        pair_notes=pair_notes,
    )


def quoted_rows(columns: Sequence[Column]) -> list[RowView]:
    """The rows that later papers print numbers of any of `columns` for, with where they do."""
    quoted, rows = load_quoted(), []
    for row in quoted.rows:
        found = [quoted.find([row.id], column.id) for column in columns]
        if any(found):
            papers = dict.fromkeys(q for numbers in found for n in numbers for q in n.quoted_by)
            cells = [_quoted_cell([n.percent for n in numbers]) for numbers in found]
            source = f"{row.source}; as printed in {', '.join(papers)}"
            rows.append(RowView(row.id, row.label, NO_RECORD, cells, source))
    return rows


def _quoted_cell(percents: Sequence[float]) -> CellView:
    if not percents:
        return CellView(CellTexts())
    text = " or ".join(f"{percent:g}" for percent in dict.fromkeys(percents))
    return CellView(CellTexts(published=text), published=percents[0] / 100)


def _cell(
    column: Column, cell: dict[Any, Any] | None, scale: tuple[float, float] | None
) -> CellView:
    if cell is None:
        return CellView(CellTexts())
    return CellView(
        texts=cell_texts(column, cell),
        measured=_finite(cell["mean"]),
        published=_finite(cell["published"]),
        difference=_finite(cell["difference"]),
        bar=_bar(column, cell, scale) if scale and cell["n"] else None,
    )


def _scale(
    column: Column, cells: dict[tuple[str, str], dict[Any, Any]]
) -> tuple[float, float] | None:
    """The axis that a column's bars share: what was measured; None for times or a single value."""
    inside = [cell for (_, name), cell in cells.items() if name == column.id and cell["n"]]
    names = ("mean", "interval_low", "interval_high")
    values = list(_present(cell[name] for cell in inside for name in names))
    if column.unit == "s" or len(values) < 2 or min(values) == max(values):
        return None
    return min(values), max(values)


def _bar(column: Column, cell: dict[Any, Any], scale: tuple[float, float]) -> Bar:
    start, end = scale

    def place(value: float | None) -> float | None:
        if value is None or not start <= value <= end:
            return None
        return round(100 * (value - start) / (end - start), 2)

    low, high = _finite(cell["interval_low"]), _finite(cell["interval_high"])
    return Bar(
        low=place(low),
        high=place(high),
        point=place(_finite(cell["mean"])) or 0.0,
        published=place(_finite(cell["published"])),
        text=_bar_text(column, cell, low, high),
    )


def _bar_text(column: Column, cell: dict[Any, Any], low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "no interval"
    level = f"{100 * cell['interval_level']:g} % interval"
    return f"{level} {column.text(low)} to {column.text(high)}"


def _finite(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _present(values: Iterable[Any]) -> Iterable[float]:
    return (float(value) for value in values if not pd.isna(value))
