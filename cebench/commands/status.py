"""`cebench status`: how far the runs below a folder are."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cebench.run_options import examples, json_option

if TYPE_CHECKING:
    from cebench.training.run_status import RunStatus


@click.command(
    epilog=examples(
        "cebench status runs",
        "cebench status runs --json | jq '.runs[] | select(.state == \"stopped\") | .path'",
    )
)
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Say of every run below FOLDER whether it is finished, running, stopped or failed.

    A stopped run goes on when its command is given again.
    """
    from cebench.errors import InputError
    from cebench.progress import counted
    from cebench.training.run_status import runs_below

    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds run directories")
    runs = runs_below(folder)
    if as_json:
        listed = [asdict(run) | {"path": str(run.path)} for run in runs]
        click.echo(json.dumps({"folder": str(folder), "runs": listed}, indent=2))
        return
    for run in runs:
        click.echo(_line(run, folder))
    counts = Counter(run.state for run in runs)
    found = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    click.echo(
        f"{counted(len(runs), 'run')} below {folder}" + (f": {found}" if found else ""), err=True
    )


def _line(run: "RunStatus", folder: Path) -> str:
    """Such as `stopped at 400 of 1,000   pretrain context    seed 0   runs/context-s0`."""
    how_far: str = run.state
    if run.state in ("stopped", "failed", "running") and run.steps:
        how_far += f" at {run.step:,} of {run.steps:,}"
    seed = "" if run.seed is None else f"seed {run.seed}"
    place = run.path.relative_to(folder) if run.path != folder else run.path
    problem = f"  ({run.problem})" if run.problem else ""
    return f"{how_far:<28}{run.program:<28}{seed:<9}{place}{problem}"
