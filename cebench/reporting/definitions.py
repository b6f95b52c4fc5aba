"""Every definition that papers and codes differ in, applied to one outcome.

Each definition is in use somewhere. One network's numbers by two definitions differ, and a smaller
difference between rows means something only with its definition.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cebench.metrics.detection import (
    BOXES_PER_IMAGE,
    LEAST_SCORE,
    Detections,
    Objects,
    detection_scores,
)
from cebench.metrics.means import mean_of_defined
from cebench.metrics.segmentation import segmentation_scores
from cebench.reporting.outcome_boxes import ScoredBoxes
from cebench.reporting.outcome_parts import FillErrors, LabelScores, PixelPairs
from cebench.reporting.outcomes import OutcomePart

_AVERAGE_PRECISIONS = {
    "mean_ap_sklearn": "step-wise",
    "mean_ap_voc07_11pt": "11 points",
    "mean_ap_area": "area",
}
_REGIONS = {"": "hole", "image_": "whole image"}


def by_every_definition(
    part: OutcomePart, column: str, headline: str = "mean_ap_sklearn"
) -> dict[str, float]:
    """Definition -> the value of `part` by it, for those that measure what `column` does.

    Empty for a part that has nothing to do with the column. The definition of `headline`, the
    column's metric, is the first: of the kinds with one headline everywhere it stands first here.
    """
    scored = part.scored
    if part.column not in ("", column):
        return {}
    ending = f", {part.suffix.strip('_').replace('_', ' ')}" if part.suffix else ""
    if isinstance(scored, LabelScores):
        found = _of_labels(scored, headline)
    elif isinstance(scored, ScoredBoxes):
        found = _of_boxes(scored)
    elif isinstance(scored, PixelPairs):
        found = _of_pixels(scored)
    elif isinstance(scored, FillErrors) and part.prefix in _REGIONS:
        found = _of_errors(scored, column, _REGIONS[part.prefix])
    else:
        return {}
    return {f"{name}{ending}": value for name, value in found}


def _of_labels(scored: LabelScores, headline: str) -> Iterator[tuple[str, float]]:
    """Three average precisions; images with difficult objects alone left out, or as negatives."""
    absent = replace(scored, labels=np.where(scored.labels == 0, -1, scored.labels))
    names = sorted(_AVERAGE_PRECISIONS.items(), key=lambda item: item[0] != headline)
    for labelled, difficult in ((scored, ""), (absent, ", difficult as absent")):
        values = labelled.scores()
        for metric, name in names:
            yield name + difficult, values[metric]


def _of_boxes(scored: ScoredBoxes) -> Iterator[tuple[str, float]]:
    """Two average precisions by two rules of overlap, with all boxes and with py-faster-rcnn's."""
    all_count = replace(scored.truth, difficult=np.zeros_like(scored.truth.difficult))
    for boxes, cap in ((scored.detections, ""), (_capped(scored.detections), ", best 100 > 0.05")):
        # An overlap of exactly 0.5 counts in the devkit's MATLAB code.
        for least, rule in ((0.5, "IoU > 0.5"), (float(np.nextafter(0.5, 0)), "IoU >= 0.5")):
            yield from _of_detections(boxes, scored.truth, scored.classes, f", {rule}{cap}", least)
    name = ", IoU > 0.5, difficult count"
    yield from _of_detections(scored.detections, all_count, scored.classes, name, 0.5)


def _of_detections(
    boxes: Detections, truth: Objects, classes: int, ending: str, least: float
) -> Iterator[tuple[str, float]]:
    found = detection_scores(boxes, truth, classes, least)
    yield f"11 points{ending}", found.mean_ap_voc07_11pt
    yield f"area{ending}", found.mean_ap_area


def _capped(boxes: Detections) -> Detections:
    """The best boxes of each image above the least score; `boxes` are sorted by score."""
    by_image = np.argsort(boxes.images, kind="stable")
    images = boxes.images[by_image]
    place = np.empty(len(images), np.int64)
    place[by_image] = np.arange(len(images)) - np.searchsorted(images, images)
    kept = (place < BOXES_PER_IMAGE) & (boxes.scores > LEAST_SCORE)
    return Detections(*(array[kept] for array in vars(boxes).values()))


def _of_pixels(scored: PixelPairs) -> Iterator[tuple[str, float]]:
    """Intersections over union: over the set or per image, with the background or without."""
    total = segmentation_scores(scored.confusions.sum(axis=0))
    each = np.array([segmentation_scores(m).mean_iou for m in scored.confusions])
    yield "mean IoU", total.mean_iou
    yield "mean IoU without background", mean_of_defined(total.iou[1:])
    yield "mean over images of their mean IoU", mean_of_defined(each)
    yield "frequency-weighted IoU", total.frequency_weighted_iou


def _of_errors(scored: FillErrors, column: str, region: str) -> Iterator[tuple[str, float]]:
    """The errors of a region; PSNR as the mean over images and of the pooled error."""
    values = scored.scores()
    if column == "psnr":
        yield f"mean over images, {region}", values["psnr_per_image_mean_db"]
        yield f"pooled, {region}", values["psnr_pooled_db"]
    elif column in values:
        yield region, values[column]
