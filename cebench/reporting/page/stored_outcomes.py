"""What the page takes from stored outcomes: pairs of rows, curves, scores of classes and images."""

from collections.abc import Mapping, Sequence

import numpy as np

from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOC_CLASSES
from cebench.metrics.average_precision import class_curve, multilabel_scores
from cebench.metrics.detection import class_curves, detection_scores
from cebench.metrics.segmentation import segmentation_scores
from cebench.reporting.cells import Number
from cebench.reporting.comparison_formats import comparison_notes, pair_texts
from cebench.reporting.outcome_boxes import ScoredBoxes
from cebench.reporting.outcome_parts import LabelScores, PixelPairs, Scorable
from cebench.reporting.outcomes import OutcomePart
from cebench.reporting.results import find_outcome
from cebench.reporting.tables import Table
from cebench.reporting.verdicts import NamedComparison

from .runs import Run

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Class -> precision and recall, each (T,), from the highest score down."""


def pair_lines(table: Table) -> tuple[list[list[str]], list[str]]:
    """The comparisons behind the letters of `table`, and their notes; empty without letters."""
    columns = {column.id: column for column in table.layout.columns}
    found = [
        NamedComparison(
            table=table.layout.id, column=columns[name], first=first, second=second, found=pair
        )
        for name, comparison in table.comparisons.items()
        for (first, second), pair in comparison.pairs.items()
    ]
    return [pair_texts(one) for one in found], comparison_notes(found) if found else []


def precision_recall_curves(number: Number) -> Curves:
    """The curves that `number` averages over classes; empty where none are stored."""
    part = _part_of(number)
    if part is None:
        return {}
    scored = part.scored
    if isinstance(scored, LabelScores):
        return _curves_of_labels(scored)
    if isinstance(scored, ScoredBoxes):
        found = class_curves(scored.detections, scored.truth, scored.classes)
        named = zip(_class_names(scored.classes), found, strict=True)
        return {name: (curve.precision, curve.recall) for name, curve in named if curve.objects}
    return {}


def scores_per_class(number: Number) -> dict[str, float]:
    """Class -> the score that `number` averages over classes; empty where none are stored.

    Over draws of training images the mean.
    """
    part = _part_of(number)
    if part is None:
        return {}
    metric = part.base_metric(number.measurement.metric).removeprefix("mean_")
    values = _class_values(part.scored, metric)
    names = SEGMENTATION_CLASSES if len(values) == len(SEGMENTATION_CLASSES) else None
    return dict(zip(names or _class_names(len(values)), values, strict=True))


def iou_per_image(run: Run) -> dict[str, float]:
    """Image -> mean IoU of its own classes; empty where no segmentation is stored."""
    outcome = find_outcome(run.path, run.record)
    for part in outcome.parts if outcome else ():
        if isinstance(part.scored, PixelPairs) and outcome:
            ious = (segmentation_scores(one).mean_iou for one in part.scored.confusions)
            return dict(zip(outcome.ids, map(float, ious), strict=True))
    return {}


def _part_of(number: Number) -> OutcomePart | None:
    """What `number` was scored from, where that is stored."""
    outcome = find_outcome(number.path, number.record)
    if outcome is None:
        return None
    return outcome.part_of(number.measurement, number.record.weights.method)


def _class_values(scored: Scorable, metric: str) -> list[float]:
    if isinstance(scored, LabelScores):
        found = [getattr(multilabel_scores(draw, scored.labels), metric) for draw in scored.values]
        return [float(value) for value in np.mean(found, axis=0)]
    if isinstance(scored, ScoredBoxes):
        of_classes = detection_scores(scored.detections, scored.truth, scored.classes).per_class
        return [getattr(of_class, metric) for of_class in of_classes]
    if isinstance(scored, PixelPairs):
        return [float(iou) for iou in segmentation_scores(scored.confusions.sum(axis=0)).iou]
    return []


def _curves_of_labels(scored: LabelScores) -> Curves:
    """The curves of the first draw of training images."""
    curves = {}
    for column, name in enumerate(_class_names(scored.classes)):
        curve = class_curve(scored.values[0][:, column], scored.labels[:, column])
        if curve is not None:
            curves[name] = curve
    return curves


def _class_names(count: int) -> Sequence[str]:
    if count == len(VOC_CLASSES):
        return VOC_CLASSES
    return [f"class {number}" for number in range(1, count + 1)]
