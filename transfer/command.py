"""`cebench transfer`."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cebench.run_options import program_names, run_options

if TYPE_CHECKING:
    from .run import Request


@click.command()
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
    from cebench.logs import show_log

    from .run import Request, run_transfer

    show_log()
    request = Request(**given, resume=not no_resume)
    if dry_run:
        plan = _plan(request)
        lines = "\n".join(f"{key}: {value}" for key, value in plan.items())
        click.echo(json.dumps(plan, indent=2) if as_json else lines)
        return
    record = run_transfer(request)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(record)))
        return
    for number in record.measurements:
        shown = f"{number.value:.4f}" + (f" {number.unit}" if number.unit != "fraction" else "")
        click.echo(f"{number.row:<16} {number.column:<16} {number.metric:<40} {shown}")


def _plan(request: "Request") -> dict[str, Any]:
    """The resolved recipe, the weights, and the images and bytes that would be read."""
    from .run import TASKS as PROGRAMS

    task, (recipe, name) = PROGRAMS[request.task], request.resolve()
    sidecar = request.load_weights().sidecar
    plan = {
        "task": request.task,
        "protocol": task.protocol_name(recipe, request.engine),
        "weights": f"{request.weights} ({sidecar.method}, {sidecar.recipe})",
        "recipe": name,
        **recipe.model_dump(mode="json"),
        "seed": request.seed,
    }
    for part, paths in task.find_images(recipe, request.data).items():
        plan[f"{part}_images_found"] = len(paths)
        plan[f"{part}_bytes_found"] = sum(path.stat().st_size for path in paths)
    return plan
