"""What segmentation leaves beside its label images: a table of classes and pictures."""

import logging
from pathlib import Path

import numpy as np

from cebench.data.voc.devkit import SEGMENTATION_CLASSES
from cebench.files import write_csv
from cebench.metrics.segmentation import SegmentationScores, segmentation_scores
from cebench.reporting.outcome_parts import PixelPairs
from cebench.reporting.outcomes import OutcomePart, RunOutcome

from ..run_context import Measurement
from .data import SegmentationImages
from .pictures import save_confusion, save_samples

logger = logging.getLogger("cebench")


def write_report(
    run: Path, per_image: np.ndarray, test: SegmentationImages, scores: SegmentationScores
) -> None:
    """Log the scores beside those of no segmentation at all; write per_class.csv and pictures.

    Args:
        run: the run directory, which holds the predictions.
        per_image: (N, 21, 21) confusion matrices.
        test: the images.
        scores: `segmentation_scores` of the sum of `per_image`.
    """
    confusion = per_image.sum(axis=0)
    all_background = np.zeros_like(confusion)
    all_background[:, 0] = confusion.sum(axis=1)
    logger.info(
        f"{test.origin.name}: mean IoU {scores.mean_iou:.4f}; calling every pixel background "
        f"scores {segmentation_scores(all_background).mean_iou:.4f}"
    )
    columns = (confusion.sum(axis=1), scores.iou, scores.accuracy)
    lines = zip(SEGMENTATION_CLASSES, *columns, strict=True)
    write_csv(run / "per_class.csv", ("class", "pixels", "iou", "accuracy"), lines)
    save_samples(per_image, test, run)
    save_confusion(confusion, run / "confusion.png", test.origin.name)


def scored_from(
    per_image: np.ndarray, test: SegmentationImages, column: str = "segmentation"
) -> RunOutcome:
    """What the measurements are scored from: the confusion matrices (N, 21, 21)."""
    part = OutcomePart(scored=PixelPairs(per_image), column=column)
    return RunOutcome(tuple(test.origin.ids), (part,))


def measurements(
    scores: SegmentationScores, images: int, column: str = "segmentation"
) -> list[Measurement]:
    """The four numbers of FCN's score.py."""
    return [
        Measurement(metric=metric, value=getattr(scores, metric), count=images, column=column)
        for metric in ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    ]
