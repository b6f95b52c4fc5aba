"""`cebench quickstart`."""

from pathlib import Path

import click

from cebench.run_options import SEED, examples


@click.command(
    epilog=examples(
        "cebench quickstart",
        "cebench quickstart --out demo --seed 1",
        "cebench quickstart --dry-run",
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
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of the toy world and of all training.",
)
@click.option("--dry-run", is_flag=True, help="Print the runs and what they would take.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON object.")
def quickstart(out: Path, seed: int, dry_run: bool, as_json: bool) -> None:
    """Run the whole paper small, offline, in minutes.

    Draws a toy world, pretrains the rows of Table 2, transfers each to three tasks, fills holes,
    and prints Tables 1 and 2 beside the published numbers; pictures and index.html go to the
    folder.
    It is `cebench suite run quickstart.toml`: the same command continues an interrupted run and
    returns at once from a finished one.
    """
    from cebench.suite.plan import SuiteRequest
    from cebench.suite.running import RunOptions, dry_run_text, run_suite

    if as_json and not dry_run:
        raise click.UsageError("--json belongs to --dry-run")
    request = SuiteRequest(file="quickstart.toml", out=out, seed=seed)
    if dry_run:
        click.echo(dry_run_text(request, RunOptions(), as_json=as_json))
        return
    click.echo(run_suite(request, RunOptions()), nl=False)
    click.echo(f"Pictures and tables: {out / 'index.html'}", err=True)
