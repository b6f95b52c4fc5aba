"""Tables 1 and 2 from records: what may stand together, means over seeds, the published numbers.

Values stay in the records' units here; `cebench.reporting.formats` multiplies by 100 and rounds.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from cebench.errors import InputError
from cebench.reporting.published import Column, Layout, load_published
from cebench.reporting.records import Record, record_address

RecordFile = tuple[Path, Record]
"""A record and the file it was read from."""

_CELL = ["row", "column", "metric"]
_MEASURED = ["headline", "unit", "higher_is_better", "n", "seeds", "mean", "sd"]
_COLUMNS = [*_CELL, *_MEASURED, "published", "printed", "difference"]
_HASHES = {"recipe_sha256": "recipe", "data_fingerprint": "data"}
"""Field that must agree -> field that a person knows it by."""


@dataclass(frozen=True, kw_only=True)
class Table:
    layout: Layout
    records: tuple[Record, ...]
    """Each number once."""
    cells: pd.DataFrame
    """A line for each (row, column, metric) that is measured or published, in the order of print.

    Columns: row, column, metric, headline (bool), unit, higher_is_better, n, seeds (list), mean, sd
    (sample deviation over seeds; missing for n = 1), published, printed (the paper's own text) and
    difference (mean - published). Missing values are NA; nothing is scaled or rounded.
    """


def build_tables(found: Sequence[RecordFile]) -> list[Table]:
    """The tables that `found` has records of, in the paper's order.

    Raises InputError, naming the files and the field, where records may not stand together: another
    tier in a table; another protocol, version, data or recipe in a column; two metrics or units in
    a cell; two records of one number that disagree.
    """
    for path, record in found:
        _check_known(path, record)
    found = _without_idle_times(found)
    return [
        _build_table(layout, [item for item in found if item[1].table == layout.id])
        for layout in load_published().layouts.values()
        if any(record.table == layout.id for _, record in found)
    ]


def _without_idle_times(found: Sequence[RecordFile]) -> list[RecordFile]:
    """`found` without the pretraining times of weights that no transfer to the table's tasks used.

    A row may have been pretrained more than once (for inpainting on other images, say); its time
    in Table 2 is that of the weights whose numbers stand beside it.
    """
    used = {(r.table, r.row): set[str]() for _, r in found if r.unit != "s"}
    for _, record in found:
        if record.unit != "s":
            used[record.table, record.row].add(record.weights_sha256)
    return [
        (path, record)
        for path, record in found
        if record.unit != "s"
        or (record.table, record.row) not in used
        or record.weights_sha256 in used[record.table, record.row]
    ]


def unique_records(found: Sequence[RecordFile]) -> list[RecordFile]:
    """`found` with each number once, whichever run directory or copy it was read from.

    Raises InputError where two records of one seed and number differ in more than when they were
    measured.
    """
    unique: dict[Hashable, RecordFile] = {}
    for path, record in found:
        number = (record.table, record.row, record.column, record.metric, record.seed)
        first_path, first = unique.setdefault(number, (path, record))
        if record_address(first) == record_address(record) and first.value == record.value:
            continue
        ours, theirs = asdict(first), asdict(record)
        fields = [name for name in ours if ours[name] != theirs[name]]
        named = ", ".join(name for name in fields if name not in ("started", "seconds"))
        raise InputError(
            f"{first_path} and {path}: two records of table {record.table}, {record.row}, "
            f"{record.column}, {record.metric}, seed {record.seed} differ in {named}; "
            "remove one or report its folder alone"
        )
    return list(unique.values())


def _build_table(layout: Layout, found: Sequence[RecordFile]) -> Table:
    unique = unique_records(found)
    _check_comparable(unique, layout)
    # The order of the files they were read from must not show in the tables.
    records = tuple(sorted((record for _, record in unique), key=record_address))
    return Table(layout=layout, records=records, cells=_cells(layout, records))


def _check_known(path: Path, record: Record) -> None:
    layout = load_published().layouts.get(record.table)
    column = next((c for c in layout.columns if c.id == record.column), None) if layout else None
    if layout is None or column is None:
        raise InputError(
            f"{path}: table {record.table!r} has no column {record.column!r}; expected "
            + ", ".join(f"{t.id}: {[c.id for c in t.columns]}" for t in _layouts())
        )
    if record.metric == column.metric and record.unit != column.unit:
        raise InputError(
            f"{path}: unit of {record.metric} is {record.unit!r}, expected {column.unit!r}; "
            "run again or delete the file"
        )


def _layouts() -> list[Layout]:
    return list(load_published().layouts.values())


def _check_comparable(found: Sequence[RecordFile], layout: Layout) -> None:
    """Raise InputError if these records of one table, each number once, may not stand together."""
    _check_agreement(found, f"table {layout.id}", ("tier",))
    for column in layout.columns:
        inside = [item for item in found if item[1].column == column.id]
        whole = ("protocol", "protocol_version", "data_fingerprint", "recipe_sha256")
        if column.rows_share_recipe:
            _check_agreement(inside, f"table {layout.id}, column {column.id}", whole)
        for row, cell in _grouped(inside, lambda record: record.row).items():
            place = f"table {layout.id}, column {column.id}, row {row}"
            if not column.rows_share_recipe:
                _check_agreement(cell, place, whole)
            for metric, numbers in _grouped(cell, lambda record: record.metric).items():
                _check_agreement(numbers, f"{place}, {metric}", ("unit", "higher_is_better"))
                if column.unit == "s":
                    # Wall-clock times of two machines have no common mean.
                    _check_agreement(numbers, f"{place}, {metric}", ("device", "threads"))
            _check_one_headline(cell, place, column)


def _check_agreement(found: Sequence[RecordFile], place: str, fields: Sequence[str]) -> None:
    for field in fields:
        for path, record in found[1:]:
            first_path, first = found[0]
            if getattr(first, field) != getattr(record, field):
                raise InputError(
                    f"{first_path} and {path}: {place} mixes two values of {field}: "
                    f"{_named(first, field)} and {_named(record, field)}; "
                    "report their folders one at a time"
                )


def _check_one_headline(cell: Sequence[RecordFile], place: str, column: Column) -> None:
    """Each seed of a cell has the headline, or none has: n counts the same thing in every cell."""
    headlines = {record.seed for _, record in cell if record.metric == column.metric}
    for path, record in cell:
        if headlines and record.seed not in headlines:
            first_path = next(path for path, other in cell if other.metric == column.metric)
            raise InputError(
                f"{first_path} and {path}: {place} mixes two values of metric: "
                f"{column.metric!r} and, for seed {record.seed}, only {record.metric!r}; "
                f"measure {column.metric} for each seed"
            )


def _named(record: Record, field: str) -> str:
    value = getattr(record, field)
    if field in _HASHES:
        return f"{value[:12]} ({getattr(record, _HASHES[field])})"
    return repr(value)


def _grouped(
    found: Sequence[RecordFile], key: Callable[[Record], str]
) -> dict[str, list[RecordFile]]:
    groups: dict[str, list[RecordFile]] = {}
    for item in found:
        groups.setdefault(key(item[1]), []).append(item)
    return groups


def _cells(layout: Layout, records: Sequence[Record]) -> pd.DataFrame:
    measured = (
        pd.DataFrame([asdict(record) for record in records])
        .sort_values("seed")
        .groupby(_CELL)
        .agg(
            unit=("unit", "first"),
            higher_is_better=("higher_is_better", "first"),
            n=("value", "size"),
            seeds=("seed", list),
            mean=("value", "mean"),
            sd=("value", "std"),
        )
        .reset_index()
    )
    cells = measured.merge(_published(layout), on=[*_CELL, "unit"], how="outer")
    cells["n"] = cells["n"].fillna(0).astype(int)
    cells["difference"] = cells["mean"] - cells["published"]
    headlines = {column.id: column.metric for column in layout.columns}
    cells["headline"] = cells["metric"] == cells["column"].map(headlines)
    return _in_order_of_print(cells, layout)[_COLUMNS]


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
