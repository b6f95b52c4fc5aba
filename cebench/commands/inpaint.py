"""`cebench inpaint`: fill holes in anybody's images, in one or several ways."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cebench.run_options import (
    SEED,
    add_options,
    device_option,
    dry_run_option,
    examples,
    json_option,
)

if TYPE_CHECKING:
    from cebench.inpainting.photo_holes import HoleOf

METHODS = (
    "mean-of-context",
    "published-fill",
    "telea",
    "navier-stokes",
    "biharmonic",
    "patch-match",
    "nn-features",
    "nn-hog",
)

_PATH = click.Path(path_type=Path)
_EXISTING = click.Path(path_type=Path, exists=True)


def _rectangles(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[int, ...], ...]:
    rectangles = []
    for text in given:
        parts = text.split(",")
        numbers = tuple(int(part) for part in parts if part.isdecimal())
        if len(parts) != 4 or len(numbers) != 4 or 0 in numbers[2:]:
            raise click.BadParameter(f"{text}: give X,Y,WIDTH,HEIGHT, such as 40,30,64,64")
        rectangles.append(numbers)
    return tuple(rectangles)


_hole_options = add_options(
    click.option(
        "--mask", type=_EXISTING, help="A mask, or a folder of masks named like the images."
    ),
    click.option("--center", is_flag=True, help="The hole of Table 1, 56 of 128 (default)."),
    click.option(
        "--rectangle",
        "rectangles",
        multiple=True,
        callback=_rectangles,
        metavar="X,Y,WIDTH,HEIGHT",
        help="In pixels, from the upper left corner; several are one hole.",
    ),
    click.option(
        "--random",
        "kind",
        type=click.Choice(("block", "region", "noise")),
        help="block, region: paper, section 3.3; noise: the released code's.",
    ),
    click.option(
        "--region-shapes",
        type=_EXISTING,
        help="VOCdevkit or its VOC2012: objects that shape --random region.",
    ),
    click.option("--seed", type=SEED, help="Seed of --random; 0 if not given."),
    click.option(
        "--view",
        type=click.Choice(("window", "whole")),
        help="Show a window around each hole, or the whole image (default with --center).",
    ),
    click.option(
        "--intact/--damaged",
        default=None,
        help="The hole hides the truth: measure the errors (default with --center), or not.",
    ),
)
"""Where the hole is, what is shown around it, and whether it hides the truth."""


@click.command(
    epilog=examples(
        "cebench inpaint photo.jpg --mask mask.png --weights runs/gan --out filled",
        "cebench inpaint photos/ --fill telea --fill patch-match --out filled --sheet sheet.png",
    )
)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=_EXISTING)
@click.option(
    "--weights",
    multiple=True,
    metavar="[NAME=]FILE|RUN",
    help="A model.safetensors or the run directory that holds one; several are compared.",
)
@click.option(
    "--fill", "methods", multiple=True, type=click.Choice(METHODS), help="Fill without a network."
)
@click.option("--gallery", type=_EXISTING, help="Images that nn-hog and nn-features paste from.")
@_hole_options
@click.option(
    "--blend",
    type=click.Choice(("paste", "feather", "poisson")),
    default="paste",
    show_default=True,
    help="How the filling meets the hole's edge.",
)
@click.option("--out", type=_PATH, required=True, help="The folder to write to.")
@click.option("--sheet", type=_PATH, help="Also write one picture of all images, a .png.")
@click.option("--no-comparison", is_flag=True, help="Write no picture beside each result.")
@device_option
@dry_run_option
@json_option
def inpaint(
    *,
    images: tuple[Path, ...],
    weights: tuple[str, ...],
    methods: tuple[str, ...],
    gallery: Path | None,
    view: str | None,
    intact: bool | None,
    blend: str,
    out: Path,
    sheet: Path | None,
    no_comparison: bool,
    device: str,
    dry_run: bool,
    as_json: bool,
    **hole: Any,
) -> None:
    """Fill a hole in each IMAGE, a file or a folder of files, from what surrounds it.

    Black of --mask is kept; its one other brightness is missing, of several those nearer to white.
    Writes OUT/STEM.png, or OUT/STEM-NAME.png if there are several ways to fill, and beside each
    other in OUT/STEM-comparison.png; prints the paths. Pixels outside of the hole are never
    changed.
    """
    _require_one_way(weights, methods, gallery)
    _require_one_hole(**hole)
    from cebench.data.images import image_files
    from cebench.inpainting.fillers import load_fillers
    from cebench.inpainting.photos import Work, check_work, inpaint_photos

    files = _files_of(images)
    if gallery is not None:
        _check_not_in_gallery(files, image_files(gallery))
    central = not (hole["mask"] or hole["rectangles"] or hole["kind"])
    work = Work(
        files=files,
        hole_of=_hole_of(files, **hole),
        fillers=load_fillers(weights, methods, gallery, device),
        whole=central if view is None else view == "whole",
        blend=blend,
        intact=central if intact is None else intact,
        out=out,
        comparisons=not no_comparison,
        sheet=sheet,
    )
    folders = [folder for folder in (hole["mask"], gallery) if folder is not None]
    inputs = [file for folder in folders for file in image_files(folder)]
    if dry_run:
        check_work(work, inputs)
        planned = [str(path) for file in files for path in work.outputs(file)]
        planned += [str(sheet)] if sheet else []
        ways = ", ".join(work.fillers)
        text = f"would fill {len(files):,} images by {ways} and write:\n" + "\n".join(planned)
        click.echo(json.dumps({"images": len(files), "outputs": planned}) if as_json else text)
        return
    report = inpaint_photos(work, inputs)
    click.echo(json.dumps(report, indent=2) if as_json else "\n".join(_paths(report)))


def _files_of(images: tuple[Path, ...]) -> list[Path]:
    """The files that were named, and of folders all but the masks beside their images."""
    from cebench.data.masks import images_and_masks

    listed = (images_and_masks(path)[0] if path.is_dir() else [path] for path in images)
    return [file for of_path in listed for file in of_path]


def _check_not_in_gallery(files: Sequence[Path], gallery: Sequence[Path]) -> None:
    """InputError if the gallery shows an image that is to be filled: it would paste the answer."""
    from cebench.data.overlap import same_photos
    from cebench.errors import InputError

    shared = same_photos(files, gallery)
    if shared:
        path, copy = next(iter(shared.items()))
        raise InputError(
            f"--gallery: {copy} shows the photo {path}, so the answer would be pasted "
            f"({len(shared)} of {len(files)} images); take it out of the gallery"
        )


def _require_one_way(
    weights: tuple[str, ...], methods: tuple[str, ...], gallery: Path | None
) -> None:
    if not weights and not methods:
        raise click.UsageError("give --weights, --fill, or both")
    if (gallery is not None) != any(method.startswith("nn-") for method in methods):
        raise click.UsageError("--gallery and --fill nn-hog or nn-features need each other")
    if "nn-features" in methods and not weights:
        raise click.UsageError("--fill nn-features takes the features of the first --weights")


def _require_one_hole(
    *,
    mask: Path | None,
    center: bool,
    rectangles: tuple[Any, ...],
    kind: str | None,
    region_shapes: Path | None,
    seed: int | None,
) -> None:
    given = {"--mask": mask, "--center": center, "--rectangle": rectangles, "--random": kind}
    named = [option for option, value in given.items() if value]
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} exclude each other")
    if (region_shapes is not None) != (kind == "region"):
        raise click.UsageError("--random region and --region-shapes need each other")
    if seed is not None and not kind:
        raise click.UsageError("--seed needs --random")


def _hole_of(
    files: Sequence[Path],
    *,
    mask: Path | None,
    rectangles: tuple[tuple[int, int, int, int], ...],
    kind: str | None,
    region_shapes: Path | None,
    seed: int | None,
    center: bool,
) -> "HoleOf":
    from cebench.inpainting.photo_holes import (
        central_hole_of,
        painted_holes,
        random_holes,
        rectangular_holes,
    )

    if mask:
        return painted_holes(mask, files)
    if rectangles:
        return rectangular_holes(rectangles)
    return random_holes(kind, seed or 0, region_shapes) if kind else central_hole_of


def _paths(report: Mapping[str, Any]) -> Iterator[str]:
    """Every file that was written."""
    for image in report["images"]:
        yield from (filling["path"] for filling in image["fillings"].values())
        if image["comparison"]:
            yield image["comparison"]
    if report["sheet"]:
        yield report["sheet"]
