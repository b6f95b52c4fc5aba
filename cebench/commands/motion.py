"""`cebench data motion`: patches of what moves in clips."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cebench.run_options import FiniteRange, dry_run_option, examples, json_option

if TYPE_CHECKING:
    from cebench.data.motion_windows import Tracker


@click.command(
    epilog=examples(
        "cebench data motion DAVIS --out pairs",
        "cebench data motion videos/ --out pairs --frames 10 --tracker csrt",
    )
)
@click.argument(
    "sources", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="SOURCE..."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the pairs.")
@click.option(
    "--frames",
    type=click.IntRange(min=2),
    default=30,
    show_default=True,
    help="Frames from a patch to the same patch later.",
)
@click.option(
    "--short-side",
    type=click.IntRange(min=16),
    default=448,
    show_default=True,
    help="Shorter side in pixels to which frames are resized.",
)
@click.option(
    "--window",
    type=click.IntRange(min=16),
    default=227,
    show_default=True,
    help="Side of a patch, in pixels of the resized frame.",
)
@click.option(
    "--least-moving",
    type=FiniteRange(0, 1),
    default=0.25,
    show_default=True,
    help="Least share of points, of 1, that move against the camera.",
)
@click.option(
    "--most-moving",
    type=FiniteRange(0, 1),
    default=0.75,
    show_default=True,
    help="Largest such share: beyond it the estimate of the camera's motion is not trusted.",
)
@click.option(
    "--tracker",
    type=click.Choice(["kcf", "csrt"]),
    default="kcf",
    show_default=True,
    help="CSRT is slower and follows changes of size better.",
)
@dry_run_option
@json_option
def motion(
    sources: tuple[Path, ...],
    out: Path,
    frames: int,
    short_side: int,
    window: int,
    least_moving: float,
    most_moving: float,
    tracker: "Tracker",
    dry_run: bool,
    as_json: bool,
) -> None:
    """Track what moves in the clips of every SOURCE; the patches are what `motion` learns from.

    A SOURCE is a video, a folder of frames, or a folder of several of these (DAVIS too). The same
    command continues an interrupted one, and returns at once where all is done.
    """
    from cebench.data.motion_windows import MotionSearch
    from cebench.data.tracked_patches import check_mining, mine_pairs
    from cebench.progress import progress

    search = MotionSearch(window, least_moving, most_moving, tracker)
    if dry_run:
        clips = check_mining(sources, out, search, frames=frames, short_side=short_side)
        found = {"out": str(out), "clips": [clip.name for clip in clips]}
        words = f"would track what moves in {len(clips):,} clips into {out}"
        click.echo(json.dumps(found) if as_json else words)
        return
    with progress("tracking", "clips") as report:
        pairs = mine_pairs(
            sources, out, search, frames=frames, short_side=short_side, report=report
        )
    shown = json.dumps({"out": str(out), "pairs": pairs})
    click.echo(
        shown
        if as_json
        else f"{out} holds {pairs} {'pair' if pairs == 1 else 'pairs'} of tracked patches"
    )
