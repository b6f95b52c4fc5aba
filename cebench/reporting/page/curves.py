"""The curves of the page: losses over steps, and precision over recall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cebench.metrics.average_precision import curve_steps
from cebench.reporting.cell_texts import headline_numbers
from cebench.reporting.cells import Number, grouped
from cebench.reporting.metrics_log import read_metrics
from cebench.reporting.tables import Table

from .charts import STYLES, Chart, Points, line_chart, step_points, thinned
from .runs import Run
from .stored_outcomes import Curves, precision_recall_curves

MOST_LINES, MOST_POINTS, MOST_QUANTITIES = 8, 200, 8
NOT_DRAWN = {"step", "seconds"}

Log = Sequence[Mapping[str, float]]
"""The lines of metrics.jsonl."""


@dataclass(frozen=True)
class ChartGroup:
    """Charts that belong together, with what was left out of them."""

    title: str
    charts: Sequence[Chart]
    styles: Mapping[str, int]
    """Label of a line -> its style, in the order of the legend."""
    note: str = ""


def learning_curves(runs: Sequence[Run]) -> list[ChartGroup]:
    """For each program a chart of every quantity that its runs logged, a line for each run."""
    logged = [(run, read_metrics(run.folder)) for run in runs if run.folder]
    found = grouped([item for item in logged if item[1]], lambda item: item[0].program)
    return [_group(program, _by_label(of_program)) for program, of_program in found.items()]


def _by_label(logged: Sequence[tuple[Run, Log]]) -> dict[str, Log]:
    """Runs of the same row and seeds are told apart by their recipes, then by a number."""
    by_label: dict[str, Log] = {}
    for run, lines in logged:
        label = run.label if run.label not in by_label else f"{run.label}, {run.record.recipe.name}"
        same = sum(known == label or known.startswith(f"{label} (") for known in by_label)
        by_label[f"{label} ({same + 1})" if same else label] = lines
    return by_label


def precision_recall(tables: Sequence[Table]) -> list[ChartGroup]:
    """For each column a chart of every class, a line for each row: its first run."""
    groups = []
    for table in tables:
        for column in table.layout.columns_in_print:
            found = _curves_of_rows(headline_numbers(table, column))
            if found:
                title = f"{table.layout.heading}: {column.label}"
                groups.append(_class_charts(title, found))
    return groups


def _group(program: str, runs: Mapping[str, Log]) -> ChartGroup:
    shown = dict(list(runs.items())[:MOST_LINES])
    styles = {label: number % STYLES for number, label in enumerate(shown)}
    names = dict.fromkeys(n for lines in shown.values() for line in lines for n in line)
    quantities = [name for name in names if name not in NOT_DRAWN]
    charts = []
    for name in quantities[:MOST_QUANTITIES]:
        series = {label: _points(lines, name) for label, lines in shown.items()}
        drawn = {label: points for label, points in series.items() if points}
        if drawn:
            title = name.replace("_", " ")
            charts.append(line_chart(title, ("step", title), drawn, styles))
    left_out = _left_out("runs", len(runs) - len(shown))
    left_out += _left_out("quantities", len(quantities) - MOST_QUANTITIES)
    return ChartGroup(program, charts, styles, left_out)


def _points(lines: Log, name: str) -> Points:
    known = [(float(line["step"]), float(line[name])) for line in lines if name in line]
    # A loss that is not finite is written as NaN: it ends the line, not the page.
    return thinned([point for point in known if np.isfinite(point).all()], MOST_POINTS)


def _curves_of_rows(rows: Mapping[str, Sequence[Number]]) -> dict[str, Curves]:
    found = {row: precision_recall_curves(numbers[0]) for row, numbers in rows.items()}
    return {row: curves for row, curves in found.items() if curves}


def _class_charts(title: str, found: Mapping[str, Curves]) -> ChartGroup:
    shown = dict(list(found.items())[:MOST_LINES])
    styles = {row: number % STYLES for number, row in enumerate(shown)}
    names = dict.fromkeys(name for curves in shown.values() for name in curves)
    charts = [
        line_chart(
            name,
            ("recall", "precision"),
            {row: steps(*curves[name]) for row, curves in shown.items() if name in curves},
            styles,
            (0, 1, 0, 1),
        )
        for name in names
    ]
    return ChartGroup(title, charts, styles, _left_out("rows", len(found) - len(shown)))


def steps(precision: np.ndarray, recall: np.ndarray) -> Points:
    """The curve's corners at no more than MOST_POINTS values of recall."""
    reached, best = curve_steps(precision, recall)
    if len(reached) > MOST_POINTS // 2:
        kept = np.linspace(0, len(reached) - 1, MOST_POINTS // 2).astype(int)
        reached, best = reached[kept], best[kept]
    return step_points(reached.tolist(), best.tolist())


def _left_out(what: str, count: int) -> str:
    return f"{count} further {what} are not drawn. " if count > 0 else ""
