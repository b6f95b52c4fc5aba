"""Scores of every class, row by row, from the per_class.csv of run directories."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cebench.reporting.cells import grouped
from cebench.reporting.published import Column
from cebench.reporting.tables import Table

FILE_NAME = "per_class.csv"


@dataclass(frozen=True)
class ClassTable:
    """One column's scores of every class, in percent, each the mean over a row's runs."""

    id: str
    title: str
    metric: str
    classes: Sequence[str]
    rows: Mapping[str, Sequence[float | None]]
    """Row -> a score for each class; None where it is not defined."""
    runs: Mapping[str, int]
    """Row -> runs that the scores are the mean over."""


def class_tables(tables: Sequence[Table]) -> list[ClassTable]:
    """A table for each column of which runs have scores per class."""
    found = [
        _class_table(table, column)
        for table in tables
        for column in table.layout.columns_in_print
        if column.metric.startswith("mean_")
    ]
    return [table for table in found if table]


def _class_table(table: Table, column: Column) -> ClassTable | None:
    metric = column.metric.removeprefix("mean_")
    numbers = [
        number
        for number in table.numbers
        if (number.measurement.column, number.measurement.metric) == (column.id, column.metric)
        and number.path.name == "record.json"
    ]
    scores = {
        row: [s for n in of_row if (s := _scores(n.path.parent / FILE_NAME, metric, column.id))]
        for row, of_row in grouped(numbers, lambda number: number.row).items()
    }
    rows = {row: runs for row, runs in scores.items() if runs}
    if not rows:
        return None
    names = list(dict.fromkeys(name for runs in rows.values() for run in runs for name in run))
    return ClassTable(
        id=f"{table.layout.id}-{column.id}",
        title=f"{table.layout.heading}: {column.label}",
        metric=metric,
        classes=names,
        rows={row: [_mean(runs, name) for name in names] for row, runs in rows.items()},
        runs={row: len(runs) for row, runs in rows.items()},
    )


def _scores(path: Path, metric: str, column: str) -> dict[str, float]:
    """Class -> fraction; empty where `path` has no such column, as of a run that has no classes."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        fields = reader.fieldnames or []
        # A file with several of a table's columns has their names at the end.
        name = next((n for n in (f"{metric}_{column}", metric) if n in fields), None)
        if name is None or "class" not in fields:
            return {}
        return {line["class"]: _number(line[name]) for line in reader}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _mean(runs: Sequence[Mapping[str, float]], name: str) -> float | None:
    values = [run[name] for run in runs if math.isfinite(run.get(name, math.nan))]
    return 100 * float(np.mean(values)) if values else None
