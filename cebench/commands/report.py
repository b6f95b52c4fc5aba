"""`cebench report`: the measured numbers beside the published ones."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cebench.run_options import examples

if TYPE_CHECKING:
    from cebench.reporting.records import RecordFile
    from cebench.reporting.tables import Table


@click.command(
    epilog=examples(
        "cebench report runs",
        "cebench report runs --format html --out report.html",
        "cebench report runs --compare context random --column classification",
    )
)
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["markdown", "latex", "csv", "json", "html"]),
    help="csv and json carry every metric, unscaled and unrounded; html is one page with the "
    "curves and pictures of the run directories.  [default: markdown]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the tables to FILE instead of stdout.",
)
@click.option(
    "--collect",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also copy every record of the tables into DIR, one file per run. Name it `records` so "
    "that report finds the copies again.",
)
@click.option(
    "--compare",
    nargs=2,
    metavar="ROW ROW",
    help="Print the difference of two rows instead: interval, p and verdict of each column.",
)
@click.option("--baseline", metavar="ROW", help="The same of every other row and this one.")
@click.option("--column", metavar="COLUMN", help="Only this column, with --compare or --baseline.")
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Print every column under every definition of what it measures instead.",
)
@click.option(
    "--with-quoted",
    is_flag=True,
    help="Also print the rows of later papers, as markdown or latex; html always has them.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def report(
    results: tuple[Path, ...],
    format_name: str | None,
    out: Path | None,
    collect: Path | None,
    compare: tuple[str, str] | None,
    baseline: str | None,
    column: str | None,
    sensitivity: bool,
    with_quoted: bool,
    as_json: bool,
) -> None:
    """Print Tables 1 and 2: measured, published, difference.

    RESULTS are folders that are searched for record.json files of finished runs and for folders
    named `records` (default: results), or bundles of `cebench pack`. A cell is the mean over
    pretrainings and fine-tunings that agree in all but their seeds; what does not agree is refused,
    not averaged.

    Where runs have their predictions stored (outcome.safetensors), letters say which rows of a
    column differ; --compare and --baseline need them.
    """
    from cebench.errors import InputError
    from cebench.files import check_writable
    from cebench.reporting.results import check_not_read, read_results
    from cebench.reporting.tables import build_tables

    if as_json and format_name not in (None, "json"):
        raise click.UsageError(f"--json is --format json; leave out --format {format_name}")
    format_name = "json" if as_json else format_name or "markdown"
    if bool(compare) + bool(baseline) + sensitivity > 1:
        raise click.UsageError("give one of --compare, --baseline and --sensitivity")
    if column and not (compare or baseline):
        raise click.UsageError("--column narrows --compare ROW ROW or --baseline ROW; give one")
    if (compare or baseline or sensitivity) and format_name == "html":
        raise click.UsageError("only the tables are printed as html; choose another --format")
    if with_quoted and (compare or baseline or sensitivity or format_name in ("csv", "json")):
        raise click.UsageError("--with-quoted belongs to the tables as markdown or latex")
    if out is not None:
        check_writable(out.parent)
    folders = results or (Path("results"),)
    found = read_results(folders)
    if out is not None:
        check_not_read(out, found)
    tables = build_tables(found)
    if not tables:
        raise InputError(
            f"{', '.join(map(str, folders))}: no record found; expected record.json, which a "
            "finished `cebench pretrain` or `cebench transfer` leaves in its --out folder"
        )
    if compare or baseline:
        text = _comparison(tables, compare, baseline, column, format_name)
    elif sensitivity:
        text = sensitivity_text(tables, format_name)
    else:
        text = _tables(tables, found, format_name)
        text += _quoted(format_name) if with_quoted else ""
    if collect is not None:
        _collect([item for table in tables for item in table.files], collect)
    _emit(text, out)


def _tables(tables: "Sequence[Table]", found: "Sequence[RecordFile]", format_name: str) -> str:
    from cebench.reporting.formats import FORMATS
    from cebench.reporting.page.render import to_html
    from cebench.reporting.verdicts import with_letters

    lettered = with_letters(tables)
    return to_html(found, lettered) if format_name == "html" else FORMATS[format_name](lettered)


def _quoted(format_name: str) -> str:
    from cebench.reporting.quoted_formats import QUOTED_FORMATS

    return "\n" + QUOTED_FORMATS[format_name]() if format_name in QUOTED_FORMATS else ""


def _comparison(
    tables: "Sequence[Table]",
    compare: tuple[str, str] | None,
    baseline: str | None,
    column: str | None,
    format_name: str,
) -> str:
    from cebench.reporting.comparison_formats import COMPARISON_FORMATS
    from cebench.reporting.verdicts import compare_all, compare_two

    if compare:
        found = compare_two(tables, compare, column)
    else:
        found = compare_all(tables, str(baseline), column)
    return COMPARISON_FORMATS[format_name](found)


def sensitivity_text(tables: "Sequence[Table]", format_name: str) -> str:
    """The columns of `tables` under every definition."""
    from cebench.reporting.sensitivity import sensitivity_of
    from cebench.reporting.sensitivity_formats import SENSITIVITY_FORMATS

    return SENSITIVITY_FORMATS[format_name](sensitivity_of(tables))


def _emit(text: str, out: Path | None) -> None:
    from cebench.files import remove_leftovers, write_atomically

    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(out)
        write_atomically(out, text.encode())
        click.echo(f"wrote {out}", err=True)


def _collect(found: "Sequence[RecordFile]", folder: Path) -> None:
    """Write each record under its name, all or none; one that is there stays as it is."""
    from cebench.errors import InputError
    from cebench.reporting.records import load_record, record_name, write_record

    targets = {folder / f"{record_name(record)}.json": (path, record) for path, record in found}
    for target, (path, record) in targets.items():
        if target.exists() and load_record(target).measurements != record.measurements:
            raise InputError(
                f"{target}: holds other numbers of the same run than {path}; remove it or collect "
                "elsewhere"
            )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".collecting-", dir=folder) as parts:
        # Where a disk is full, it is here: nothing has been collected yet.
        new = [
            (write_record(Path(parts, target.name), record), target)
            for target, (_, record) in targets.items()
            if not target.exists()
        ]
        for part, target in new:
            part.replace(target)
