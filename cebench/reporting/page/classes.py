"""Scores of every class, row by row: from the per_class.csv of runs, else from their outcomes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cebench.errors import InputError
from cebench.files import read_csv
from cebench.reporting.cell_texts import headline_numbers
from cebench.reporting.cells import Number
from cebench.reporting.published import Column
from cebench.reporting.tables import Table

from .stored_outcomes import scores_per_class

FILE_NAME, RECORD = "per_class.csv", "record.json"


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
    scores = {
        row: [
            found
            for number in numbers
            if (found := _scores(number, metric) or scores_per_class(number))
        ]
        for row, numbers in headline_numbers(table, column).items()
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


def _scores(number: Number, metric: str) -> dict[str, float]:
    """Class -> fraction; empty where the run left no such column, as one without classes."""
    path = number.path.parent / FILE_NAME
    if number.path.name != RECORD or not path.is_file():
        return {}
    try:
        fields, lines = read_csv(path)
        # A file with several of a table's columns has their names at the end.
        names = (f"{metric}_{number.measurement.column}", metric)
        name = next((name for name in names if name in fields), None)
        if name is None or "class" not in fields:
            return {}
        return {line["class"]: float(line[name] or "nan") for line in lines}
    except ValueError:
        raise InputError(
            f"{path}: damaged: expected numbers in {metric}; run the transfer again with "
            "--no-resume"
        ) from None


def _mean(runs: Sequence[Mapping[str, float]], name: str) -> float | None:
    values = [run[name] for run in runs if math.isfinite(run.get(name, math.nan))]
    return 100 * float(np.mean(values)) if values else None
