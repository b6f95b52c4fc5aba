"""`cebench suite`: rows x pretrainings x tasks x seeds from one file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cebench.commands.groups import SuggestingGroup
from cebench.run_options import DEVICES

if TYPE_CHECKING:
    from cebench.suite.plan import SuiteRequest
    from cebench.suite.running import RunOptions

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(cls=SuggestingGroup)
def suite() -> None:
    """Compute rows x pretrainings x tasks x seeds from one file, on this machine or a cluster."""


def _suite_options(command: Command) -> Command:
    """FILE and the options that say which suite it is."""
    options = (
        click.argument("file"),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            required=True,
            help="Folder for everything the suite makes.",
        ),
        click.option(
            "--data",
            multiple=True,
            metavar="NAME=PATH",
            help="A path in place of the one that the suite has for NAME; may be given several "
            "times.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="The first seed of pretrainings and fine-tunings, and that of drawn data.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@suite.command()
@_suite_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Cells at once; one for each GPU, or what cores and memory allow, if not given.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads of each cell.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option("--retry", is_flag=True, help="Try cells again that failed.")
@click.option("--dry-run", is_flag=True, help="Print the cells and what they would take.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON object.")
def run(
    workers: int | None,
    threads: int | None,
    device: str,
    retry: bool,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    r"""Compute what is not finished of the suite FILE, and print its tables.

    FILE is a suite of yours, or one that comes along: quickstart.toml, toy.toml, paper.toml,
    small.toml, backbones.toml. The same command continues an interrupted run; several may run
    beside each other, on machines that share the folder too. Examples:

    \b
      cebench suite run toy.toml --out toy-suite --workers 2
      cebench suite run paper.toml --out paper --data voc=VOCdevkit --data imagenet=stores/imagenet
    """
    from cebench.logs import show_log
    from cebench.suite.running import RunOptions, run_suite

    show_log()
    options = RunOptions(workers=workers or 0, threads=threads or 0, device=device, retry=retry)
    if dry_run:
        click.echo(_dry_run(_request(**given), options, as_json))
        return
    if as_json:
        raise click.UsageError("--json belongs to --dry-run; `cebench suite status --json` tells")
    click.echo(run_suite(_request(**given), options), nl=False)
    click.echo(f"Pictures and tables: {given['out'] / 'index.html'}", err=True)


def _dry_run(request: "SuiteRequest", options: "RunOptions", as_json: bool) -> str:
    import json

    from cebench.suite import dry_run
    from cebench.suite.folder import SuiteFolder
    from cebench.suite.running import open_plan, shares_of

    shares = shares_of(request, options)
    found = dry_run.dry_run(open_plan(request), SuiteFolder(request.out), shares)
    return json.dumps(dry_run.as_json(found), indent=2) if as_json else dry_run.as_text(found)


@suite.command()
@click.option(
    "--threads",
    multiple=True,
    type=click.IntRange(min=1),
    help="Numbers of threads to measure; 1 and all cores if not given.",
)
def calibrate(threads: tuple[int, ...]) -> None:
    """Measure how fast this machine is, for the estimates of --dry-run: half a minute."""
    from cebench.suite.calibration import calibrate, calibration_file
    from cebench.suite.machine import core_count

    found = calibrate(list(threads) or sorted({1, core_count()}))
    for count, seconds in found.step.items():
        halved = found.half_step[count]
        click.echo(
            f"{count} threads: {1 / seconds:.1f} images/s trained, {1 / halved:.1f} in bfloat16"
        )
    click.echo(f"{1 / found.decode_seconds:.0f} photographs/s decoded on one thread")
    click.echo(f"kept in {calibration_file()}", err=True)


@suite.command()
@_suite_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write the page of `cebench report` with what there is, dashes for what is not.",
)
def status(as_json: bool, html: Path | None, **given: Any) -> None:
    """Say how far the suite FILE is: finished cells of each row and task, then what failed.

    It computes nothing, and may look at a suite that is under way.
    """
    import json

    from cebench.suite import grid
    from cebench.suite.folder import SuiteFolder
    from cebench.suite.running import open_plan, write_page

    request = _request(**given)
    plan = open_plan(request)
    statuses = SuiteFolder(request.out).statuses(plan.cells)
    if html:
        write_page(plan, request, html)
    if as_json:
        cells = [grid.as_json(one) for one in statuses]
        click.echo(json.dumps({"title": plan.title, "cells": cells}, indent=2))
        return
    click.echo(grid.grid_as_text(statuses))
    click.echo(grid.counts_as_text(statuses), err=True)


def _request(file: str, out: Path, data: tuple[str, ...], seed: int) -> "SuiteRequest":
    from cebench.errors import InputError
    from cebench.suite.plan import SuiteRequest

    for text in data:
        if "=" not in text:
            raise InputError(f"--data {text}: expected NAME=PATH, e.g. --data voc=VOCdevkit")
    paths = dict(text.split("=", 1) for text in data)
    return SuiteRequest(file=file, out=out, data=paths, seed=seed)
