"""`cebench report`: the measured numbers beside the published ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cebench.reporting.records import RecordFile


@click.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["markdown", "latex", "csv", "json"]),
    default="markdown",
    show_default=True,
    help="csv and json carry every metric, unscaled and unrounded.",
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
    help="Also copy every record into DIR, one file per run. Name it `records` so that report "
    "finds the copies again.",
)
def report(
    results: tuple[Path, ...], format_name: str, out: Path | None, collect: Path | None
) -> None:
    """Print Tables 1 and 2: measured, published, difference.

    RESULTS are folders that are searched for record.json files of finished runs and for folders
    named `records` (default: results). A cell is the mean over pretrainings and fine-tunings that
    agree in all but their seeds; what does not agree is refused, not averaged.
    """
    from cebench.errors import InputError
    from cebench.files import write_atomically
    from cebench.reporting.formats import FORMATS
    from cebench.reporting.records import read_records
    from cebench.reporting.tables import build_tables

    folders = results or (Path("results"),)
    found = [item for folder in folders for item in read_records(folder)]
    tables = build_tables(found)
    if not tables:
        raise InputError(
            f"{', '.join(map(str, folders))}: no record found; expected record.json, which a "
            "finished `cebench pretrain` or `cebench transfer` leaves in its --out folder"
        )
    text = FORMATS[format_name](tables)
    if collect is not None:
        _collect([item for table in tables for item in table.files], collect)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text.encode())
        click.echo(f"wrote {out}", err=True)


def _collect(found: "Sequence[RecordFile]", folder: Path) -> None:
    """Write each record under its name; one that is there already stays as it is."""
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
    for target, (_, record) in targets.items():
        if not target.exists():
            write_record(target, record)
