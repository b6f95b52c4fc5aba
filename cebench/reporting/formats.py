"""Tables as Markdown, LaTeX, HTML, CSV and JSON; x100 and rounding happen here only."""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cebench.reporting.comparison import PairComparison
from cebench.reporting.notes import NO_RECORD, table_notes
from cebench.reporting.published import Column, Layout, Row, load_published
from cebench.reporting.tables import Table

_CLOCK = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
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


def to_html(tables: Sequence[Table]) -> str:
    """Each table as an <h2>, a <table> and a <ul> of notes: a part of a page."""
    return "\n".join(_html(table) for table in tables)


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
        **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
        "varied": found.varied,
        "differs": found.differs,
    }


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


def _html(table: Table) -> str:
    grid = _grid(table)
    heads = "".join(f"<th>{html.escape(text)}</th>" for text in _flat_heading(grid))
    lines = ["".join(f"<td>{html.escape(text)}</td>" for text in line) for line in grid.lines]
    return "\n".join(
        [
            f"<h2>{html.escape(table.layout.heading)}</h2>",
            f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>",
            *(f"<tr>{line}</tr>" for line in lines),
            "</tbody>\n</table>\n<ul>",
            *(f"<li>{html.escape(note)}</li>" for note in grid.notes),
            "</ul>",
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
    supervised = any(row.supervision for row in layout.rows)
    heading += [("Supervision", "")] if supervised else []
    for column in layout.columns_in_print:
        group = column.heading
        heading += [(group, part) for part in _parts(column, layout)]
    headlines = table.cells[table.cells["headline"]].set_index(["row", "column"])
    cells = dict(zip(headlines.index, headlines.to_dict("records"), strict=True))
    lines = []
    for row in _rows(table):
        texts = [row.label if row.label == row.id else f"{row.label} ({row.id})"]
        texts += [row.supervision or NO_RECORD] if supervised else []
        for column in layout.columns_in_print:
            texts += _cell_texts(column, cells.get((row.id, column.id)))[
                : len(_parts(column, layout))
            ]
        lines.append(texts)
    return _Grid(heading, lines, table_notes(table))


def _rows(table: Table) -> list[Row]:
    listed = {row.id: row for row in table.layout.rows}
    present = dict.fromkeys(table.cells["row"])
    return [listed.get(row, Row(id=row, label=row)) for row in present]


def _parts(column: Column, layout: Layout) -> list[str]:
    if not layout.source:
        return ["measured"]
    # Two machines' wall-clock times have no meaningful difference.
    return ["measured", "published"] + (["difference"] if column.unit != "s" else [])


def _cell_texts(column: Column, cell: dict[Any, Any] | None) -> list[str]:
    """Measured, published and difference."""
    if cell is None:
        return [NO_RECORD] * 3
    factor, decimals = column.factor, column.decimals
    if column.unit == "s":
        measured = _duration(cell) if cell["n"] else NO_RECORD
        return [measured, NO_RECORD if pd.isna(cell["printed"]) else cell["printed"]]
    measured = _mean_text(cell, factor, decimals) if cell["n"] else NO_RECORD
    published, difference = cell["published"], cell["difference"]
    return [
        measured,
        NO_RECORD if pd.isna(published) else _published_text(cell, factor, decimals),
        NO_RECORD
        if pd.isna(difference)
        else f"{factor * difference:+z.{decimals}f}".replace("-", "\N{MINUS SIGN}"),
    ]


def _published_text(cell: dict[Any, Any], factor: float, decimals: int) -> str:
    """The published number and, beside a measured one, where it lies."""
    verdict = f" ({cell['verdict']})" if cell["n"] else ""
    return f"{factor * cell['published']:.{decimals}f}{verdict}"


def _mean_text(cell: dict[Any, Any], factor: float, decimals: int, unit: str = "") -> str:
    mean = f"{factor * cell['mean']:.{decimals}f}"
    spread = "" if pd.isna(cell["sd"]) else f" ± {factor * cell['sd']:.{decimals}f}"
    letters = "" if pd.isna(cell["letters"]) else f" {cell['letters']}"
    return f"{mean}{spread}{unit}{letters}, {_count_text(cell)}"


def _count_text(cell: dict[Any, Any]) -> str:
    """Pretrainings x fine-tunings each, `3x2` or `3x1-2`; `n=3` where nothing is fine-tuned."""
    draws = f", {cell['draws']} draws" if cell["draws"] > 1 else ""
    if not cell["fine_tunings"]:
        return f"n={cell['n']}{draws}"
    fewest, most = min(cell["fine_tunings"]), max(cell["fine_tunings"])
    each = str(most) if fewest == most else f"{fewest}-{most}"
    return f"{cell['pretrainings']}x{each}{draws}"


def _duration(cell: dict[Any, Any]) -> str:
    seconds, name = next((c for c in _CLOCK if cell["mean"] >= c[0]), _CLOCK[-1])
    return _mean_text(cell, 1 / seconds, 1, f" {name}")
