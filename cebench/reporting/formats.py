"""Tables as Markdown, LaTeX, CSV and JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cebench.reporting.cell_texts import cell_texts, column_parts, headline_cells, table_rows
from cebench.reporting.notes import NO_RECORD, table_notes
from cebench.reporting.paired_intervals import PairComparison
from cebench.reporting.published import load_published
from cebench.reporting.tables import Table

_LATEX = {
    **{character: "\\" + character for character in "%&_#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    NO_RECORD: "---",
}


@dataclass(frozen=True)
class _Grid:
    """A rendered table: cells are text, without any markup."""

    heading: list[tuple[str, str]]
    """(group, "measured" | "published" | "difference" | "") of each column."""
    lines: list[list[str]]
    notes: list[str]


def to_markdown(tables: Sequence[Table]) -> str:
    """Each table as a heading, a pipe table and its notes."""
    return "\n".join(_markdown(table) for table in tables)


def to_latex(tables: Sequence[Table]) -> str:
    """Each table as a `table` environment; needs the package booktabs."""
    return "\n".join(_latex(table) for table in tables)


def to_csv(tables: Sequence[Table]) -> str:
    """All cells and metrics of all tables, one a line, unscaled and unrounded; empty: no record."""
    frames = [table.cells.assign(table=table.layout.id) for table in tables]
    cells = pd.concat(frames, ignore_index=True)
    return cells[["table", *cells.columns.drop("table")]].to_csv(index=False, lineterminator="\n")


def to_json(tables: Sequence[Table]) -> str:
    """`{"paper", "tables": [{"table", "title", "source", "notes", "cells", "comparisons"}]}`.

    null: no record. comparisons: the pairs of rows that the letters are made from.
    """
    content = {
        "paper": load_published().paper,
        "tables": [
            {
                "table": table.layout.id,
                "title": table.layout.title,
                "source": table.layout.source,
                "notes": table_notes(table),
                "cells": [_plain(cell) for cell in table.cells.to_dict("records")],
                "comparisons": [
                    {"column": column, **pair_values(*rows, pair)}
                    for column, found in table.comparisons.items()
                    for rows, pair in found.pairs.items()
                ],
            }
            for table in tables
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS = {"markdown": to_markdown, "latex": to_latex, "csv": to_csv, "json": to_json}


def pair_values(first: str, second: str, found: PairComparison) -> dict[str, Any]:
    """Two rows' comparison as plain values; None where a number does not exist."""
    numbers = {
        "difference": found.difference,
        "standard_error": found.standard_error,
        "low": found.interval[0],
        "high": found.interval[1],
        "p": found.p_value,
        "adjusted_p": found.adjusted_p_value,
    }
    return {
        "first": first,
        "second": second,
        "metric": found.metric,
        **{name: finite_or_none(value) for name, value in numbers.items()},
        "varied": found.varied,
        "differs": found.differs,
    }


def finite_or_none(value: float) -> float | None:
    """`value`, or None for what JSON cannot write."""
    return value if math.isfinite(value) else None


def _plain(cell: dict[Any, Any]) -> dict[str, Any]:
    missing = {
        name for name, value in cell.items() if not isinstance(value, list) and pd.isna(value)
    }
    return {name: None if name in missing else value for name, value in cell.items()}


def _markdown(table: Table) -> str:
    grid = _grid(table)
    left = [not part for _, part in grid.heading]
    lines = pipe_table(_flat_heading(grid), grid.lines, left)
    notes = [f"- {note}" for note in grid.notes]
    return "\n".join([f"## {table.layout.heading}", "", *lines, "", *notes, ""])


def pipe_table(
    heading: Sequence[str], lines: Sequence[Sequence[str]], left: Sequence[bool]
) -> list[str]:
    """Lines of a Markdown table; columns are aligned to the left where `left` says so."""
    cells = [[cell.replace("|", r"\|") for cell in line] for line in (heading, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [
        [
            f"{cell:{'<' if side else '>'}{width}}"
            for cell, side, width in zip(line, left, widths, strict=True)
        ]
        for line in cells
    ]
    rule = [
        "-" * width if side else "-" * (width - 1) + ":"
        for side, width in zip(left, widths, strict=True)
    ]
    return ["| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]]]


def booktabs(
    heading: Sequence[str],
    lines: Sequence[Sequence[str]],
    left: Sequence[bool],
    notes: Sequence[str] = (),
) -> list[str]:
    """Lines of a LaTeX `tabular` with notes beneath; alignment as for `pipe_table`."""
    rows = [" & ".join(map(escaped_latex, line)) + r" \\" for line in (heading, *lines)]
    return [
        rf"\begin{{tabular}}{{{''.join('l' if side else 'r' for side in left)}}}",
        r"\toprule",
        rows[0],
        r"\midrule",
        *rows[1:],
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {escaped_latex(note)}" for note in notes),
    ]


def _latex(table: Table) -> str:
    grid = _grid(table)
    groups = list(dict.fromkeys(group for group, _ in grid.heading))
    spans = [sum(group == other for other, _ in grid.heading) for group in groups]
    top, rules, place = [], [], 1
    for group, span in zip(groups, spans, strict=True):
        title = escaped_latex(group)
        top.append(rf"\multicolumn{{{span}}}{{c}}{{{title}}}" if span > 1 else title)
        rules += [rf"\cmidrule(lr){{{place}-{place + span - 1}}}"] if span > 1 else []
        place += span
    alignment = "".join("r" if part else "l" for _, part in grid.heading)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped_latex(table.layout.title)}{_of_the_paper(table)}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            " & ".join(top) + r" \\",
            *rules,
            " & ".join(part for _, part in grid.heading) + r" \\",
            r"\midrule",
            *(" & ".join(map(escaped_latex, line)) + r" \\" for line in grid.lines),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {escaped_latex(note)}" for note in grid.notes),
            r"\end{table}",
            "",
        ]
    )


def _flat_heading(grid: _Grid) -> list[str]:
    """One line of headings: the first column of a group is the measured one, as the notes say."""
    return [group if part in ("", "measured") else part for group, part in grid.heading]


def _of_the_paper(table: Table) -> str:
    return f" (Table {table.layout.id} of the paper)" if table.layout.source else ""


def escaped_latex(text: str) -> str:
    """`text` with LaTeX's special characters written out."""
    return "".join(_LATEX.get(character, character) for character in text)


def _grid(table: Table) -> _Grid:
    layout = table.layout
    heading = [(layout.row_heading, "")]
    heading += [("Supervision", "")] if layout.supervised else []
    for column in layout.columns_in_print:
        group = column.heading
        heading += [(group, part) for part in column_parts(column, layout)]
    cells = headline_cells(table)
    lines = []
    for row in table_rows(table):
        texts = [row.label if row.label == row.id else f"{row.label} ({row.id})"]
        texts += [row.supervision or NO_RECORD] if layout.supervised else []
        for column in layout.columns_in_print:
            columns = cell_texts(column, cells.get((row.id, column.id))).in_columns()
            texts += columns[: len(column_parts(column, layout))]
        lines.append(texts)
    return _Grid(heading, lines, table_notes(table))
