"""`cebench data proposals`: object proposals of VOC images, and how well they cover the objects."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    from cebench.data.proposals import Proposals
    from cebench.data.proposals_mat import Columns
    from cebench.data.selective_search import Mode
    from cebench.data.voc import VocYear

_PATH = click.Path(path_type=Path)


@click.command()
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
@click.option("--mode", type=click.Choice(["fast", "quality"]), default="fast", show_default=True)
@click.option(
    "--min-side",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Smallest width and height of a box.",
)
@click.option(
    "--max-side",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Reduce images to this longer side before the search; 0 does not.",
)
@click.option(
    "--import",
    "imported",
    type=_PATH,
    multiple=True,
    help="Take the boxes of this .mat file instead of searching; may be repeated.",
)
@click.option("--columns", type=click.Choice(["xyxy", "yxyx"]), help="Of --import; else detected.")
@click.option("--first-pixel", type=click.IntRange(0, 1), help="Of --import; else detected.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
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
    as_json: bool,
) -> None:
    """Selective Search over image sets of DEVKIT, into one file with a name and a SHA-256.

    The same command continues where it was interrupted. Boxes are x0 y0 x1 y1, 0-based, half-open,
    largest area first. Beside the file stand OUT-recall.csv and .png: how well the boxes cover the
    objects. `cebench transfer --task detection --set proposals=OUT` uses the file.
    """
    from cebench.data.voc import VocYear
    from cebench.progress import progress

    voc = VocYear(devkit, year)
    sets = [voc.ids(image_set) for image_set in image_sets]
    ids = list(dict.fromkeys(image_id for members in sets for image_id in members))
    if imported:
        found, said = _import(imported, voc, sets, columns, first_pixel, out)
    else:
        from cebench.data.selective_search import SelectiveSearch, compute_proposals

        search = SelectiveSearch(mode, min_side, max_side)
        images = [(image_id, partial(voc.image, image_id)) for image_id in ids]
        with progress("proposals", "images") as report:
            found, said = compute_proposals(images, out, search, report=report), ""
    result = _report(found, voc, out)
    click.echo(json.dumps(_finite(result), indent=2) if as_json else _table(result, said))


def _import(
    paths: Sequence[Path],
    voc: "VocYear",
    sets: Sequence[list[str]],
    columns: "Columns | None",
    first_pixel: int | None,
    out: Path,
) -> "tuple[Proposals, str]":
    """Write the boxes of the files for the images of the sets; returns them and what was found.

    A file without ids belongs to the image set in the same place of the command line.
    """
    from cebench.data.images import image_size
    from cebench.data.proposals import Proposals, save_proposals
    from cebench.data.proposals_mat import interpret, read_mat

    raw: dict[str, np.ndarray] = {}
    for place, path in enumerate(paths):
        raw |= read_mat(path, sets[min(place, len(sets) - 1)])
    source = ", ".join(path.name for path in paths)
    ids = dict.fromkeys(image_id for members in sets for image_id in members)
    wanted = {image_id: boxes for image_id, boxes in raw.items() if image_id in ids}
    sizes = {image_id: image_size(voc.image_path(image_id)) for image_id in wanted}
    found = interpret(wanted, sizes, source, columns, first_pixel)
    proposals = Proposals(f"imported-{out.stem}", found.boxes).select(list(ids), Path(source))
    save_proposals(out, proposals)
    said = f"{source}: {found.reading}; {found.clipped} boxes clipped, {found.dropped} dropped\n"
    return proposals, said


def _report(found: "Proposals", voc: "VocYear", out: Path) -> dict[str, Any]:
    """What is printed; leaves the same as a CSV and a picture beside the file."""
    import numpy as np

    from cebench.charts import plot_coverage
    from cebench.data.voc import VOC_CLASSES
    from cebench.files import write_csv
    from cebench.metrics.detection import stack_objects
    from cebench.metrics.proposals import best_overlaps, coverage

    annotations = [voc.annotation(image_id) for image_id in found.boxes]
    truth = stack_objects((a.boxes, a.labels, a.difficult) for a in annotations)
    best = best_overlaps(list(found.boxes.values()), truth)
    whole = coverage(best, truth)
    per_class = {
        name: asdict(coverage(best, truth, label)) for label, name in enumerate(VOC_CLASSES)
    }
    stem = out.with_name(f"{out.stem}-recall")
    write_csv(
        stem.with_suffix(".csv"),
        ("class", *asdict(whole)),
        ((name, *row.values()) for name, row in {**per_class, "all": asdict(whole)}.items()),
    )
    plot_coverage(best[~truth.difficult], per_class, stem.with_suffix(".png"), found.name)
    counts = np.array([len(boxes) for boxes in found.boxes.values()])
    return {
        "name": found.name,
        "sha256": found.sha256,
        "images": len(counts),
        "boxes_per_image": float(counts.mean()),
        "images_without_boxes": int(np.count_nonzero(counts == 0)),
        **asdict(whole),
        "per_class": per_class,
    }


def _table(result: dict[str, Any], said: str) -> str:
    lines = [
        f"{'class':<14}{'recall 0.5 %':>14}{'recall 0.7 %':>14}{'best IoU %':>12}{'objects':>9}"
    ]
    rows = {**result["per_class"], "all": result}
    for name, row in rows.items():
        cells = (row["recall_at_50"], row["recall_at_70"], row["mean_best_iou"])
        shown = ("-" if math.isnan(value) else f"{100 * value:.1f}" for value in cells)
        first, second, third = shown
        lines.append(f"{name:<14}{first:>14}{second:>14}{third:>12}{row['objects']:>9}")
    return (
        f"{said}{result['name']}  SHA-256 {result['sha256']}\n"
        f"{result['images']} images, {result['boxes_per_image']:.0f} boxes per image, "
        f"{result['images_without_boxes']} without a box\n" + "\n".join(lines)
    )


def _finite(result: dict[str, Any]) -> dict[str, Any]:
    """JSON has no nan: it becomes null."""
    return {
        key: _finite(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and math.isnan(value)
        else value
        for key, value in result.items()
    }
