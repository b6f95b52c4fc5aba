"""`cebench quickstart`."""

from pathlib import Path

import click

from cebench.run_options import examples


@click.command(
    epilog=examples(
        "cebench quickstart",
        "cebench quickstart --out demo --seed 1",
    )
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("cebench-quickstart"),
    show_default=True,
    help="Folder for everything it makes.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the toy world and of all training.",
)
def quickstart(out: Path, seed: int) -> None:
    """Run the whole paper small, offline, in minutes.

    Draws a toy world, pretrains three backbones, transfers each to three tasks, fills holes, and
    prints Tables 1 and 2 beside the published numbers; pictures and index.html go to the folder.
    The same command continues an interrupted run and returns at once from a finished one.
    """
    from cebench.logs import show_log
    from cebench.suite.quickstart import finished_report, run_quickstart

    show_log()
    text = finished_report(out, seed) or run_quickstart(out, seed)
    click.echo(text, nl=False)
    click.echo(f"Pictures and tables: {out / 'index.html'}", err=True)
