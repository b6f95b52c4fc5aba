"""What detection leaves besides its numbers: result files, tables per class, pictures, charts."""

from dataclasses import astuple
from pathlib import Path

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.files import write_csv
from cebench.metrics.detection import (
    Detections,
    DetectionScores,
    Objects,
    class_curves,
)
from cebench.metrics.detection_errors import KINDS, error_kinds
from cebench.plots.detection import plot_shares
from cebench.plots.precision_recall import Curve, plot_precision_recall
from cebench.reporting.outcome_boxes import ScoredBoxes
from cebench.reporting.outcomes import OutcomePart, RunOutcome

from ..run_context import Measurement
from .data import DetectionSet
from .pictures import save_detection_sheet

SIMILAR_CLASSES = (
    {"aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"},
    {"bird", "cat", "cow", "dog", "horse", "person", "sheep"},
    {"chair", "diningtable", "sofa"},
    {"aeroplane", "bird"},
)
"""Groups whose members are easily taken for each other (Hoiem et al., ECCV 2012)."""


def write_report(
    folder: Path,
    detections: Detections,
    test: DetectionSet,
    scores: DetectionScores,
    pictures: int,
) -> None:
    """Leave tables, pictures and charts in the run directory `folder`.

    Args:
        folder: the run directory.
        detections: detections on the images of `test`.
        test: the images that were scored.
        scores: `detection_scores` of these detections.
        pictures: number of images in the picture.
    """
    truth = test.objects()
    _write_per_class(scores, folder / "per_class.csv")
    _plot_curves(detections, truth, scores, folder / "precision_recall.png")
    _report_errors(detections, truth, folder)
    sheet = folder / "samples" / "detections.png"
    save_detection_sheet(detections, truth, test, pictures, sheet)


def measurements(scores: DetectionScores, images: int) -> list[Measurement]:
    """The mean average precision by both definitions."""
    return [
        Measurement(metric=metric, value=getattr(scores, metric), count=images, column="detection")
        for metric in ("mean_ap_voc07_11pt", "mean_ap_area")
    ]


def scored_from(detections: Detections, test: DetectionSet) -> RunOutcome:
    """What the measurements are scored from: ranked boxes and the objects they may match."""
    ids, classes = tuple(test.ids), len(VOC_CLASSES)
    part = ScoredBoxes.from_detections(detections, test.objects(), len(ids), classes)
    return RunOutcome(ids, (OutcomePart(scored=part, column="detection"),))


def _write_per_class(scores: DetectionScores, path: Path) -> None:
    header = ("class", "ap_voc07_11pt", "ap_area", "objects", "detections")
    classes = zip(VOC_CLASSES, scores.per_class, strict=True)
    write_csv(path, header, ((name, *astuple(of_class)) for name, of_class in classes))


def _plot_curves(
    detections: Detections, truth: Objects, scores: DetectionScores, path: Path
) -> None:
    found = class_curves(detections, truth, len(VOC_CLASSES))
    curves: list[Curve | None] = [(curve.precision, curve.recall) for curve in found]
    values = [row.ap_voc07_11pt for row in scores.per_class]
    by_class = dict(zip(VOC_CLASSES, curves, strict=True))
    plot_precision_recall(by_class, dict(zip(VOC_CLASSES, values, strict=True)), path)


def _report_errors(detections: Detections, truth: Objects, folder: Path) -> None:
    counts = error_kinds(detections, truth, similar_classes())
    rows = [
        dict(zip(KINDS, row, strict=True)) for row in [*counts.tolist(), counts.sum(0).tolist()]
    ]
    per_class = dict(zip((*VOC_CLASSES, "all"), rows, strict=True))
    lines = ((name, *row.values()) for name, row in per_class.items())
    write_csv(folder / "errors.csv", ("class", *KINDS), lines)
    plot_shares(per_class, KINDS, folder / "errors.png")


def similar_classes() -> np.ndarray:
    """(20, 20) bool: two different classes share a group of SIMILAR_CLASSES."""
    return np.array(
        [
            [a != b and any({a, b} <= group for group in SIMILAR_CLASSES) for b in VOC_CLASSES]
            for a in VOC_CLASSES
        ]
    )
