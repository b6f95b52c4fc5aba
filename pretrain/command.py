"""`cebench pretrain`."""

import json
from pathlib import Path
from typing import Any

import click

from cebench.logs import is_first_process
from cebench.run_options import examples, program_names, run_options


@click.command(
    epilog=examples(
        "cebench pretrain --method context --data photos/ --out runs/context",
        "cebench pretrain --method context --data photos/ --out c --recipe small-block --dry-run",
    )
)
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
    "list of pairs; for egomotion, images, or KITTI "
    "odometry with the recipes small-kitti and paper.",
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
    help="VOC year folder, or a VOCdevkit for its VOC2012: silhouettes of its objects shape the "
    "holes of mask random-region.",
)
@run_options
def pretrain(*, no_resume: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Pretrain a trunk and write OUT/weights.safetensors.

    The same command continues an interrupted run and returns at once from a finished one.
    """
    from .first_checks import check_start

    check_start(**given, resume=not no_resume)
    from .run import Request, run_pretraining

    request = Request(**given, resume=not no_resume)
    if dry_run:
        from .dry_run import in_words, plan

        found = plan(request)
        said = json.dumps(found, indent=2) if as_json else in_words(request, found)
    else:
        weights = str(run_pretraining(request))
        said = json.dumps({"weights": weights}) if as_json else weights
    if is_first_process():
        click.echo(said)
