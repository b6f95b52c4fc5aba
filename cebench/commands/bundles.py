"""`cebench pack` and `cebench verify`: numbers that anyone can score again."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from cebench.run_options import dry_run_option, examples, json_option


@click.command(
    epilog=examples(
        "cebench pack runs --out results.zip",
        "cebench pack runs/a runs/b --out two.zip",
    )
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="BUNDLE.zip",
    help="The bundle to write.",
)
@dry_run_option
@json_option
def pack(runs: tuple[Path, ...], out: Path, dry_run: bool, as_json: bool) -> None:
    """Pack the records of finished runs with what they were scored from into one small file.

    RUNS are run directories, folders that hold some, or bundles. Each number is scored again before
    it is packed; the photographs are not needed, and are not in the bundle.
    """
    from cebench.progress import counted
    from cebench.reporting.packing import pack_runs

    found = pack_runs(runs, out, write=not dry_run)
    if as_json:
        shown = {"bundle": str(out), **asdict(found), "written": not dry_run}
        click.echo(json.dumps(shown, indent=2))
        return
    size = "not written" if dry_run else f"{out.stat().st_size / 2**20:.2f} MiB"
    click.echo(
        f"{out}: {counted(found.records, 'record')}, "
        f"{counted(found.numbers, 'number')} that can be scored again, "
        f"{len(found.without_outcome)} that cannot, {size}"
    )


@click.command(
    epilog=examples(
        "cebench verify results.zip",
        "cebench verify results.zip --quick --json",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Leave out the intervals, which are drawn 2,000 times.")
@json_option
def verify(bundle: Path, quick: bool, as_json: bool) -> None:
    """Check every byte of a bundle and score each of its numbers again, without photographs.

    What does not hold is named, a line each, and the exit status is 1.
    """
    from cebench.errors import CebenchError
    from cebench.progress import counted
    from cebench.reporting.packing import verify_bundle

    found = verify_bundle(bundle, intervals=not quick)
    if as_json:
        click.echo(json.dumps({**asdict(found), "holds": not found.problems}, indent=2))
    else:
        for problem in found.problems:
            click.echo(problem)
        click.echo(
            f"{bundle}: {counted(found.records, 'record')}; {counted(found.numbers, 'number')} and "
            f"{counted(found.intervals, 'interval')} hold, "
            f"{counted(len(found.without_outcome), 'number')} cannot be scored again"
        )
    if found.problems:
        raise CebenchError(
            f"{bundle}: {counted(len(found.problems), 'problem')}; first: {found.problems[0]}"
        )
