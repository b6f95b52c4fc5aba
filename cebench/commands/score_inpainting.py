"""`cebench score inpainting`: score predicted images against true ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cebench.commands.json_output import print_result
from cebench.commands.score_records import TABLE_1_HOLE, check_record, write_scores
from cebench.commands.score_tables import inpainting_table
from cebench.data.hole_kinds import TABLE_1_SIDE
from cebench.run_options import examples, json_option

if TYPE_CHECKING:
    import numpy as np

    from cebench.inpainting.pairs import InpaintingPair
    from cebench.metrics.inpainting import InpaintingSums, SsimWindow

_PATH = click.Path(path_type=Path)


@click.command(
    epilog=examples(
        "cebench score inpainting --predictions lama/ --targets photos/ --masks masks/",
        "cebench score inpainting --predictions lama/ --targets runs/t1/targets "
        "--hole center:56 --size 128 --record runs/lama --row lama",
    )
)
@click.option("--predictions", type=_PATH, required=True, help="Folder of predicted images.")
@click.option("--targets", type=_PATH, required=True, help="Folder of true images, same stems.")
@click.option(
    "--hole", metavar="center:SIDE", help="A centred square hole of SIDE pixels; this or --masks."
)
@click.option("--masks", type=_PATH, help="Folder of hole masks, same stems; black = visible.")
@click.option(
    "--mask-threshold",
    type=click.IntRange(1, 255),
    help="Least brightness (0..255) of a missing pixel of masks with soft edges.  [default: 128]",
)
@click.option(
    "--size",
    type=click.IntRange(min=7),
    help="Shrink everything to SIZE x SIZE pixels first; as stored if not given.",
)
@click.option(
    "--ssim-window",
    type=click.Choice(["uniform", "gaussian"]),
    default="uniform",
    show_default=True,
    help="uniform: scikit-image's default; gaussian: that of Wang et al., 2004.",
)
@click.option(
    "--record",
    type=_PATH,
    metavar="DIR",
    help="Also write the scores as a record into the new folder DIR: `cebench report DIR` prints "
    "them in Table 1 (--hole center:56 --size 128).",
)
@click.option("--row", metavar="NAME", help="The line of --record in the table, such as lama.")
@json_option
def inpainting(
    predictions: Path,
    targets: Path,
    hole: str | None,
    masks: Path | None,
    mask_threshold: int | None,
    size: int | None,
    ssim_window: "SsimWindow",
    record: Path | None,
    row: str | None,
    as_json: bool,
) -> None:
    """L1, L2, PSNR and SSIM of predicted images, in the hole and over the whole image.

    Predictions are scored as they are: nothing is pasted. Pixels are scaled to [0, 1]. SIDE counts
    pixels after --size, which averages areas (masks: nearest pixel). With --masks the errors are
    also given by the share of the image that is missing, in tenths. With --record, targets that
    a finished `cebench transfer --task inpainting` left in RUN/targets put the row into one table
    with that run's.
    """
    from collections import defaultdict
    from dataclasses import asdict

    from cebench.inpainting.pairs import read_inpainting_pairs
    from cebench.metrics.inpainting import InpaintingSums, inpainting_scores
    from cebench.reporting.headlines import published_lines

    if row is not None and record is None:
        raise click.UsageError("--row names the line of --record DIR; give both")
    if mask_threshold is not None and masks is None:
        raise click.UsageError("--mask-threshold is for --masks DIR")
    region = _region(hole, masks)
    if record is not None:
        row = check_record(record, row, region, size, ssim_window)
    by_tenth: dict[int, InpaintingSums] = defaultdict(InpaintingSums)
    by_stem: dict[str, InpaintingSums] = {}
    files: dict[str, Path] = {}
    for pair in read_inpainting_pairs(predictions, targets, region, size, mask_threshold):
        _warn_of_no_difference(pair)
        files[pair.stem] = pair.path
        by_stem[pair.stem] = _pair_sums(pair, ssim_window)
        by_tenth[_tenth(pair.hole)] += by_stem[pair.stem]
    result = asdict(inpainting_scores(sum(by_tenth.values(), InpaintingSums())))
    if masks is not None:
        result["by_missing_share"] = [
            {"above": tenth / 10, "up_to": (tenth + 1) / 10, **asdict(inpainting_scores(sums))}
            for tenth, sums in sorted(by_tenth.items())
        ]
    print_result(result, as_json, inpainting_table)
    if (region, size) == (TABLE_1_HOLE, TABLE_1_SIDE) and not as_json:
        click.echo("\n" + "\n".join(published_lines("1", ("mean_l1", "mean_l2", "psnr"))))
    if record is not None and row is not None:
        path = write_scores(record, row, by_stem, files, targets)
        click.echo(f"wrote {path}; `cebench report {record}` prints it", err=True)


def _region(hole: str | None, masks: Path | None) -> Path | int:
    if masks is not None and hole is None:
        return masks
    if hole is None or masks is not None:
        raise click.UsageError("give either --hole center:SIDE or --masks DIR")
    kind, _, side = hole.partition(":")
    if kind != "center" or not side.isdecimal() or int(side) == 0:
        raise click.UsageError(f"--hole {hole}: expected center:SIDE, such as center:56")
    return int(side)


def _tenth(hole: "np.ndarray") -> int:
    """0 if up to a tenth of the image is missing, 1 up to two tenths, ..."""
    return (10 * int(hole.sum()) - 1) // hole.size


def _warn_of_no_difference(pair: "InpaintingPair") -> None:
    """One line on stderr where nothing differs in the hole, which no prediction achieves."""
    differs = (pair.prediction != pair.target).any(axis=2)
    if not differs.any():
        click.echo(
            f"warning: {pair.path} is its target, pixel for pixel: was the true image stored as "
            "the prediction?",
            err=True,
        )
    elif not differs[pair.hole].any():
        click.echo(
            f"warning: {pair.path} differs from its target outside the hole only; is the mask "
            "inverted? White is missing",
            err=True,
        )


def _pair_sums(pair: "InpaintingPair", ssim_window: "SsimWindow") -> "InpaintingSums":
    from cebench.errors import InputError
    from cebench.metrics.inpainting import inpainting_sums

    prediction, target = (
        image.transpose(2, 0, 1)[None] / 255 for image in (pair.prediction, pair.target)
    )
    try:
        return inpainting_sums(prediction, target, pair.hole[None], ssim_window)
    except ValueError as error:
        raise InputError(f"{pair.path}: {error}") from error
