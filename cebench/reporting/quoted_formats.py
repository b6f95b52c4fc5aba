"""Rows of later papers as a table beneath Table 2, in Markdown or LaTeX."""

from collections.abc import Callable, Sequence

from cebench.reporting.formats import booktabs, pipe_table
from cebench.reporting.notes import NO_RECORD
from cebench.reporting.published import load_published
from cebench.reporting.quoted import QuotedNumber, load_quoted

_TITLE = "Rows of later papers beside Table 2"
_COLUMNS = ("classification", "detection", "segmentation")


def quoted_to_markdown() -> str:
    """A heading, a pipe table and notes; several values of a cell stand beside each other."""
    heading, lines, left = _table()
    notes = "\n".join(f"- {note}" for note in _notes())
    return f"## {_TITLE}\n\n" + "\n".join(pipe_table(heading, lines, left)) + f"\n\n{notes}\n"


def quoted_to_latex() -> str:
    """One `tabular`; needs the package booktabs."""
    return "\n".join([f"% {_TITLE}", *booktabs(*_table(), _notes()), ""])


QUOTED_FORMATS: dict[str, Callable[[], str]] = {
    "markdown": quoted_to_markdown,
    "latex": quoted_to_latex,
}


def _table() -> tuple[list[str], list[list[str]], list[bool]]:
    """Heading, lines, and which columns are aligned to the left."""
    quoted = load_quoted()
    labels = {column.id: column.label for column in load_published().layouts["2"].columns}
    heading = ["Row", *(f"{labels[column]} (%)" for column in _COLUMNS), "Quoted by"]
    lines = []
    for row in quoted.rows:
        found = [quoted.find([row.id], column) for column in _COLUMNS]
        if any(found):
            papers = dict.fromkeys(q for numbers in found for n in numbers for q in n.quoted_by)
            lines.append([f"{row.label} ({row.id})", *map(_cell, found), ", ".join(papers)])
    return heading, lines, [True, False, False, False, True]


def _cell(numbers: Sequence[QuotedNumber]) -> str:
    return " / ".join(f"{number.percent:.1f}" for number in numbers) or NO_RECORD


def _notes() -> list[str]:
    quoted = load_quoted()
    read = "compared with" if quoted.checked else "read by machine and not yet compared with"
    sources = [f"{name}: {source}" for name, source in quoted.sources.items()]
    return [f"Numbers as later papers print them, {read} their PDFs.", *sources]
