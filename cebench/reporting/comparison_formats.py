"""Comparisons of rows as Markdown, LaTeX, CSV and JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cebench.reporting.formats import booktabs, pair_values, pipe_table
from cebench.reporting.published import MINUS, load_published
from cebench.reporting.verdicts import NamedComparison

HEADINGS = ("Column", "Rows", "Difference", "95 % interval", "p", "Adjusted p", "Over", "Verdict")
_TESTS = {
    "permutation": "Where each row is one run, p is from a permutation test over images, the "
    "interval from bootstrap draws of them and Student's t: near 5 % an interval without zero may "
    "stand beside rows that cannot be told apart, or the reverse. The verdict is by p, adjusted.",
    "t": "Where a row has several runs, p is Student's t test, as the interval is.",
}
"""What p is from -> what stands beneath the comparisons."""
_LEFT = (True, True, False, False, False, False, True, True)


def comparisons_to_markdown(found: Sequence[NamedComparison]) -> str:
    """A heading, a pipe table and notes for each table of the paper."""
    parts = []
    for table in dict.fromkeys(comparison.table for comparison in found):
        inside = [comparison for comparison in found if comparison.table == table]
        notes = "\n".join(f"- {note}" for note in comparison_notes(inside))
        lines = "\n".join(pipe_table(HEADINGS, [pair_texts(c) for c in inside], _LEFT))
        parts.append(f"## {load_published().layouts[table].heading}\n\n{lines}\n\n{notes}\n")
    return "\n".join(parts)


def comparisons_to_latex(found: Sequence[NamedComparison]) -> str:
    """One `tabular`; needs the package booktabs."""
    lines = [pair_texts(comparison) for comparison in found]
    return "\n".join([*booktabs(HEADINGS, lines, _LEFT, comparison_notes(found)), ""])


def comparisons_to_csv(found: Sequence[NamedComparison]) -> str:
    """A line for each pair, unscaled and unrounded."""
    return pd.DataFrame([as_values(c) for c in found]).to_csv(index=False, lineterminator="\n")


def comparisons_to_json(found: Sequence[NamedComparison]) -> str:
    """`{"comparisons": [{"table", "column", "first", "second", "metric", "difference", ..}]}`."""
    content = {"comparisons": [as_values(comparison) for comparison in found]}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


COMPARISON_FORMATS = {
    "markdown": comparisons_to_markdown,
    "latex": comparisons_to_latex,
    "csv": comparisons_to_csv,
    "json": comparisons_to_json,
}


def as_values(comparison: NamedComparison) -> dict[str, Any]:
    """One pair with plain values, and where it stands."""
    return {
        "table": comparison.table,
        "column": comparison.column.id,
        "unit": comparison.column.unit,
        **pair_values(comparison.first, comparison.second, comparison.found),
    }


def pair_texts(comparison: NamedComparison) -> list[str]:
    """One pair as printed, a text for each of HEADINGS."""
    column, found = comparison.column, comparison.found
    low, high = map(column.signed, found.interval)
    return [
        column.heading,
        f"{comparison.first} {MINUS} {comparison.second}",
        column.signed(found.difference),
        f"{low} to {high}",
        _p_value(found.p_value),
        _p_value(found.adjusted_p_value),
        found.varied,
        "differ" if found.differs else "cannot be told apart",
    ]


def comparison_notes(found: Sequence[NamedComparison]) -> list[str]:
    """What stands beneath comparisons."""
    metrics = dict.fromkeys(f"{c.column.label} by {c.found.metric}" for c in found)
    tests = [text for test, text in _TESTS.items() if any(c.found.test == test for c in found)]
    return [
        f"Compared on the same test images: {'; '.join(metrics)}.",
        "p: two-sided; adjusted (Holm) over the rows of a column that are compared here. "
        "Over images it is a claim about these networks, over pretrainings one about the methods. "
        "Rows that cannot be told apart are not shown to be equal: see the interval.",
        *tests,
    ]


def _p_value(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
