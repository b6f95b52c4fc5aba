"""Whether rows differ by more than the definitions of what is measured do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cebench.errors import InputError
from cebench.progress import progress
from cebench.reporting.cells import Number, grouped
from cebench.reporting.definitions import by_every_definition
from cebench.reporting.published import Column
from cebench.reporting.results import find_outcome
from cebench.reporting.tables import Table


@dataclass(frozen=True)
class PairSensitivity:
    """Two rows under every definition, in the column's unit."""

    first: str
    second: str
    differences: Mapping[str, float]
    """Definition -> first minus second."""
    between_definitions: float
    """The larger of the two rows' ranges over definitions."""

    @property
    def same_sign(self) -> bool:
        """Whether the same row is ahead under every definition."""
        signs = {np.sign(difference) for difference in self.differences.values()}
        return len(signs) == 1

    @property
    def is_larger(self) -> bool:
        """Whether the rows differ by more, under every definition, than the definitions do."""
        smallest = min(abs(difference) for difference in self.differences.values())
        return self.same_sign and smallest > self.between_definitions


@dataclass(frozen=True)
class ColumnSensitivity:
    """A column's rows under every definition that all of them have."""

    table: str
    column: Column
    values: Mapping[str, Mapping[str, float]]
    """Row -> definition -> mean over pretrainings of the mean over fine-tunings."""

    @property
    def definitions(self) -> list[str]:
        """Names of the definitions, the first that of the column's headline."""
        return list(next(iter(self.values.values())))

    @property
    def pairs(self) -> list[PairSensitivity]:
        """Every two rows."""
        spans = {
            row: max(values.values()) - min(values.values()) for row, values in self.values.items()
        }
        return [
            PairSensitivity(
                first,
                second,
                {
                    name: self.values[first][name] - self.values[second][name]
                    for name in self.definitions
                },
                max(spans[first], spans[second]),
            )
            for first, second in combinations(self.values, 2)
        ]


def sensitivity_of(tables: Sequence[Table]) -> list[ColumnSensitivity]:
    """Every column with stored outcomes; InputError if there is none."""
    columns = [(table, column) for table in tables for column in table.layout.columns]
    found = []
    with progress("scoring again", "columns") as report:
        for done, (table, column) in enumerate(columns, start=1):
            found += _stored(table, column)
            report(done, len(columns))
    if not found:
        raise InputError(
            "no stored predictions; give run directories with outcome.safetensors, or bundles, not "
            "records alone"
        )
    return found


def _stored(table: Table, column: Column) -> list[ColumnSensitivity]:
    """The column, if any of its rows has stored outcomes."""
    values = {row: _row(cell, column) for row, cell in table.headlines(column).items()}
    stored = {row: found for row, found in values.items() if found}
    if not stored:
        return []
    first, *others = stored.values()
    shared = [name for name in first if all(name in other for other in others)]
    by_row = {row: {name: of[name] for name in shared} for row, of in stored.items()}
    return [ColumnSensitivity(table.layout.id, column, by_row)]


def _row(cell: Sequence[Number], column: Column) -> dict[str, float]:
    """Definition -> mean of a cell; empty if a run of it has no outcome."""
    pretrainings = grouped(cell, lambda number: number.replicate[0]).values()
    tuned = [[_number(number, column) for number in runs] for runs in pretrainings]
    if not all(values for runs in tuned for values in runs):
        return {}
    names = list(tuned[0][0])
    return {
        name: float(np.mean([np.mean([values[name] for values in runs]) for runs in tuned]))
        for name in names
    }


def _number(number: Number, column: Column) -> dict[str, float]:
    outcome = find_outcome(number.path, number.record)
    method = number.record.weights.method
    values: dict[str, float] = {}
    for part in outcome.parts if outcome else ():
        if (part.row or method) == number.measurement.row:
            values |= by_every_definition(part, column.id, column.metric)
    return values
