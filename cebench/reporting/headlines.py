"""Headline numbers in the unit of their table, and the paper's beside them."""

from collections.abc import Mapping, Sequence

from cebench.metrics.image_intervals import outside_word
from cebench.reporting.cell_texts import duration_text
from cebench.reporting.published import Column, load_published
from cebench.reporting.records import Interval, Measurement, Record

_UNITS = {"fraction": " %", "db": " dB"}
_NAMES = {
    "mean_ap_sklearn": "mean AP (scikit-learn's)",
    "mean_ap_voc07_11pt": "mean AP (VOC2007's, 11 points)",
    "mean_ap_area": "mean AP",
    "mean_iou": "mean IoU",
    "psnr_per_image_mean_db": "mean of the images'",
}
"""Metric -> what a person calls it, behind the label of its column."""


def headline_lines(record: Record) -> list[str]:
    """A line for each measurement of `record` that its table has a column for, in its unit."""
    layout = load_published().layouts[record.table]
    columns = {(column.id, column.metric): column for column in layout.columns}
    lines = []
    for number in record.measurements:
        column = columns.get((number.column, number.metric))
        if column is not None:
            lines.append(_line(number, column))
    return lines


def _line(number: Measurement, column: Column) -> str:
    name = f"{column.label}, {_NAMES[number.metric]}" if number.metric in _NAMES else column.label
    value = duration_text(number.value) if number.unit == "s" else text_of(number.value, column)
    interval = interval_text(number.value, number.interval, column) if number.interval else ""
    return f"{number.row:<28} {name:<46} {value:>10}{interval}   {number.count:,} images"


def text_of(value: float, column: Column) -> str:
    """`value` as the column prints it, with its unit."""
    return f"{column.text(value)}{_UNITS.get(column.unit, '')}"


def interval_text(value: float, interval: Interval, column: Column) -> str:
    """An interval as the column prints it, with a word where `value` itself lies outside."""
    low, high = column.text(interval.low), column.text(interval.high)
    word = outside_word(value, interval.low, interval.high)
    return f"   {100 * interval.level:g} %: {low} to {high}{word}"


def published_lines(table: str, columns: Sequence[str]) -> list[str]:
    """The paper's numbers in `columns` of a table, a line for each row that has one."""
    published = load_published()
    layout = published.layouts[table]
    known = {column.id: column for column in layout.columns}
    rows: dict[str, dict[str, str]] = {}
    for number in published.numbers:
        if number.table == table and number.column in columns:
            text = text_of(number.value, known[number.column])
            rows.setdefault(number.row, {})[number.column] = text
    if not rows:
        return []
    heading = "".join(f"{known[column].label:>14}" for column in columns)
    return [
        f"{f'published, {layout.source}':<48}{heading}",
        *(f"  {row:<46}{_cells(found, columns)}" for row, found in rows.items()),
    ]


def _cells(found: Mapping[str, str], columns: Sequence[str]) -> str:
    return "".join(f"{found.get(column, '-'):>14}" for column in columns)
