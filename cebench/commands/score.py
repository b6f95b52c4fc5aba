"""`cebench score`: score files that any program wrote, in the devkit's formats or as images."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cebench.commands.groups import SuggestingGroup
from cebench.commands.json_output import print_result
from cebench.commands.score_inpainting import inpainting
from cebench.commands.score_tables import per_class_table
from cebench.run_options import FiniteRange, add_options, examples, json_option

if TYPE_CHECKING:
    import numpy as np

    from cebench.data.voc.devkit import VocYear
    from cebench.metrics.detection import Objects

_PATH = click.Path(path_type=Path)
_PAPER_SETS = {
    "classification": (2007, "Main/test"),
    "detection": (2007, "Main/test"),
    "segmentation": (2012, "Segmentation/seg11valid"),
}
"""Column of Table 2 -> year and set of the published numbers; val holds images of SBD's train."""


def _voc_options(year: int, image_set: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return add_options(
        click.option("--data", type=_PATH, required=True, help="The VOCdevkit folder."),
        click.option("--year", default=year, show_default=True, help="Year of the devkit."),
        click.option(
            "--image-set",
            default=image_set,
            show_default=True,
            help="Name of a set of the devkit, or a list file.",
        ),
    )


@click.group(
    cls=SuggestingGroup,
    invoke_without_command=True,
    no_args_is_help=True,
    epilog=examples(
        "cebench score detection --detections results/ --data VOCdevkit",
        "cebench score --all runs/",
    ),
)
@click.option(
    "--all",
    "stored",
    multiple=True,
    type=_PATH,
    metavar="RESULTS",
    help="Score what runs or a bundle have stored by every definition of what it measures.",
)
@json_option
@click.pass_context
def score(ctx: click.Context, stored: tuple[Path, ...], as_json: bool) -> None:
    """Score files that any program wrote.

    Fractions and decibels are printed in JSON (--json; null where a number is undefined or
    infinite), percent and decibels in the tables.
    """
    if not stored:
        if as_json:
            raise click.UsageError(f"put --json after {ctx.invoked_subcommand}, or give --all")
        return
    if ctx.invoked_subcommand is not None:
        raise click.UsageError(f"--all scores by itself; leave out {ctx.invoked_subcommand}")
    from cebench.commands.report import sensitivity_text
    from cebench.reporting.results import read_results
    from cebench.reporting.tables import build_tables

    tables = build_tables(read_results(stored))
    click.echo(sensitivity_text(tables, "json" if as_json else "markdown"), nl=False)


score.add_command(inpainting)


@score.command(
    epilog=examples(
        "cebench score detection --detections results/ --data VOCdevkit",
        "cebench score detection --detections results/ --data VOCdevkit --image-set val --json",
    )
)
@click.option("--detections", type=_PATH, required=True, help="Folder of *_det_<set>_<class>.txt.")
@click.option(
    "--iou",
    type=FiniteRange(0, 1, max_open=True),
    default=0.5,
    show_default=True,
    help="Overlap (intersection over union) that a right detection exceeds.",
)
@_voc_options(2007, "test")
@json_option
def detection(
    detections: Path, iou: float, data: Path, year: int, image_set: str, as_json: bool
) -> None:
    """Average precision of VOC result files, by both of the devkit's definitions.

    Every class has a file *_det_<set>_<class>.txt (or .txt.gz) with lines `id score x1 y1 x2 y2`,
    1-based; for a list file, <set> is its name without suffix. A detection is right if it overlaps
    an object by more than --iou; difficult objects do not count.
    """
    from cebench.data.voc.devkit import VOC_CLASSES, VocYear
    from cebench.data.voc.results import read_detection_files
    from cebench.metrics.detection import Detections, detection_scores

    voc = VocYear(data, year)
    ids = voc.ids(image_set)
    rows = read_detection_files(detections, Path(image_set).stem, ids)
    truth = _objects(voc, ids)
    scores = detection_scores(Detections(**rows._asdict()), truth, len(VOC_CLASSES), iou)
    result = {
        "mean_ap_voc07_11pt": scores.mean_ap_voc07_11pt,
        "mean_ap_area": scores.mean_ap_area,
        "per_class": {
            name: {
                "ap_voc07_11pt": row.ap_voc07_11pt,
                "ap_area": row.ap_area,
                "objects": row.objects,
                "detections": row.detections,
            }
            for name, row in zip(VOC_CLASSES, scores.per_class, strict=True)
        },
        "images": len(ids),
    }
    print_result(result, as_json, per_class_table)
    if iou == 0.5 and not as_json:
        _show_published("detection", year, f"Main/{image_set}", len(ids))


def _objects(voc: "VocYear", ids: list[str]) -> "Objects":
    from cebench.metrics.detection import stack_objects

    annotations = map(voc.annotation, ids)
    return stack_objects((a.boxes, a.labels, a.difficult) for a in annotations)


@score.command(
    epilog=examples(
        "cebench score segmentation --predictions labels/ --data VOCdevkit",
        "cebench score segmentation --predictions labels/ --data VOCdevkit --image-set ids.txt",
    )
)
@click.option("--predictions", type=_PATH, required=True, help="Folder of <id>.png label images.")
@_voc_options(2012, "val")
@json_option
def segmentation(predictions: Path, data: Path, year: int, image_set: str, as_json: bool) -> None:
    """Mean IoU and pixel accuracies of label images, from one confusion matrix of the set.

    Predictions are index or palette PNGs of the photographs' sizes: 0 background, 1..20 the
    classes in the devkit's order. Pixels that are void (255) in the truth do not count.
    """
    import numpy as np

    from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VocYear
    from cebench.data.voc.segmentation_sets import segmentation_ids
    from cebench.errors import InputError
    from cebench.metrics.segmentation import segmentation_scores

    voc = VocYear(data, year)
    ids = segmentation_ids(voc, image_set, data)
    if not predictions.is_dir():
        raise InputError(f"{predictions} is no folder; give the one with the predicted <id>.png")
    classes = len(SEGMENTATION_CLASSES)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    for image_id in ids:
        confusion += _label_pairs(voc.segmentation(image_id), predictions / f"{image_id}.png")
    scores = segmentation_scores(confusion)
    columns = zip(
        SEGMENTATION_CLASSES, scores.iou, scores.accuracy, confusion.sum(axis=1), strict=True
    )
    result = {
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
        "frequency_weighted_iou": scores.frequency_weighted_iou,
        "per_class": {
            name: {"iou": float(iou), "accuracy": float(accuracy), "pixels": int(pixels)}
            for name, iou, accuracy, pixels in columns
        },
        "images": len(ids),
    }
    print_result(result, as_json, per_class_table)
    if not as_json:
        _show_published("segmentation", year, f"Segmentation/{image_set}", len(ids))


def _label_pairs(truth: "np.ndarray", path: Path) -> "np.ndarray":
    from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOID_LABEL
    from cebench.data.voc.label_images import read_label_image
    from cebench.errors import InputError
    from cebench.metrics.segmentation import confusion_matrix

    prediction = read_label_image(path)
    if prediction.shape != truth.shape:
        raise InputError(
            f"{path} has {prediction.shape} pixels (height, width), its truth {truth.shape}; write "
            "predictions at the size of the photograph"
        )
    unknown = prediction[(prediction >= len(SEGMENTATION_CLASSES)) & (prediction != VOID_LABEL)]
    if len(unknown):
        raise InputError(
            f"{path}: predicted label {unknown[0]}, expected 0..20; write class indices"
        )
    try:
        return confusion_matrix(truth, prediction, len(SEGMENTATION_CLASSES))
    except ValueError as error:
        raise InputError(f"{path}: {error}; write class indices of the devkit") from error


@score.command(
    epilog=examples(
        "cebench score classification --scores scores.csv --data VOCdevkit",
        "cebench score classification --scores scores.csv --data VOCdevkit --image-set val --json",
    )
)
@click.option("--scores", type=_PATH, required=True, help="CSV: `image` and a column per class.")
@_voc_options(2007, "test")
@json_option
def classification(scores: Path, data: Path, year: int, image_set: str, as_json: bool) -> None:
    """Average precision of classification scores, by three definitions.

    Images that show only difficult objects of a class are ignored for it. Equal scores never rank
    in a positive's favour: 1e-5 is subtracted from the positives', as the authors' evaluator does,
    so give logits, not probabilities that are as small. The intervals (95 %) are over the images,
    from 2,000 bootstrap draws; there is none where it would hold too rarely (docs/intervals.md).
    """
    from cebench.data.voc.devkit import VOC_CLASSES, VocYear
    from cebench.data.voc.results import read_scores_csv
    from cebench.metrics.classification import classification_summary

    voc = VocYear(data, year)
    ids = voc.ids(image_set)
    values, labels = read_scores_csv(scores, ids), voc.class_labels(image_set, ids)
    summary = classification_summary(values, labels, VOC_CLASSES)
    _warn_of_small_scores(values, labels, summary["mean_ap_sklearn"])
    print_result(summary, as_json, per_class_table)
    if not as_json:
        _show_published("classification", year, f"Main/{image_set}", len(ids))


def _show_published(column: str, year: int, image_set: str, images: int) -> None:
    """Print the paper's numbers where the same images were scored: a drawn world has few."""
    from cebench.data.verify import OFFICIAL_COUNTS

    official = OFFICIAL_COUNTS.get(f"VOC{year}", {}).get(image_set)
    if (year, image_set) != _PAPER_SETS[column] or images != official:
        return
    from cebench.reporting.headlines import published_lines

    click.echo("\n" + "\n".join(published_lines("2", (column,))))


def _warn_of_small_scores(scores: "np.ndarray", labels: "np.ndarray", mean_ap: float) -> None:
    """One line on stderr where the penalty of ties moves the mean by half of its last digit.

    A few positives of a large set always lie within 1e-5 above a negative; that alone is no news.
    """
    import numpy as np

    from cebench.metrics.average_precision import multilabel_scores, overtaken_positives

    ranks = np.apply_along_axis(lambda c: np.unique(c, return_inverse=True)[1], 0, scores)
    plain = multilabel_scores(ranks, labels).mean_ap_sklearn
    overtaken = overtaken_positives(scores, labels)
    if overtaken and abs(plain - mean_ap) >= 0.0005:
        click.echo(
            f"warning: 1e-5 less for positives puts {overtaken} of {(labels == 1).sum()} behind "
            f"negatives of lower scores: mean_ap_sklearn {100 * mean_ap:.1f} % instead of "
            f"{100 * plain:.1f} %; give logits, or multiply the scores",
            err=True,
        )
