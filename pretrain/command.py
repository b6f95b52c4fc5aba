"""`cebench pretrain`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cebench.run_options import program_names, run_options

if TYPE_CHECKING:
    from .run import Request


@click.command()
@click.option(
    "--method",
    type=click.Choice(program_names("cebench.pretrain")),
    required=True,
    help="The pretext method.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder of images, a VOC year folder or tar files (may be given several times), or one "
    "packed store of `cebench data prepare`; for motion, the folder of `cebench data motion` or a "
    "list of pairs; for egomotion, KITTI odometry.",
)
@click.option(
    "--exclude",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A VOC image list or a folder whose photos must not be learned from, under any name.",
)
@click.option(
    "--region-shapes",
    type=click.Path(path_type=Path),
    help="VOC year folder whose object silhouettes shape the holes of mask random-region.",
)
@run_options
def pretrain(*, no_resume: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Pretrain a backbone and write OUT/weights.safetensors.

    The same command continues an interrupted run and returns at once from a finished one.
    """
    from cebench.logs import show_log

    from .run import Request, run_pretraining

    show_log()
    request = Request(**given, resume=not no_resume)
    if dry_run:
        plan = _plan(request)
        lines = (f"{key}: {value}" for key, value in plan.items())
        click.echo(json.dumps(plan, indent=2) if as_json else "\n".join(lines))
        return
    weights = run_pretraining(request)
    click.echo(json.dumps({"weights": str(weights)}) if as_json else weights)


def _plan(request: "Request") -> dict[str, Any]:
    """The resolved recipe, the data found, and the steps and images it would take."""
    from cebench.data.tracked_patches import read_pairs

    from .sources import bytes_of, find_images

    recipe, name = request.resolve()
    values = recipe.model_dump(mode="json")
    plan = {"method": request.method, "recipe": name, **values, "seed": request.seed}
    if request.method == "motion":
        pairs = [pair for path in request.data for pair in read_pairs(path)[0]]
        seen = values["steps"] * values["batch_size"]
        plan |= {"pairs_found": len(pairs), "images_seen": seen}
    elif "voc_image_set" in values:
        found, excluded = find_images(request.data, request.exclude, values["voc_image_set"])
        plan |= {
            "images_found": len(found),
            "images_excluded": excluded,
            "bytes_found": bytes_of(found),
            "images_seen": values["steps"] * values["batch_size"],
        }
    return plan
