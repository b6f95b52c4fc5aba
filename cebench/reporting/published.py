"""The published numbers of Tables 1 and 2 and the layout of the tables: `published.toml`, typed."""

import functools
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table: a metric, its unit and what its rows share."""

    id: str
    label: str
    metric: str
    """The headline: the metric whose records stand in the rendered table."""
    unit: str
    """`fraction`, `db` or `s`, of the published value and of the headline's records."""
    decimals: int
    aggregation: str
    """What the published number averages."""
    images: int | None = None
    """How many images the published numbers were scored on; None: it has none."""
    in_print: bool = True
    """Whether the rendered table has it; CSV and JSON have every column."""
    rows_share_recipe: bool = True
    """Whether all rows must be measured with one recipe on the same data (else: each row)."""
    may_differ_per_row: tuple[str, ...] = ()
    """Options of that recipe which rows may have their own values of; the table says which."""

    @property
    def factor(self) -> float:
        """What its values are multiplied by in print."""
        return 100.0 if self.unit == "fraction" else 1.0

    def text(self, value: float) -> str:
        """`value` in print, without its unit: multiplied and rounded here and in `signed` alone."""
        return f"{self.factor * value:.{self.decimals}f}"

    def signed(self, value: float, sign: str = "+") -> str:
        """The same of what may be negative, or no number; `sign`: of what is not."""
        if not math.isfinite(value):
            return "undefined"
        return f"{self.factor * value:{sign}z.{self.decimals}f}".replace("-", MINUS)

    @property
    def heading(self) -> str:
        """The label with the unit in print; times carry their own."""
        return self.label + {"fraction": " (%)", "db": " (dB)"}.get(self.unit, "")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: a method or a way of filling."""

    id: str
    label: str
    supervision: str = ""
    """The paper's cell of that name (Table 2)."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """One number that the paper prints, and its cell."""

    table: str
    row: str
    column: str
    value: float
    """In the column's unit."""
    printed: str
    """As the paper prints it."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One table: columns and rows in the order of print."""

    id: str
    title: str
    row_heading: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    architectures: tuple[str, ...]
    """Networks that the rows are about; any other stands in a line of its own."""
    source: str = ""
    """Where its published numbers stand in the paper; empty for a table that the paper lacks."""

    @property
    def heading(self) -> str:
        """The title, with the paper's number where it has one."""
        return f"Table {self.id}. {self.title}" if self.source else self.title

    @property
    def supervised(self) -> bool:
        """Whether it has the paper's column Supervision."""
        return any(row.supervision for row in self.rows)

    @property
    def columns_in_print(self) -> list[Column]:
        """The columns that the printed table shows."""
        return [column for column in self.columns if column.in_print]


@dataclass(frozen=True, kw_only=True)
class Published:
    """All tables and the paper's numbers in them."""

    paper: str
    layouts: dict[str, Layout]
    """By table id: "1" and "2", and "linear", "low-shot", "knn" and
    "dense-probe", which the paper lacks."""
    numbers: tuple[Number, ...]


@functools.cache
def load_published() -> Published:
    """Tables 1 and 2 as the paper prints them."""
    text = (
        resources.files("cebench.reporting").joinpath("published.toml").read_text(encoding="utf-8")
    )
    content = tomllib.loads(text)
    return Published(
        paper=content["paper"],
        layouts={id: _layout(id, table) for id, table in content["tables"].items()},
        numbers=tuple(Number(**number) for number in content["numbers"]),
    )


def _layout(id: str, table: dict[str, Any]) -> Layout:
    columns = tuple(_column(**column) for column in table.pop("columns"))
    rows = tuple(Row(**row) for row in table.pop("rows"))
    architectures = tuple(table.pop("architectures"))
    return Layout(id=id, columns=columns, rows=rows, architectures=architectures, **table)


def _column(may_differ_per_row: Sequence[str] = (), **values: Any) -> Column:
    return Column(may_differ_per_row=tuple(may_differ_per_row), **values)
