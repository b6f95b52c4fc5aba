"""Rows of later papers, `quoted.toml`: each number with where it was read, and its conflicts."""

import functools
import tomllib
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cebench.errors import CebenchError
from cebench.weights.method_names import RESCALED

Text = Annotated[str, Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class QuotedGroup(_Frozen):
    """Columns that stand in one table."""

    title: Text
    metric: Text
    """What the numbers are, as far as their sources say."""


class QuotedColumn(_Frozen):
    """One task and data set for which papers quote numbers."""

    id: Text
    """That of `published.toml` where this project measures it too."""
    label: Text
    group: Text


class QuotedRow(_Frozen):
    """One method for which papers quote numbers."""

    id: Text
    """That of `published.toml` where the paper has the row too, plus a suffix for a variant."""
    label: Text
    source: Text
    """The work whose weights were measured."""


class QuotedNumber(_Frozen):
    """One quoted number, its cell and the papers that quote it."""

    row: Text
    column: Text
    percent: float = Field(gt=0, lt=100)
    quoted_by: tuple[Text, ...] = Field(min_length=1)
    """Ids of the sources in which it was read."""


class Conflict(_Frozen):
    """Sources that give different numbers for one cell."""

    row: Text
    column: Text
    note: Text


class Quoted(_Frozen):
    """All quoted numbers, in groups of columns, with sources and conflicts."""

    checked: bool
    """Whether the numbers were compared with the papers' PDFs by a person."""
    sources: dict[str, Text]
    groups: dict[str, QuotedGroup]
    columns: tuple[QuotedColumn, ...]
    rows: tuple[QuotedRow, ...]
    numbers: tuple[QuotedNumber, ...]
    conflicts: tuple[Conflict, ...]

    @model_validator(mode="after")
    def _hangs_together(self) -> "Quoted":
        rows, columns = {row.id for row in self.rows}, {column.id for column in self.columns}
        stated = {(conflict.row, conflict.column) for conflict in self.conflicts}
        cells = [(number.row, number.column) for number in self.numbers]
        for row, column in (*cells, *stated):
            if row not in rows or column not in columns:
                raise ValueError(f"{row} {column}: no such row or column")
        if unknown := {column.group for column in self.columns} - self.groups.keys():
            raise ValueError(f"no such group: {', '.join(sorted(unknown))}")
        if unknown := {q for n in self.numbers for q in n.quoted_by} - self.sources.keys():
            raise ValueError(f"no such source: {', '.join(sorted(unknown))}")
        if unstated := {cell for cell in cells if cells.count(cell) > 1} - stated:
            row, column = min(unstated)
            raise ValueError(f"{row} {column}: several values, but no conflict is stated")
        return self

    def find(self, rows: Iterable[str], column: str) -> list[QuotedNumber]:
        """The numbers of `column` in any of `rows`."""
        wanted = set(rows)
        return [n for n in self.numbers if n.row in wanted and n.column == column]

    def variants(self, row: str) -> list[str]:
        """Ids of `row` and of its variants (`row-rescaled`, ...)."""
        return [r.id for r in self.rows if r.id == row or r.id.startswith(row + RESCALED)]


@functools.cache
def load_quoted() -> Quoted:
    """The quoted numbers that ship with cebench; CebenchError if the file is damaged."""
    file = resources.files("cebench.reporting").joinpath("quoted.toml")
    return parse_quoted(file.read_text(encoding="utf-8"))


def parse_quoted(text: str) -> Quoted:
    """The quoted numbers that `text` (TOML) holds; a mistake is one line."""
    try:
        return Quoted.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CebenchError(f"quoted.toml: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise CebenchError(f"quoted.toml: {where}: {first['msg']}") from None


def quoted_page(quoted: Quoted) -> str:
    """All quoted numbers as a Markdown page: a table per group, then the conflicts."""
    parts = ["# Numbers of later papers"]
    parts.append(
        "Published rows beside those of Tables 1 and 2, in percent, each with where it was read. "
        "They were measured by other groups, with other code and sometimes other networks."
    )
    if not quoted.checked:
        parts.append(
            ":::{warning}\nRead by machine from copies of the papers; compare with the paper "
            "before you print one.\n:::"
        )
    parts += [_group_table(quoted, group) for group in quoted.groups]
    conflicts = "\n".join(f"- **{c.row}, {c.column}:** {c.note}" for c in quoted.conflicts)
    sources = "\n".join(f"{n}. {title}" for n, title in enumerate(quoted.sources.values(), 1))
    parts += ["## Conflicts", conflicts, "## Sources", sources]
    return "\n\n".join(parts) + "\n"


def _group_table(quoted: Quoted, group: str) -> str:
    columns = [column for column in quoted.columns if column.group == group]
    ids = list(quoted.sources)
    head = "| Row | " + " | ".join(column.label for column in columns) + " |"
    lines = [head, "| --- " + "| ---: " * len(columns) + "|"]
    for row in quoted.rows:
        cells = [quoted.find([row.id], column.id) for column in columns]
        if any(cells):
            shown = [", ".join(_with_sources(n, ids) for n in numbers) or "—" for numbers in cells]
            lines.append(f"| {row.label} | " + " | ".join(shown) + " |")
    title = quoted.groups[group]
    return f"## {title.title}\n\n{title.metric}\n\n" + "\n".join(lines)


def _with_sources(number: QuotedNumber, sources: Sequence[str]) -> str:
    """The number and, in brackets, where its sources stand in the list of sources."""
    places = sorted(sources.index(id) + 1 for id in number.quoted_by)
    return f"{number.percent} [{', '.join(map(str, places))}]"
