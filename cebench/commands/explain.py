"""`cebench explain`: everything that determines one number of a table."""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cebench.run_options import examples, json_option

if TYPE_CHECKING:
    from cebench.reporting.published import Column, Layout

COLUMNS = 80


@click.command(
    epilog=examples(
        'cebench explain "context detection"',
        'cebench explain "context detection" --json',
    )
)
@click.argument("cell", metavar="CELL")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of runs or records in which measured numbers are looked for "
    "(default: results, if it is there).",
)
@json_option
def explain(cell: str, results: Path | None, *, as_json: bool) -> None:
    """Tell what determines a number: its protocol, the choices and their sources, the records.

    CELL is a row and a column of a table, such as "context detection", "context-gan psnr" or
    "imagenet (torchvision/alexnet) detection".
    """
    row, layout, column = find_cell(cell)
    folder = results or (Path("results") if Path("results").is_dir() else None)
    records = _records(folder, layout, column, row) if folder else []
    if not records:
        _check_row(cell, row, layout)
    content = {
        "row": row,
        "column": column.id,
        "table": layout.heading,
        **_protocol(layout, column),
        "published": _published(layout, column, row),
        "quoted": _quoted(row, column),
        "records": records,
        "choices": _choices(row, _task(layout, column)),
    }
    if as_json:
        click.echo(json.dumps(content, indent=2))
        return
    for line in _lines(content, folder):
        click.echo(_wrapped(line))


def find_cell(cell: str) -> tuple[str, "Layout", "Column"]:
    """Row, table and column that `cell` names; the row may be any."""
    from cebench.errors import InputError, did_you_mean
    from cebench.reporting.published import load_published

    row, _, column_id = " ".join(cell.split()).rpartition(" ")
    layouts = load_published().layouts.values()
    columns = {column.id: (layout, column) for layout in layouts for column in layout.columns}
    if not row:
        raise InputError(f'{cell!r}: expected a row and a column, such as "context detection"')
    if column_id not in columns:
        raise InputError(f"{cell!r}: no column {column_id!r}; {did_you_mean(column_id, columns)}")
    return row, *columns[column_id]


def _check_row(cell: str, row: str, layout: "Layout") -> None:
    """InputError where no record has the row, and the paper's table neither."""
    from cebench.errors import InputError, did_you_mean

    known = [known_row.id for known_row in layout.rows]
    if known and row.partition(" (")[0] not in known:
        raise InputError(
            f"{cell!r}: no row {row!r}; {did_you_mean(row, known)}, or one that a record in "
            "--results DIR has in this column"
        )


def _task(layout: "Layout", column: "Column") -> str:
    """The transfer task that measures `column`; empty for the pretraining time."""
    from cebench.transfer.run import TASKS

    tasks = [name for name, task in TASKS.items() if task.table == layout.id]
    if len(tasks) == 1:
        return tasks[0]
    return next((name for name in tasks if column.id.split("_")[0] == name), "")


def _protocol(layout: "Layout", column: "Column") -> dict[str, Any]:
    from cebench.transfer.run import TASKS

    task = _task(layout, column)
    protocol = f"{TASKS[task].protocol} version {TASKS[task].protocol_version}" if task else ""
    return {
        "task": task,
        "protocol": protocol or "pretraining-time",
        "metric": column.metric,
        "unit": column.unit,
        "aggregation": column.aggregation,
    }


def _published(layout: "Layout", column: "Column", row: str) -> dict[str, Any] | None:
    from cebench.reporting.published import load_published

    for number in load_published().numbers:
        if (number.table, number.row, number.column) == (layout.id, row, column.id):
            return {"value": number.value, "printed": number.printed, "source": layout.source}
    return None


def _quoted(row: str, column: "Column") -> dict[str, Any]:
    from cebench.reporting.quoted import load_quoted

    quoted = load_quoted()
    rows = quoted.variants(row)
    return {
        "numbers": [
            {
                "row": number.row,
                "percent": number.percent,
                "quoted_by": [quoted.sources[id] for id in number.quoted_by],
            }
            for number in quoted.find(rows, column.id)
        ],
        "conflicts": [c.note for c in quoted.conflicts if c.row in rows and c.column == column.id],
        "checked": quoted.checked,
    }


def _records(folder: Path, layout: "Layout", column: "Column", row: str) -> list[dict[str, Any]]:
    """The measured numbers of the cell below `folder`: headline only.

    The one function here that knows how a record looks.
    """
    from cebench.reporting.cells import Number, line_of
    from cebench.reporting.records import read_records, record_name

    # A suite has each record in its run and in records/.
    found = {record_name(record): (path, record) for path, record in read_records(folder)}
    wanted = (row, column.id, column.metric)
    return [
        {
            "path": str(path),
            "value": measured.value,
            "tier": Number(path, record, measured, row).tier,
            "recipe": record.recipe.name,
            "pretraining_seed": record.weights.seed if measured.of_weights else None,
            "seed": record.seed,
            "protocol": f"{record.protocol} version {record.protocol_version}",
            "data": record.data.name,
            "weights": f"{record.weights.name} ({record.weights.recipe.name})",
        }
        for path, record in found.values()
        if record.table == layout.id
        for measured in record.measurements
        if (line_of(record, measured, layout), measured.column, measured.metric) == wanted
    ]


def _choices(row: str, task: str) -> list[dict[str, Any]]:
    from cebench.reporting.ledger import default_text, load_ledger
    from cebench.reporting.row_names import method_of_row

    ledger = load_ledger()
    return [
        {
            "id": entry.id,
            "area": ledger.areas[entry.area].title,
            "heading": entry.heading,
            "here": default_text(entry),
            "choices": [choice.model_dump() for choice in entry.choices],
            "why": entry.why,
            "effect": entry.effect,
        }
        for entry in ledger.of_programs({method_of_row(row), task} - {""})
    ]


def _lines(content: dict[str, Any], folder: Path | None) -> list[str]:
    scale, unit = _scale(content["unit"])
    lines = [
        f"{content['row']} {content['column']}: {content['table']}",
        f"  measured by  {content['protocol']}, metric {content['metric']}",
        f"  which is     {content['aggregation']}",
    ]
    if published := content["published"]:
        lines.append(f"  published    {published['printed']}, {published['source']}")
    else:
        lines.append("  published    no number")
    for number in content["quoted"]["numbers"]:
        sources = "; ".join(number["quoted_by"])
        lines.append(f"  quoted       {number['percent']:g} % ({number['row']}): {sources}")
    lines += [f"  conflict     {note}" for note in content["quoted"]["conflicts"]]
    for record in content["records"]:
        pretraining = record["pretraining_seed"]
        of_weights = "" if pretraining is None else f"pretraining {pretraining}, "
        lines.append(
            f"  record       {record['value'] * scale:.2f}{unit}, {of_weights}seed "
            f"{record['seed']}, {record['tier']}, recipe {record['recipe']}: {record['path']}"
        )
    if not content["records"]:
        lines.append(f"  record       none in {folder or 'results (give --results DIR)'}")
    area = ""
    for choice in content["choices"]:
        if choice["area"] != area:
            area = choice["area"]
            lines += ["", f"Choices: {area}"]
        lines += _choice_lines(choice)
    return lines


def _choice_lines(choice: dict[str, Any]) -> list[str]:
    lines = [f"  {choice['heading']} [{choice['id']}]", f"    here: {choice['here']}"]
    lines += [f"    - {item['value']}: {item['source']}" for item in choice["choices"]]
    if choice["effect"]:
        lines.append(f"    measured: {choice['effect']}")
    return lines


def _wrapped(line: str) -> str:
    """`line` in COLUMNS columns, its continuations indented below its own indent."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line,
        COLUMNS,
        subsequent_indent=indent,
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _scale(unit: str) -> tuple[float, str]:
    return (100, " %") if unit == "fraction" else (1, {"db": " dB"}.get(unit, f" {unit}"))
