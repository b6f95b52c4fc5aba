"""`cebench data proposals`: object proposals of VOC images, and how well they cover the objects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from cebench.commands.json_output import print_result
from cebench.run_options import dry_run_option, examples, json_option

if TYPE_CHECKING:
    from cebench.data.proposals.files import Proposals
    from cebench.data.proposals.mat import Columns, Imported
    from cebench.data.proposals.selective_search import Mode
    from cebench.data.voc.devkit import Annotation, VocYear

_PATH = click.Path(path_type=Path)
_OF_SEARCH = ("mode", "min_side", "max_side")
_OF_IMPORT = ("columns", "first_pixel")


@click.command(
    epilog=examples(
        "cebench data proposals VOCdevkit --out boxes.safetensors",
        "cebench data proposals VOCdevkit --import voc_2007.mat --out boxes.safetensors",
    )
)
@click.argument("devkit", type=_PATH)
@click.option("--year", default=2007, show_default=True, help="Year of the devkit.")
@click.option(
    "--image-set",
    "image_sets",
    multiple=True,
    default=("trainval", "test"),
    show_default=True,
    help="Name of a set of the devkit, or a list file; may be repeated.",
)
@click.option("--out", type=_PATH, required=True, help="The .safetensors file.")
@click.option(
    "--mode",
    type=click.Choice(["fast", "quality"]),
    default="fast",
    show_default=True,
    help="Mode of Selective Search: about 2,000 boxes of an image, or 10,000 in four times "
    "the time.",
)
@click.option(
    "--min-side",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Smallest width and height of a box in pixels.",
)
@click.option(
    "--max-side",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Reduce images to this longer side in pixels before the search; 0 does not.",
)
@click.option(
    "--import",
    "imported",
    type=_PATH,
    multiple=True,
    help="Take the boxes of this .mat file instead of searching; may be repeated.",
)
@click.option(
    "--columns",
    type=click.Choice(["xyxy", "yxyx"]),
    help="Order of a box in --import; detected if not given.",
)
@click.option(
    "--first-pixel",
    type=click.IntRange(0, 1),
    help="Number of the first pixel in --import; detected if not given.",
)
@dry_run_option
@json_option
def proposals(
    devkit: Path,
    year: int,
    image_sets: tuple[str, ...],
    out: Path,
    mode: "Mode",
    min_side: int,
    max_side: int,
    imported: tuple[Path, ...],
    columns: "Columns | None",
    first_pixel: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Selective Search over image sets of DEVKIT, into one file with a name and a SHA-256.

    The same command continues where it was interrupted. Boxes are x0 y0 x1 y1, 0-based, half-open,
    largest area first. Beside the file stand OUT-recall.csv and .png: how well the boxes cover the
    objects. `cebench transfer --task detection --set proposals=OUT` uses the file.
    """
    from cebench.data.voc.devkit import VocYear
    from cebench.files import check_writable_file, remove_leftovers

    _check_unused_options(importing=bool(imported))
    voc = VocYear(devkit, year)
    sets = [voc.ids(image_set) for image_set in image_sets]
    ids = list(dict.fromkeys(image_id for members in sets for image_id in members))
    for image_id in ids:
        voc.image_path(image_id)  # What is absent is said before the search.
    annotations, without = _annotations(voc, dict(zip(image_sets, sets, strict=True)))
    check_writable_file(out, "boxes.safetensors")
    if dry_run:
        what = "take the boxes of files for" if imported else "search"
        result = {"images": len(ids), "mode": mode, "out": str(out), "imports": len(imported)}
        print_result(result, as_json, lambda shown: f"would {what} {len(ids):,} images into {out}")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    facts: list[tuple[str, Imported]] = []
    if imported:
        found, facts = _import(imported, voc, sets, columns, first_pixel, out)
    else:
        found = _search(voc, ids, out, mode, min_side, max_side)
    result = _report(found, annotations, without, facts, out)
    print_result(result, as_json, lambda shown: _table(shown, year, facts))


def _check_unused_options(*, importing: bool) -> None:
    """An option that says nothing to what is done would be a misunderstanding."""
    context = click.get_current_context()
    for name in _OF_SEARCH if importing else _OF_IMPORT:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(
                f"{option} belongs to the search, which --import stands for; leave one of them out"
                if importing
                else f"{option} says how to read a file of --import; name the file or leave it out"
            )


def _annotations(
    voc: "VocYear", sets: "Mapping[str, Sequence[str]]"
) -> "tuple[dict[str, Annotation], list[str]]":
    """The objects of the sets' images, and the names of sets of which no image has annotations.

    VOC2012 keeps those of its test set to itself.
    """
    folder = voc.root / "Annotations"
    without = [
        name
        for name, members in sets.items()
        if not any((folder / f"{image_id}.xml").is_file() for image_id in members)
    ]
    known = (image_id for name, ids in sets.items() if name not in without for image_id in ids)
    return {image_id: voc.annotation(image_id) for image_id in dict.fromkeys(known)}, without


def _search(
    voc: "VocYear", ids: Sequence[str], out: Path, mode: "Mode", min_side: int, max_side: int
) -> "Proposals":
    from cebench.data.proposals.selective_search import SelectiveSearch, compute_proposals
    from cebench.progress import progress

    search = SelectiveSearch(mode, min_side, max_side)
    photographs = {image_id: voc.image_path(image_id) for image_id in ids}
    with progress("proposals", "images") as report:
        return compute_proposals(photographs, out, search, report=report)


def _import(
    paths: Sequence[Path],
    voc: "VocYear",
    sets: Sequence[list[str]],
    columns: "Columns | None",
    first_pixel: int | None,
    out: Path,
) -> "tuple[Proposals, list[tuple[str, Imported]]]":
    """Write the boxes of the files for the images of the sets; returns them and each file's facts.

    A file without ids belongs to the image set in the same place of the command line.
    """
    from cebench.data.images import image_size
    from cebench.data.proposals.files import Proposals, load_proposals, save_proposals
    from cebench.data.proposals.mat import import_files
    from cebench.errors import InputError

    def size_of(image_id: str) -> tuple[int, int]:
        return image_size(voc.image_path(image_id), upright=False)

    files = import_files(paths, sets, size_of, columns, first_pixel)
    boxes = {image_id: of_image for file in files for image_id, of_image in file.boxes.items()}
    few = len(paths) <= 2
    name = "+".join(path.stem for path in paths) if few else f"{len(paths)}-files"
    ids = dict.fromkeys(image_id for members in sets for image_id in members)
    source = Path(", ".join(path.name for path in paths))
    proposals = Proposals(f"imported-{name}", boxes).select(list(ids), source)
    if out.is_file() and (taken := load_proposals(out).name) != proposals.name:
        raise InputError(f"{out}: holds {taken}; choose another file")
    save_proposals(out, proposals)
    return proposals, list(zip((path.name for path in paths), files, strict=True))


def _report(
    found: "Proposals",
    annotations: "Mapping[str, Annotation]",
    without: Sequence[str],
    facts: "Sequence[tuple[str, Imported]]",
    out: Path,
) -> dict[str, Any]:
    """What is printed; recall is over the images of `annotations`, and absent without any."""
    counts = [len(boxes) for boxes in found.boxes.values()]
    result: dict[str, Any] = {
        "name": found.name,
        "sha256": found.sha256,
        "images": len(counts),
        "boxes_per_image": sum(counts) / len(counts),
        "images_without_boxes": counts.count(0),
        "sets_without_annotations": list(without),
    }
    if facts:
        result["imported"] = [
            {
                "file": name,
                **asdict(file.reading),
                "clipped": file.clipped,
                "dropped": file.dropped,
            }
            for name, file in facts
        ]
    return result | (_recall(found, annotations, out) if annotations else {})


def _recall(
    found: "Proposals", annotations: "Mapping[str, Annotation]", out: Path
) -> dict[str, Any]:
    """How well the boxes cover the objects; leaves the same as a CSV and a picture beside OUT."""
    from cebench.data.voc.devkit import VOC_CLASSES
    from cebench.files import write_csv
    from cebench.metrics.detection import stack_objects
    from cebench.metrics.proposals import best_overlaps, coverage
    from cebench.plots.detection import plot_coverage

    truth = stack_objects((a.boxes, a.labels, a.difficult) for a in annotations.values())
    best = best_overlaps([found.boxes[image_id] for image_id in annotations], truth)
    whole = coverage(best, truth)
    per_class = {
        name: asdict(coverage(best, truth, label)) for label, name in enumerate(VOC_CLASSES)
    }
    write_csv(
        out.with_name(f"{out.stem}-recall.csv"),
        ("class", *asdict(whole)),
        ((name, *row.values()) for name, row in {**per_class, "all": asdict(whole)}.items()),
    )
    picture = out.with_name(f"{out.stem}-recall.png")
    plot_coverage(best[~truth.difficult], per_class, picture, found.name)
    return {**asdict(whole), "per_class": per_class}


def _table(result: Mapping[str, Any], year: int, facts: "Sequence[tuple[str, Imported]]") -> str:
    lines = [
        f"{name}: {file.reading}; {file.clipped} boxes clipped, {file.dropped} dropped"
        for name, file in facts
    ]
    lines += [
        f"{result['name']}  SHA-256 {result['sha256']}",
        f"{result['images']} images, {result['boxes_per_image']:.0f} boxes per image, "
        f"{result['images_without_boxes']} without a box",
    ]
    if result["sets_without_annotations"]:
        sets = ", ".join(result["sets_without_annotations"])
        lines.append(f"no recall of {sets}: VOC{year} has no annotations of these images here")
    return "\n".join([*lines, *(_recall_lines(result) if "per_class" in result else ())])


def _recall_lines(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{'class':<14}{'recall 0.5 %':>14}{'recall 0.7 %':>14}{'best IoU %':>12}{'objects':>9}"
    ]
    rows = {**result["per_class"], "all": result}
    for name, row in rows.items():
        cells = (row["recall_at_50"], row["recall_at_70"], row["mean_best_iou"])
        shown = ("-" if math.isnan(value) else f"{100 * value:.1f}" for value in cells)
        first, second, third = shown
        lines.append(f"{name:<14}{first:>14}{second:>14}{third:>12}{row['objects']:>9}")
    return lines
