"""`cebench transfer`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from cebench.run_options import examples, program_names, run_options


@click.command(
    epilog=examples(
        "cebench transfer --task knn --weights runs/context --data VOCdevkit --out runs/knn",
        "cebench transfer --task detection --weights random --data VOC --out runs/d --dry-run",
    )
)
@click.option(
    "--task",
    type=click.Choice(program_names("cebench.transfer")),
    required=True,
    help="What to measure.",
)
@click.option(
    "--weights",
    required=True,
    metavar="FILE|random",
    help="A weights file, a pretraining's run directory, or `random`.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="The VOCdevkit, or for a task on plain images a folder of gallery and test folders.",
)
@click.option(
    "--engine",
    default="native",
    show_default=True,
    help="Whose code trains and predicts: native, or for a check from the same weights detectron2 "
    "(detection) or mmseg (segmentation).",
)
@run_options
def transfer(*, no_resume: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Fine-tune and score weights on one task; the numbers go to OUT/record.json.

    The same command continues an interrupted run and returns at once from a finished one.
    """
    from .first_checks import check_start

    check_start(**given, resume=not no_resume)
    from .run import Request, run_transfer

    request = Request(**given, resume=not no_resume)
    if dry_run:
        from .dry_run import in_words, plan

        found = plan(request)
        click.echo(json.dumps(found, indent=2) if as_json else in_words(request, found))
        return
    record = run_transfer(request)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(record)))
        return
    from cebench.reporting.headlines import headline_lines

    click.echo("\n".join(headline_lines(record)))
    click.echo(f"all {len(record.measurements)} numbers: {request.out / 'record.json'}", err=True)
