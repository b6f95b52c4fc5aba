"""`cebench suite`: rows x pretrainings x tasks x seeds from one file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cebench.commands.groups import SuggestingGroup
from cebench.run_options import DEVICES, SEED, add_options, dry_run_option, examples, json_option

if TYPE_CHECKING:
    from cebench.suite.merging import Merged
    from cebench.suite.plan import SuiteRequest


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "cebench suite run toy.toml --out toy-suite --workers 2",
        "cebench suite status toy.toml --out toy-suite",
    ),
)
def suite() -> None:
    """Compute rows x pretrainings x tasks x seeds from one file, on this machine or a cluster."""


_suite_options = add_options(
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
        help="A path in place of the one that the suite has for NAME; may be given several times.",
    ),
    click.option(
        "--seed",
        type=SEED,
        default=0,
        show_default=True,
        help="The first seed of pretrainings and fine-tunings, and that of drawn data.",
    ),
)
"""FILE and the options that say which suite it is."""


@suite.command(
    epilog=examples(
        "cebench suite run toy.toml --out toy-suite --workers 2",
        "cebench suite run paper.toml --out paper --data voc=VOCdevkit --dry-run",
    )
)
@_suite_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Cells at once; one for each GPU, or what cores and memory allow, if not given.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Processor threads of each cell; the suite's number, or a worker's share of the cores, if "
    "not given.",
)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="What computes the cells; auto is CUDA where there is one.",
)
@click.option("--retry", is_flag=True, help="Try cells again that failed.")
@click.option(
    "--until-separated",
    nargs=2,
    metavar="ROW ROW",
    help="Pretrain these rows again, with further seeds, until they can be told apart.",
)
@click.option(
    "--max-seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --until-separated: pretrainings of a row at most.",
)
@click.option(
    "--slurm",
    is_flag=True,
    help="Compute the cells as jobs of SLURM; --workers is how many are in the queue at most.",
)
@click.option(
    "--slurm-set",
    multiple=True,
    metavar="KEY=VALUE",
    help="With --slurm: a parameter of submitit, such as timeout_min=240 or slurm_partition=gpu; "
    "may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Print the cells and what they would take.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON object.")
def run(
    workers: int | None,
    threads: int | None,
    device: str,
    retry: bool,
    until_separated: tuple[str, str] | None,
    max_seeds: int | None,
    slurm: bool,
    slurm_set: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Compute what is not finished of the suite FILE, and print its tables.

    FILE is a suite of yours, or one that comes along: quickstart.toml, toy.toml, paper.toml,
    small.toml, backbones.toml. The same command continues an interrupted run; several may run
    beside each other, on machines that share the folder too.
    """
    from cebench.suite.running import RunOptions, dry_run_text, run_suite

    if bool(until_separated) != bool(max_seeds):
        raise click.UsageError("--until-separated ROW ROW and --max-seeds N belong together")
    if as_json and not dry_run:
        raise click.UsageError("--json belongs to --dry-run; `cebench suite status --json` tells")
    if slurm_set and not slurm:
        raise click.UsageError("--slurm-set belongs to --slurm")
    options = RunOptions(
        workers=workers or 0,
        threads=threads or 0,
        device=device,
        retry=retry,
        slurm=_pairs("--slurm-set", slurm_set) if slurm else None,
    )
    request = _request(**given)
    if dry_run:
        click.echo(dry_run_text(request, options, as_json=as_json))
        return
    if until_separated and max_seeds:
        from cebench.suite.separation import run_until_separated

        text = run_until_separated(request, options, until_separated, max_seeds)
    else:
        text = run_suite(request, options)
    click.echo(text, nl=False)
    click.echo(f"Pictures and tables: {request.out / 'index.html'}", err=True)


@suite.command(
    epilog=examples(
        "cebench suite calibrate",
        "cebench suite calibrate --threads 1 --threads 8",
    )
)
@click.option(
    "--threads",
    multiple=True,
    type=click.IntRange(min=1),
    help="Numbers of threads to measure; 1 and all cores if not given.",
)
def calibrate(threads: tuple[int, ...]) -> None:
    """Measure how fast this machine is, for the estimates of --dry-run: half a minute."""
    from cebench.progress import counted
    from cebench.suite.calibration import calibrate, calibration_file
    from cebench.suite.machine import core_count

    found = calibrate(list(threads) or sorted({1, core_count()}))
    for count, seconds in found.step.items():
        halved = found.half_step[count]
        click.echo(
            f"{counted(int(count), 'thread')}: {1 / seconds:.1f} images/s trained, "
            f"{1 / halved:.1f} in bfloat16"
        )
    click.echo(f"{1 / found.decode_seconds:.0f} photographs/s decoded on one thread")
    click.echo(f"kept in {calibration_file()}", err=True)


@suite.command(
    epilog=examples(
        "cebench suite status toy.toml --out toy-suite",
        "cebench suite status paper.toml --out paper --html paper.html",
    )
)
@_suite_options
@json_option
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
    from cebench.suite import grid
    from cebench.suite.folder import SuiteFolder
    from cebench.suite.running import open_plan, write_page

    request = _request(**given)
    plan = open_plan(request, keep=False, look=True)
    folder = SuiteFolder(request.out)
    statuses = folder.statuses(plan.cells)
    if html:
        write_page(plan, request, html)
    if as_json:
        cells = [grid.as_json(one) for one in statuses]
        click.echo(json.dumps({"title": plan.title, "cells": cells}, indent=2))
        return
    click.echo(grid.grid_as_text(statuses))
    click.echo(grid.counts_as_text(statuses), err=True)
    if left := folder.left_over(plan.cells):
        told = f"run directories of no cell of this suite as it is now: {left}"
        records = request.out / "records"
        if records.is_dir():
            told += f"; {records} has the records of the others, for `cebench report`"
        click.echo(told, err=True)


@suite.command(
    epilog=examples(
        "cebench suite merge paper.toml --out paper /mnt/other/paper results.zip",
        "cebench suite merge small.toml --out small bundles/first.zip bundles/second.zip",
    )
)
@_suite_options
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@dry_run_option
@json_option
def merge(sources: tuple[Path, ...], dry_run: bool, as_json: bool, **given: Any) -> None:
    """Take over cells of the suite FILE that are finished in SOURCES.

    SOURCES are folders of the same suite from other machines, or bundles of `cebench pack`. A cell
    of a folder is known by the same recipe, data, weights and protocols; a bundle's numbers by
    protocol, recipe, seed and the name of their weights. Where both have a cell with other
    numbers, or one comes from weights or data that are not ours, ours stays, a line says so, and
    the exit status is 1.
    """
    from cebench.errors import CebenchError
    from cebench.progress import counted
    from cebench.suite.running import merge_suite

    merged = merge_suite(_request(**given), sources, copy=not dry_run)
    if as_json:
        click.echo(json.dumps(asdict(merged), indent=2))
    else:
        click.echo("".join(f"{line}\n" for line in _merged_lines(merged)), nl=False)
    taken = "would be taken" if dry_run else "taken"
    click.echo(
        f"{counted(len(merged.taken), 'cell')} {taken}, {merged.known} known with equal numbers, "
        f"{len(merged.other)} of no cell, {counted(len(merged.conflicts), 'conflict')}",
        err=True,
    )
    if merged.conflicts:
        conflicts = counted(len(merged.conflicts), "conflict")
        raise CebenchError(f"{conflicts}; first: {merged.conflicts[0]}")


def _merged_lines(merged: "Merged") -> list[str]:
    return [
        *(f"taken     {name}" for name in merged.taken),
        *(f"no cell   {path}" for path in merged.other),
        *(f"conflict  {conflict}" for conflict in merged.conflicts),
    ]


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    from cebench.errors import InputError

    for text in given:
        if "=" not in text:
            raise InputError(f"{option} {text}: expected NAME=VALUE")
    return dict(text.split("=", 1) for text in given)


def _request(file: str, out: Path, data: tuple[str, ...], seed: int) -> "SuiteRequest":
    from cebench.suite.plan import SuiteRequest

    return SuiteRequest(file=file, out=out, data=_pairs("--data", data), seed=seed)
