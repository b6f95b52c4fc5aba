"""`cebench report`: the measured numbers beside the published ones."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cebench.reporting.records import Record


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
    help="Also copy every record into DIR, one file per number. Name it `records` so that report "
    "finds the copies again.",
)
def report(
    results: tuple[Path, ...], format_name: str, out: Path | None, collect: Path | None
) -> None:
    """Print Tables 1 and 2: measured, published, difference.

    RESULTS are folders that are searched for record.json files of finished runs and for folders
    named `records` (default: results). Runs of different tiers, protocols, data or recipes are
    refused, not averaged.
    """
    from cebench.errors import InputError
    from cebench.files import write_atomically
    from cebench.reporting.formats import FORMATS
    from cebench.reporting.records import read_records
    from cebench.reporting.tables import build_tables

    folders = results or (Path("results"),)
    found = [item for folder in folders for item in read_records(folder)]
    if not found:
        raise InputError(
            f"{', '.join(map(str, folders))}: no record found; expected record.json, which a "
            "finished `cebench pretrain` or `cebench transfer` leaves in its --out folder"
        )
    tables = build_tables(found)
    text = FORMATS[format_name](tables)
    if collect is not None:
        _collect((record for table in tables for record in table.records), collect)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, text.encode())
        click.echo(f"wrote {out}", err=True)


def _collect(records: Iterable["Record"], folder: Path) -> None:
    """Write each record under its address; one that is there already stays as it is."""
    from cebench.errors import InputError
    from cebench.reporting.records import load_records, record_address, write_record

    for record in records:
        path = folder / f"{record_address(record)}.json"
        if not path.exists():
            write_record(folder, record)
        elif load_records(path)[0].value != record.value:
            raise InputError(
                f"{path}: holds another value of the same number; remove it or collect elsewhere"
            )
