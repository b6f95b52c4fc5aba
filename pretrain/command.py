"""`cebench pretrain`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .run import Request

METHODS = ("context", "autoencoder", "random")
DEVICES = ("auto", "cpu", "cuda")


@click.command()
@click.option("--method", type=click.Choice(METHODS), required=True, help="The pretext method.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder of images, or a VOC year folder; may be given several times.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run directory.")
@click.option(
    "--exclude",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A VOC image list or a folder whose photos must not be learned from, under any name.",
)
@click.option(
    "--recipe", default="short", show_default=True, help="smoke, short, paper or a .toml."
)
@click.option(
    "--region-shapes",
    type=click.Path(path_type=Path),
    help="VOC year folder whose object silhouettes shape the holes of mask random-region.",
)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change the recipe.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option("--no-resume", is_flag=True, help="Start this run over instead of continuing it.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
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
    from .sources import find_images

    recipe, name = request.resolve()
    values = recipe.model_dump(mode="json")
    plan = {"method": request.method, "recipe": name, **values, "seed": request.seed}
    if "voc_image_set" in values:
        paths, excluded = find_images(request.data, request.exclude, values["voc_image_set"])
        plan |= {
            "images_found": len(paths),
            "images_excluded": excluded,
            "bytes_found": sum(path.stat().st_size for path in paths),
            "images_seen": values["steps"] * values["batch_size"],
        }
    return plan
