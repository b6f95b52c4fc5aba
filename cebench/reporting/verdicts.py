"""Which rows of a table differ: the stored outcomes of its cells, compared column by column."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from cebench.errors import InputError
from cebench.metrics.image_weights import WeightedScores
from cebench.progress import Report, progress
from cebench.reporting.cells import Number, grouped, without_copies
from cebench.reporting.comparison import (
    ColumnComparison,
    compare_column,
    compare_with_baseline,
    resamplings,
)
from cebench.reporting.outcomes import OutcomePart
from cebench.reporting.paired_intervals import PairComparison, Runs
from cebench.reporting.published import Column
from cebench.reporting.results import find_outcome, has_outcome
from cebench.reporting.tables import Table


@dataclass(frozen=True, kw_only=True)
class NamedComparison:
    """Two rows of a column."""

    table: str
    column: Column
    first: str
    second: str
    found: PairComparison


@dataclass(frozen=True)
class ColumnRuns:
    """The runs of a column's rows as far as their outcomes are stored."""

    rows: Mapping[str, Runs]
    without: tuple[str, ...]
    """Measured rows of which a run has no outcome."""
    not_pretrained: tuple[str, ...]
    """Rows of fills that have no network."""
    metric: str
    higher_is_better: bool


def with_letters(tables: Sequence[Table]) -> list[Table]:
    """`tables` with a letter at each headline whose run can be compared with another row's.

    All pairs of a column are one family.
    """
    columns = [(table, column) for table in tables for column in table.layout.columns_in_print]
    compared: dict[str, dict[str, ColumnComparison]] = {table.layout.id: {} for table in tables}
    for table, column, runs, work in _with_runs(columns):
        if len(runs.rows) > 1:
            compared[table.layout.id][column.id] = compare_column(
                runs.rows,
                runs.metric,
                runs.higher_is_better,
                runs.not_pretrained,
                advance=work.advance,
            )
    return [_lettered(table, compared[table.layout.id]) for table in tables]


def _lettered(table: Table, compared: Mapping[str, ColumnComparison]) -> Table:
    cells = table.cells.copy()
    for column, found in compared.items():
        at = cells["headline"] & (cells["column"] == column)
        cells.loc[at, "letters"] = cells.loc[at, "row"].map(found.letters)
    return replace(table, cells=cells, comparisons=compared)


def compare_two(
    tables: Sequence[Table], rows: tuple[str, str], column: str | None
) -> list[NamedComparison]:
    """The first row minus the second in every column that has both, or in `column` alone.

    Each column is a family of its own. InputError if a row is unknown or nothing can be compared.
    """
    first, second = rows
    if first == second:
        raise InputError(f"--compare {first} {second}: expected two different rows")
    found = []
    for table, inside, runs, work in _columns_with(tables, rows, column):
        compared = {row: runs.rows[row] for row in rows}
        column_of_two = compare_column(
            compared, runs.metric, not_pretrained=runs.not_pretrained, advance=work.advance
        )
        found.append(_named(table, inside, rows, column_of_two.pairs[rows]))
    return found


def compare_all(
    tables: Sequence[Table], baseline: str, column: str | None
) -> list[NamedComparison]:
    """Every row minus `baseline` in every column that has it, or in `column` alone.

    The rows of a column are one family. InputError as for `compare_two`.
    """
    found = []
    for table, inside, runs, work in _columns_with(tables, (baseline,), column):
        pairs = compare_with_baseline(
            runs.rows, baseline, runs.metric, runs.not_pretrained, advance=work.advance
        )
        found += [_named(table, inside, (row, baseline), pair) for row, pair in pairs.items()]
    if not found:
        raise InputError(
            f"--baseline {baseline}: no other row with stored predictions stands beside it; give "
            "the run directories of two rows or more"
        )
    return found


def column_runs(table: Table, column: Column, rows: Sequence[str] = ()) -> ColumnRuns:
    """The runs behind the headlines of `column`, of all its rows or of `rows`.

    InputError where two runs were scored on other images, or on other ground truth.
    """
    cells = _headlines(table, column, rows)
    found = {row: [_scored(number) for number in cell] for row, cell in cells.items()}
    stored = {row: [s for s in cell if s] for row, cell in found.items() if all(cell)}
    every = [scored for cell in stored.values() for scored in cell]
    _check_same_images(every)
    return ColumnRuns(
        {row: _runs(cell) for row, cell in stored.items()},
        tuple(row for row in cells if row not in stored),
        tuple(row for row, cell in cells.items() if not cell[0].measurement.of_weights),
        every[0].part.base_metric(column.metric) if every else column.metric,
        all(scored.number.measurement.higher_is_better for scored in every),
    )


def _headlines(table: Table, column: Column, rows: Sequence[str]) -> dict[str, Sequence[Number]]:
    """Row -> its numbers of the column's metric, of all rows or of `rows`; a fill's once."""
    found = table.headlines(column)
    return {row: without_copies(cell) for row, cell in found.items() if not rows or row in rows}


class _Work:
    """How much is done of comparisons in several columns."""

    def __init__(self, report: Report, planned: Sequence[int]) -> None:
        self.report, self.planned = report, planned
        self.done = 0

    def begin(self, column: int) -> None:
        """Whatever was planned for the columns before is done or could not be."""
        self.done = sum(self.planned[:column])

    def advance(self, more: int) -> None:
        self.done += more
        self.report(self.done, max(self.done, sum(self.planned)))


def _with_runs(
    columns: Sequence[tuple[Table, Column]], rows: Sequence[str] = (), baseline: str | None = None
) -> Iterator[tuple[Table, Column, ColumnRuns, _Work]]:
    """The runs of each column, of all its rows or of `rows`, to be compared now: shows progress."""
    planned = [_planned(_headlines(*column, rows), baseline) for column in columns]
    shown = (
        progress("comparing", "resamplings") if any(planned) else nullcontext[Report](_say_nothing)
    )
    with shown as report:
        work = _Work(report, planned)
        for place, (table, column) in enumerate(columns):
            work.begin(place)
            yield table, column, column_runs(table, column, rows), work


def _say_nothing(done: int, total: int) -> None:
    """A `Report` of no work."""


def _planned(cells: Mapping[str, Sequence[Number]], baseline: str | None) -> int:
    """The resamplings of a column's comparison, as far as the records tell."""
    runs = {
        row: sum(number.measurement.draws for number in cell)
        for row, cell in cells.items()
        if all(has_outcome(number.path, number.record) for number in cell)
    }
    compared = len(runs) > 1 and baseline in (None, *runs)
    return resamplings(runs, baseline) if compared else 0


@dataclass(frozen=True)
class _Scored:
    """A number with what it was scored from."""

    number: Number
    ids: tuple[str, ...]
    part: OutcomePart


def _scored(number: Number) -> _Scored | None:
    outcome = find_outcome(number.path, number.record)
    part = outcome and outcome.part_of(number.measurement, number.record.weights.method)
    return _Scored(number, outcome.ids, part) if outcome and part else None


def _runs(cell: Sequence[_Scored]) -> list[list[WeightedScores]]:
    """The fine-tunings of each pretraining; several draws of training images count as such."""
    pretrainings = grouped(cell, lambda scored: scored.number.replicate[0])
    return [[run for one in tuned for run in one.part.runs()] for tuned in pretrainings.values()]


def _check_same_images(cells: Sequence[_Scored]) -> None:
    for other in cells[1:]:
        first = cells[0]
        same = first.ids == other.ids
        if not same or first.part.scored.truth_sha256() != other.part.scored.truth_sha256():
            what = "ground truth" if same else "images"
            raise InputError(
                f"{first.number.path} and {other.number.path}: their stored predictions are of "
                f"other {what}; report their folders one at a time"
            )


def _columns_with(
    tables: Sequence[Table], rows: Sequence[str], column: str | None
) -> Iterator[tuple[Table, Column, ColumnRuns, _Work]]:
    """The columns in which all of `rows` were measured and their outcomes are stored.

    rows: two that are compared, or one with which all others are.
    """
    _check_known(tables, rows, column)
    lacking, any_found = [], False
    wanted, baseline = (rows, None) if len(rows) > 1 else ((), rows[0])
    asked = [
        (table, inside)
        for table in tables
        for inside in table.layout.columns
        if inside.unit != "s" and column in (None, inside.id)
    ]
    for table, inside, runs, work in _with_runs(asked, wanted, baseline):
        if all(row in runs.rows for row in rows):
            any_found = True
            yield table, inside, runs, work
        elif any(row in runs.without for row in rows):
            lacking.append(inside.id)
    if not any_found:
        raise InputError(
            f"{' and '.join(rows)}: a comparison needs the stored predictions "
            f"({', '.join(lacking) or 'no column has these rows'}); give run directories with "
            "outcome.safetensors, or bundles, not records alone"
        )


def _check_known(tables: Sequence[Table], rows: Sequence[str], column: str | None) -> None:
    known = list(dict.fromkeys(number.row for table in tables for number in table.numbers))
    for row in rows:
        if row not in known:
            raise InputError(f"no row {row!r} was measured; choose from {', '.join(known)}")
    inside = [column for table in tables for column in table.layout.columns]
    columns = [one.id for one in inside if one.unit != "s"]
    if column is not None and column not in columns:
        raise InputError(f"--column {column}: no such column; choose from {', '.join(columns)}")


def _named(
    table: Table, column: Column, rows: tuple[str, str], found: PairComparison
) -> NamedComparison:
    return NamedComparison(
        table=table.layout.id, column=column, first=rows[0], second=rows[1], found=found
    )
