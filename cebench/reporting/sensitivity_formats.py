"""Rows under every definition, as Markdown, LaTeX, CSV and JSON."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cebench.reporting.formats import booktabs, finite_or_none, pipe_table
from cebench.reporting.published import MINUS, load_published
from cebench.reporting.sensitivity import ColumnSensitivity, PairSensitivity


def sensitivity_to_markdown(found: Sequence[ColumnSensitivity]) -> str:
    """A heading, a pipe table and a line for each pair of rows, for each column."""
    return "\n".join(_markdown(column) for column in found)


def sensitivity_to_latex(found: Sequence[ColumnSensitivity]) -> str:
    """A `tabular` for each column; needs the package booktabs."""
    tables = [booktabs(*_grid(column), notes=_notes(column)) for column in found]
    return "\n".join(line for lines in tables for line in [*lines, ""])


def sensitivity_to_csv(found: Sequence[ColumnSensitivity]) -> str:
    """A line for each row and definition, unscaled and unrounded."""
    lines = [
        {"table": c.table, "column": c.column.id, "row": row, "definition": name, "value": value}
        for c in found
        for row, values in c.values.items()
        for name, value in values.items()
    ]
    return pd.DataFrame(lines).to_csv(index=False, lineterminator="\n")


def sensitivity_to_json(found: Sequence[ColumnSensitivity]) -> str:
    """`{"columns": [{"table", "column", "unit", "values": {row: {definition}}, "pairs"}]}`."""
    content = [
        {
            "table": c.table,
            "column": c.column.id,
            "unit": c.column.unit,
            "values": {
                row: {name: finite_or_none(value) for name, value in values.items()}
                for row, values in c.values.items()
            },
            "pairs": [_pair(pair) for pair in c.pairs],
        }
        for c in found
    ]
    return json.dumps({"columns": content}, indent=2, allow_nan=False) + "\n"


SENSITIVITY_FORMATS = {
    "markdown": sensitivity_to_markdown,
    "latex": sensitivity_to_latex,
    "csv": sensitivity_to_csv,
    "json": sensitivity_to_json,
}


def _pair(pair: PairSensitivity) -> dict[str, Any]:
    differences = pair.differences.values()
    return {
        "first": pair.first,
        "second": pair.second,
        "smallest_difference": finite_or_none(min(differences)),
        "largest_difference": finite_or_none(max(differences)),
        "between_definitions": finite_or_none(pair.between_definitions),
        "same_sign": pair.same_sign,
        "larger_than_between_definitions": pair.is_larger,
    }


def _markdown(found: ColumnSensitivity) -> str:
    heading = f"{load_published().layouts[found.table].heading}: {found.column.heading}"
    notes = "\n".join(f"- {note}" for note in _notes(found))
    return f"## {heading}\n\n" + "\n".join(pipe_table(*_grid(found))) + f"\n\n{notes}\n"


def _grid(found: ColumnSensitivity) -> tuple[list[str], list[list[str]], list[bool]]:
    """Headings, lines (a definition each) and which columns stand to the left."""
    lines = [
        [name, *(found.column.signed(row[name], sign="") for row in found.values.values())]
        for name in found.definitions
    ]
    return ["Definition", *found.values], lines, [True, *(False for _ in found.values)]


def _notes(found: ColumnSensitivity) -> list[str]:
    """What each pair of rows may claim, whatever the definition."""
    notes = []
    for pair in found.pairs:
        low, high = min(pair.differences.values()), max(pair.differences.values())
        ends = f"{found.column.signed(low)} to {found.column.signed(high)}"
        if not pair.same_sign:
            verdict = "which row is ahead depends on the definition"
        elif pair.is_larger:
            verdict = "more than one row's numbers differ between definitions"
        else:
            verdict = "less than one row's numbers differ between definitions: name the definition"
        span = found.column.signed(pair.between_definitions, sign="")
        notes.append(f"{pair.first} {MINUS} {pair.second}: {ends}; {verdict} ({span}).")
    return notes
