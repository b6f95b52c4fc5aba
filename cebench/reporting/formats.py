"""Tables as Markdown, LaTeX, HTML, CSV and JSON; x100 and rounding happen here only."""

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cebench.reporting.published import Column, Layout, Row, load_published
from cebench.reporting.records import Record
from cebench.reporting.tables import Table

NO_RECORD = "—"
TIERS = {
    "smoke": "This is a smoke run: it shows that every part works. It is no reproduction of the "
    "paper, and its numbers say nothing about the methods.",
    "short": "This is a short run, far below the paper's data and training length. It is no "
    "reproduction of the paper.",
    "small": "These runs took a few hours of one processor core each, a small part of the "
    "published schedule: they rank rows where intervals separate them; they reproduce nothing.",
    "paper": "These runs follow the published schedule.",
}
"""What a reader must know first, by tier."""

_SCALES = {"fraction": (100.0, " (%)"), "db": (1.0, " (dB)"), "s": (1.0, "")}
"""Unit -> (factor, what a heading adds)."""
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
    """`{"paper", "tables": [{"table", "title", "source", "notes", "cells"}]}`; null: no record."""
    content = {
        "paper": load_published().paper,
        "tables": [
            {
                "table": table.layout.id,
                "title": table.layout.title,
                "source": table.layout.source,
                "notes": _notes(table),
                "cells": [_plain(cell) for cell in table.cells.to_dict("records")],
            }
            for table in tables
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS = {"markdown": to_markdown, "latex": to_latex, "csv": to_csv, "json": to_json}


def _plain(cell: dict[Any, Any]) -> dict[str, Any]:
    missing = {
        name for name, value in cell.items() if not isinstance(value, list) and pd.isna(value)
    }
    return {name: None if name in missing else value for name, value in cell.items()}


def _markdown(table: Table) -> str:
    grid = _grid(table)
    texts = [_flat_heading(grid), *grid.lines]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in texts]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = ["<" if not part else ">" for _, part in grid.heading]
    padded = [
        [f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)]
        for line in cells
    ]
    rule = [
        "-" * width if side == "<" else "-" * (width - 1) + ":"
        for side, width in zip(sides, widths, strict=True)
    ]
    lines = ["| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]]]
    notes = [f"- {note}" for note in grid.notes]
    return "\n".join([f"## {table.layout.heading}", "", *lines, "", *notes, ""])


def _latex(table: Table) -> str:
    grid = _grid(table)
    groups = list(dict.fromkeys(group for group, _ in grid.heading))
    spans = [sum(group == other for other, _ in grid.heading) for group in groups]
    top, rules, place = [], [], 1
    for group, span in zip(groups, spans, strict=True):
        title = _escaped(group)
        top.append(rf"\multicolumn{{{span}}}{{c}}{{{title}}}" if span > 1 else title)
        rules += [rf"\cmidrule(lr){{{place}-{place + span - 1}}}"] if span > 1 else []
        place += span
    alignment = "".join("r" if part else "l" for _, part in grid.heading)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(table.layout.title)}{_of_the_paper(table)}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            " & ".join(top) + r" \\",
            *rules,
            " & ".join(part for _, part in grid.heading) + r" \\",
            r"\midrule",
            *(" & ".join(map(_escaped, line)) + r" \\" for line in grid.lines),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_escaped(note)}" for note in grid.notes),
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


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _grid(table: Table) -> _Grid:
    layout = table.layout
    heading = [(layout.row_heading, "")]
    supervised = any(row.supervision for row in layout.rows)
    heading += [("Supervision", "")] if supervised else []
    for column in layout.columns_in_print:
        group = column.label + _SCALES[column.unit][1]
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
    return _Grid(heading, lines, _notes(table))


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
    factor, decimals = _SCALES[column.unit][0], column.decimals
    if column.unit == "s":
        measured = _duration(cell) if cell["n"] else NO_RECORD
        return [measured, NO_RECORD if pd.isna(cell["printed"]) else cell["printed"]]
    measured = _mean_text(cell, factor, decimals) if cell["n"] else NO_RECORD
    published, difference = cell["published"], cell["difference"]
    return [
        measured,
        NO_RECORD if pd.isna(published) else f"{factor * published:.{decimals}f}",
        NO_RECORD
        if pd.isna(difference)
        else f"{factor * difference:+z.{decimals}f}".replace("-", "\N{MINUS SIGN}"),
    ]


def _mean_text(cell: dict[Any, Any], factor: float, decimals: int, unit: str = "") -> str:
    mean = f"{factor * cell['mean']:.{decimals}f}"
    if cell["n"] == 1:
        return f"{mean}{unit} (n=1)"
    return f"{mean} ± {factor * cell['sd']:.{decimals}f}{unit} (n={cell['n']})"


def _duration(cell: dict[Any, Any]) -> str:
    seconds, name = next((c for c in _CLOCK if cell["mean"] >= c[0]), _CLOCK[-1])
    return _mean_text(cell, 1 / seconds, 1, f" {name}")


def _notes(table: Table) -> list[str]:
    """What stands beneath a table, in plain words."""
    tier = table.records[0].tier
    columns = [(c, _of_column(table, c)) for c in table.layout.columns_in_print]
    return [
        TIERS.get(tier, f"Tier: {tier}."),
        _cells_note(table.layout),
        *(_column_note(column, records) for column, records in columns if records),
        *(note for column, _ in columns if (note := _interval_note(table, column))),
        f"Hardware: {_hardware(table.records)}.",
    ]


def _cells_note(layout: Layout) -> str:
    note = "mean ± sample standard deviation over n seeds (n=1: a single run)"
    if layout.source:
        note = (
            f"First measured: {note}; then published: {layout.source}; then the difference, "
            "measured minus published"
        )
    return f"{note[0].upper()}{note[1:]}. {NO_RECORD}: no record."


def _interval_note(table: Table, column: Column) -> str:
    """The headline's interval over the test images, of each row that has one."""
    cells = table.cells[table.cells["column"] == column.id]
    means = dict(zip(zip(cells["row"], cells["metric"], strict=True), cells["mean"], strict=True))
    factor, decimals, texts = _SCALES[column.unit][0], column.decimals, []
    for row in dict.fromkeys(cells["row"]):
        low, high = (means.get((row, f"{column.metric}_ci95_{end}")) for end in ("low", "high"))
        if low is not None and high is not None:
            texts.append(f"{row} {factor * low:.{decimals}f} to {factor * high:.{decimals}f}")
    if not texts:
        return ""
    listed = "; ".join(texts)
    return f"{column.label}, 95 % interval over images (bootstrap, mean over seeds): {listed}."


def _of_column(table: Table, column: Column) -> list[Record]:
    return [record for record in table.records if record.column == column.id]


def _column_note(column: Column, records: Sequence[Record]) -> str:
    recipes = _listed(record.recipe for record in records)
    data = _listed(f"{r.data} (fingerprint {r.data_fingerprint[:12]})" for r in records)
    data += "".join(
        f", proposals {shown}"
        for shown in dict.fromkeys(r.proposals for r in records)
        if shown != "none"
    )
    counts = _listed(f"{record.count:,}" for record in records)
    seeds = ", ".join(str(seed) for seed in sorted({record.seed for record in records}))
    return (
        f"{column.label}: {column.metric}, protocol {records[0].protocol} version "
        f"{records[0].protocol_version}, recipe {recipes}, data {data}, {counts} images, "
        f"seeds {seeds}."
    )


def _hardware(records: Sequence[Record]) -> str:
    machines = _listed(
        f"{record.device}, {record.threads} thread{'s' if record.threads > 1 else ''}"
        for record in records
    )
    versions = _listed(
        f"cebench {record.cebench_version}, torch {record.torch_version}" for record in records
    )
    return f"{machines}; {versions}"


def _listed(texts: Iterable[str]) -> str:
    """Each text once, in the order of appearance."""
    return "; ".join(dict.fromkeys(texts))
