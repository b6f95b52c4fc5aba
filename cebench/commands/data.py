"""`cebench data`: check data sets, pack them, track motion, draw the toy world."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cebench.commands.groups import SuggestingGroup
from cebench.commands.motion import motion
from cebench.commands.proposals import proposals
from cebench.run_options import SEED, dry_run_option, examples, json_option

if TYPE_CHECKING:
    from cebench.data.verify import Findings


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "cebench data verify VOCdevkit",
        "cebench data prepare photos/ --out store",
    ),
)
def data() -> None:
    """Verify and pack data sets; track motion in clips; draw the toy world."""


data.add_command(proposals)
data.add_command(motion)


@data.command(
    epilog=examples(
        "cebench data verify VOCdevkit",
        "cebench data verify store --json",
    )
)
@click.argument("path", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def verify(context: click.Context, path: Path, as_json: bool) -> None:
    """Read every file of the data set PATH; count what is there, name what is missing or broken.

    PATH is a VOCdevkit or one year of it, an SBD tree (benchmark_RELEASE), a packed store, a folder
    of images, or a folder that holds several of these. Exit status: 0 all is well, 1 something is
    missing or broken, 2 PATH is no such thing.
    """
    from cebench.data.verify import data_sets_at
    from cebench.progress import progress

    findings = []
    for name, verify_one in data_sets_at(path).items():
        with progress(f"verifying {name}", "images") as report:
            findings.append(verify_one(report))
    problems = sum(len(item.problems) for item in findings)
    if as_json:
        summary = {
            "path": str(path),
            "problems": problems,
            "data_sets": [asdict(item) | {"root": str(item.root)} for item in findings],
        }
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo("\n\n".join(_as_text(item) for item in findings))
    if problems:
        context.exit(1)


class _ShortSide(click.ParamType[int | None]):
    name = "PIXELS|original"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | None:
        if value == "original":
            return None
        if not str(value).isdecimal() or int(str(value)) == 0:
            self.fail(f"{value!r} is neither a number of pixels nor `original`", param, ctx)
        return int(str(value))


@data.command(
    epilog=examples(
        "cebench data prepare photos/ --out store",
        "cebench data prepare shards/ --out store --short-side 256 --on-bad-image skip",
    )
)
@click.argument(
    "sources", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="SOURCE..."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the store.")
@click.option(
    "--short-side",
    type=_ShortSide(),
    default=256,
    show_default=True,
    help="Shorter image side in pixels in the store; `original` keeps the sizes.",
)
@click.option(
    "--on-bad-image",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="Stop at an unreadable image, or list it in STORE/skipped.csv.",
)
@click.option(
    "--voc-image-set",
    default="train",
    show_default=True,
    help="Image set that is taken of a VOC year folder.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=lambda: os.cpu_count() or 1,
    show_default="all processors",
    help="Processes that decode; their number changes no byte.",
)
@dry_run_option
@json_option
def prepare(
    sources: tuple[Path, ...],
    out: Path,
    short_side: int | None,
    on_bad_image: str,
    voc_image_set: str,
    workers: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Decode the images of every SOURCE once, into one packed store for `cebench pretrain`.

    A SOURCE is a folder of images, a VOC year folder or tar shards (a .tar file, or a folder of
    them). The same command continues an interrupted one and returns at once from a finished store.
    """
    if dry_run:
        _show_packing(sources, out, short_side, voc_image_set, workers, as_json)
        return
    from cebench.data.store.manifest import PIXELS, SKIPPED
    from cebench.data.store.packing import prepare_store
    from cebench.progress import progress

    with progress("packing", "images") as report:
        manifest = prepare_store(
            sources,
            out,
            short_side=short_side,
            voc_image_set=voc_image_set,
            skip_bad=on_bad_image == "skip",
            workers=workers,
            report=report,
        )
    if manifest.skipped:
        click.echo(f"{manifest.skipped} bad images skipped, see {out / SKIPPED}", err=True)
    if as_json:
        pixels = manifest.files[PIXELS]
        summary = {"images": manifest.images, "skipped": manifest.skipped, **asdict(pixels)}
        click.echo(json.dumps({"store": str(out), **summary}, indent=2))
    else:
        click.echo(f"{out} holds {manifest.images} images")


def _show_packing(
    sources: tuple[Path, ...],
    out: Path,
    short_side: int | None,
    voc_image_set: str,
    workers: int,
    as_json: bool,
) -> None:
    """What `prepare` would do; the photographs are found, not read."""
    from cebench.data.photos import find_photos
    from cebench.data.store.packing import check_out
    from cebench.progress import counted, spoken_bytes, spoken_duration

    photos = find_photos(sources, voc_image_set)
    check_out(out)
    found: dict[str, Any] = {
        "images_found": len(photos),
        "bytes_found": sum(photo.file_size for photo in photos),
        # Of photographs that are 4:3, and 500 pixels wide where the size is kept.
        "estimated_store_bytes": len(photos) * 4 * (short_side or 375) ** 2,
        "estimated_seconds": round(len(photos) * 0.015 / workers, 1),
        "workers": workers,
        "out": str(out),
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(
        f"would pack {len(photos):,} images ({spoken_bytes(found['bytes_found'])}) into {out}: "
        f"about {spoken_bytes(found['estimated_store_bytes'])}, "
        f"{spoken_duration(found['estimated_seconds'])} with "
        f"{counted(workers, 'process', 'processes')}, within a factor of three"
    )


@data.command(
    epilog=examples(
        "cebench data toy toy",
        "cebench data toy toy --images 24 --seed 1",
    )
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Images of each VOC year; the other parts follow from it.",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Same seed, same bytes.")
@dry_run_option
@json_option
def toy(folder: Path, images: int, seed: int, dry_run: bool, as_json: bool) -> None:
    """Draw a small synthetic world into DIR, in the layouts of the real data sets.

    DIR then holds VOCdevkit/VOC2007 and VOC2012, benchmark_RELEASE (SBD), unlabeled images,
    facades, clips (DAVIS) and drives (kitti): every command runs on it, offline.
    """
    from cebench.progress import progress
    from cebench.toy.world import check_toy_world, write_toy_world

    if dry_run:
        counts = check_toy_world(folder, images=images, seed=seed)
        total = sum(sum(splits.values()) for splits in counts.values())
        found = {"folder": str(folder), "images": total, "counts": counts}
        words = f"would draw {total:,} images into {folder}"
        click.echo(json.dumps(found) if as_json else words if total else f"{folder} is finished")
        return
    with progress("drawing", "images") as report:
        write_toy_world(folder, images=images, seed=seed, report=report)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "images": images, "seed": seed}))
    else:
        click.echo(f"{folder} holds the toy world of {images} images, seed {seed}")


def _of_official(kind: str, image_set: str, count: int) -> str:
    from cebench.data.verify import OFFICIAL_COUNTS

    official = OFFICIAL_COUNTS.get(kind, {}).get(image_set, count)
    return "" if count == official else f" of the official {official:,}"


def _as_text(findings: "Findings") -> str:
    lines = [f"{findings.kind}  {findings.root}", f"  {findings.images} images"]
    if findings.boxes:
        lines.append(f"  {findings.boxes} boxes, {findings.difficult} of them difficult")
    if findings.masks:
        void = f"{findings.void_pixels:,} ({100 * findings.void_share:.1f} %) void"
        lines.append(f"  {findings.masks} label images of {findings.pixels:,} pixels, {void}")
    lines += [
        f"  {count:,} in {name}{_of_official(findings.kind, name, count)}"
        for name, count in findings.sets.items()
    ]
    if findings.per_class:
        lines.append("  class         boxes  difficult  images  label images        pixels")
    lines += [
        f"  {name:<12}{count.boxes:>7}{count.difficult:>11}{count.images:>8}{count.masks:>14}"
        f"{count.pixels:>14,}"
        for name, count in findings.per_class.items()
    ]
    verdict = f"{len(findings.problems)} missing or broken:" if findings.problems else "all is well"
    return "\n".join([*lines, f"  {verdict}", *(f"    {line}" for line in findings.problems)])
