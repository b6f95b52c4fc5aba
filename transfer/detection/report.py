"""What detection leaves besides its numbers: result files, tables per class, pictures, charts."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import torch

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import DetectionRows, write_detection_files
from cebench.files import write_atomically, write_csv
from cebench.metrics.detection import (
    Detections,
    DetectionScores,
    Objects,
    class_curves,
    detection_scores,
    stack_objects,
)
from cebench.metrics.detection_errors import KINDS, error_kinds
from cebench.plots.detection import plot_precision_recall, plot_shares
from cebench.weights.tensor_files import save_tensors

from .data import DetectionSet
from .pictures import save_detection_sheet

SIMILAR_CLASSES = (
    {"aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train"},
    {"bird", "cat", "cow", "dog", "horse", "person", "sheep"},
    {"chair", "diningtable", "sofa"},
    {"aeroplane", "bird"},
)
"""Groups whose members are easily taken for each other (Hoiem et al., ECCV 2012)."""


def report(
    detections: Detections, test: DetectionSet, image_set: str, pictures: int, folder: Path
) -> DetectionScores:
    """Store the detections in `folder`, score them, and leave tables, pictures and charts.

    Args:
        detections: of the images of `test`.
        test: the images that were scored.
        image_set: name or path of their list.
        pictures: number of images drawn.
        folder: the run's.
    """
    _store(detections, test.ids, Path(image_set).stem, folder)
    truth = stack_objects((a.boxes, a.labels, a.difficult) for a in test.annotations)
    scores = detection_scores(detections, truth, len(VOC_CLASSES))
    _write_per_class(scores, folder / "per_class.csv")
    _plot_curves(detections, truth, scores, folder / "precision_recall.png")
    _report_errors(detections, truth, folder)
    sheet = folder / "samples" / "detections.png"
    save_detection_sheet(detections, truth, test, pictures, sheet)
    return scores


def _store(detections: Detections, ids: Sequence[str], image_set: str, folder: Path) -> None:
    """Write the detections as tensors and as the devkit's text files, with the ids they index.

    The list of ids, detections/<set>.txt, is what `cebench score detection --image-set` takes.
    """
    arrays = vars(detections)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    save_tensors(folder / "detections.safetensors", tensors)
    files = folder / "detections"
    write_detection_files(files, image_set, ids, DetectionRows(**arrays))
    listed = "".join(f"{image_id}\n" for image_id in ids)
    write_atomically(files / f"{image_set}.txt", listed.encode())


def _write_per_class(scores: DetectionScores, path: Path) -> None:
    header = ("class", "ap_voc07_11pt", "ap_area", "objects", "detections")
    classes = zip(VOC_CLASSES, scores.per_class, strict=True)
    write_csv(path, header, ((name, *astuple(of_class)) for name, of_class in classes))


def _plot_curves(
    detections: Detections, truth: Objects, scores: DetectionScores, path: Path
) -> None:
    curves = class_curves(detections, truth, len(VOC_CLASSES))
    of_class = {name: (c.precision, c.recall) for name, c in zip(VOC_CLASSES, curves, strict=True)}
    values = [row.ap_voc07_11pt for row in scores.per_class]
    plot_precision_recall(of_class, dict(zip(VOC_CLASSES, values, strict=True)), path)


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
