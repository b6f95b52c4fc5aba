"""Tables 1 and 2 from records: means over replications, beside the published numbers.

Values stay in the records' units here; `published.Column` multiplies by 100 and rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cebench.errors import InputError
from cebench.reporting.cells import Number, check_columns, grouped, numbers_of, summary
from cebench.reporting.comparison import ColumnComparison, published_verdict
from cebench.reporting.published import Column, Layout, load_published
from cebench.reporting.records import Measurement, Record, RecordFile, record_name

_CELL = ["row", "column", "metric"]
_REPLICATION = ["images", "n", "pretrainings", "fine_tunings", "draws"]
_MEASURED = ["mean", "sd", "sd_between", "sd_within"]
_INTERVAL = ["interval_low", "interval_high", "interval_level", "interval_method"]
_PUBLISHED = ["published", "printed", "difference", "verdict"]
_COLUMNS = [
    *(*_CELL, "headline", "unit", "higher_is_better", "tier"),
    *(*_REPLICATION, *_MEASURED, "letters", *_INTERVAL, *_PUBLISHED),
]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table's layout and its numbers, measured and published."""

    layout: Layout
    numbers: tuple[Number, ...]
    """Each once."""
    cells: pd.DataFrame
    """A line for each (row, column, metric) that is measured or published, in the order of print.

    headline (bool): the metric of the rendered table. tier: the lowest of the numbers'.
    images: how many were scored (of a time: learned from). n: numbers, those of `pretrainings`
    pretrainings (0 where no weights had a part) with `fine_tunings` (list) each, each the mean over
    `draws` draws of training images.
    mean, sd, sd_between, sd_within: see `replication.nested_summary`. interval_...: the ends of
    the numbers' own intervals, averaged as the mean is. published, printed: the paper's number and
    its text; difference: mean - published; verdict: see `comparison.published_verdict`. letters:
    rows of a column that share one cannot be told apart, where they were compared. Missing values
    are NA; nothing is scaled or rounded.
    """
    comparisons: Mapping[str, ColumnComparison] = field(default_factory=dict)
    """Columns whose rows were compared."""

    def headlines(self, column: Column) -> dict[str, list[Number]]:
        """Row -> its numbers of the column's metric, rows by name."""
        wanted = column.id, column.metric
        inside = [n for n in self.numbers if (n.measurement.column, n.measurement.metric) == wanted]
        return grouped(inside, lambda number: number.row)

    @property
    def files(self) -> list[RecordFile]:
        """The records that the numbers stand in, each once, in the order of their names."""
        once = {id(number.record): number for number in self.numbers}
        found = {record_name(number.record): number for number in once.values()}
        return [(found[name].path, found[name].record) for name in sorted(found)]


def build_tables(found: Sequence[RecordFile]) -> list[Table]:
    """The tables that `found` has numbers for, in the paper's order.

    Raises InputError, naming the files and the fields, where numbers may not stand together: in a
    cell those that are no replications of one another; in a column those that were measured by
    another protocol, recipe or data; in a table those of another tier.
    """
    for path, record in found:
        for measurement in record.measurements:
            _check_known(path, record, measurement)
    found = _without_unused_pretrainings(found)
    return [
        _build_table(layout, found)
        for layout in load_published().layouts.values()
        if _has_numbers(layout, found)
    ]


def _has_numbers(layout: Layout, found: Sequence[RecordFile]) -> bool:
    """Whether `found` has numbers for the table.

    Times alone are none where the weights are measured in another table: beside the published
    numbers nothing else would stand.
    """
    transferred = {r.weights.sha256 for _, r in found if r.task != "pretraining"}
    return any(
        record.task != "pretraining" or record.weights.sha256 not in transferred
        for _, record in found
        if record.table == layout.id and record.measurements
    )


def _without_unused_pretrainings(found: Sequence[RecordFile]) -> list[RecordFile]:
    """`found` without the pretrainings of rows of which other weights were transferred.

    A row may have been pretrained more than once (for inpainting on other images, say); its time
    in Table 2 is that of the weights whose numbers stand beside it.
    """
    transferred = [record for _, record in found if record.task != "pretraining"]
    used = {(r.table, r.weights.method): set[str]() for r in transferred}
    for record in transferred:
        used[record.table, record.weights.method].add(record.weights.sha256)
    return [
        (path, record)
        for path, record in found
        if record.task != "pretraining"
        or (record.table, record.weights.method) not in used
        or record.weights.sha256 in used[record.table, record.weights.method]
    ]


def _build_table(layout: Layout, found: Sequence[RecordFile]) -> Table:
    numbers = numbers_of(found, layout)
    check_columns(numbers, layout)
    # The order of the files they were read from must not show in the tables.
    numbers.sort(key=lambda n: (*_cell_of(n), n.replicate))
    return Table(layout=layout, numbers=tuple(numbers), cells=_cells(layout, numbers))


def _cell_of(number: Number) -> tuple[str, str, str]:
    return number.row, number.measurement.column, number.measurement.metric


def _check_known(path: Path, record: Record, measurement: Measurement) -> None:
    layout = load_published().layouts.get(record.table)
    columns = {c.id: c for c in layout.columns} if layout else {}
    column = columns.get(measurement.column)
    if column is None:
        known = (f"{t.id}: {[c.id for c in t.columns]}" for t in load_published().layouts.values())
        raise InputError(
            f"{path}: table {record.table!r} has no column {measurement.column!r}; expected "
            + ", ".join(known)
        )
    if measurement.metric == column.metric and measurement.unit != column.unit:
        raise InputError(
            f"{path}: unit of {measurement.metric} is {measurement.unit!r}, expected "
            f"{column.unit!r}; run again with --no-resume or delete the file"
        )


def _cells(layout: Layout, numbers: Sequence[Number]) -> pd.DataFrame:
    lines = [
        {**dict(zip(_CELL, cell, strict=True)), **summary(of_cell)}
        for cell, of_cell in grouped(numbers, _cell_of).items()
    ]
    cells = pd.DataFrame(lines).merge(_published(layout), on=[*_CELL, "unit"], how="outer")
    counts = ["images", "n", "pretrainings", "draws"]
    cells[counts] = cells[counts].fillna(0).astype(int)
    cells["difference"] = cells["mean"] - cells["published"]
    images = {column.id: column.images for column in layout.columns}
    cells["verdict"] = [_verdict(c, images[c["column"]]) for c in cells.to_dict("records")]
    cells["letters"] = pd.Series(pd.NA, index=cells.index, dtype="object")
    headlines = {column.id: column.metric for column in layout.columns}
    cells["headline"] = cells["metric"] == cells["column"].map(headlines)
    return _in_order_of_print(cells, layout)[_COLUMNS]


def _verdict(cell: dict[Any, Any], published_images: int | None) -> str | None:
    """Where the published number lies, if there is one; times are no scores."""
    if pd.isna(cell["published"]) or cell["unit"] == "s":
        return None
    ends = cell["interval_low"], cell["interval_high"]
    return published_verdict(
        cell["published"],
        cell["tier"] if cell["n"] else None,
        None if pd.isna(ends[0]) else ends,
        same_count=cell["images"] == published_images,
    )


def _published(layout: Layout) -> pd.DataFrame:
    columns = {column.id: column for column in layout.columns}
    lines = [
        {
            "row": number.row,
            "column": number.column,
            "metric": columns[number.column].metric,
            "unit": columns[number.column].unit,
            "published": number.value,
            "printed": number.printed,
        }
        for number in load_published().numbers
        if number.table == layout.id
    ]
    return pd.DataFrame(lines, columns=[*_CELL, "unit", "published", "printed"])


def _in_order_of_print(cells: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Rows and columns as laid out, unlisted rows after them by name; headlines first in a cell."""
    rows = {row.id: place for place, row in enumerate(layout.rows)}
    columns = {column.id: place for place, column in enumerate(layout.columns)}
    order = pd.DataFrame(
        {
            "row_place": cells["row"].map(rows).fillna(len(rows)),
            "row": cells["row"],
            "column_place": cells["column"].map(columns),
            "later": ~cells["headline"],
            "metric": cells["metric"],
        }
    )
    return cells.loc[order.sort_values(list(order.columns)).index].reset_index(drop=True)
