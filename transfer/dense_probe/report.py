"""What a dense probe leaves: the learning curve, and what segmentation leaves too."""

import numpy as np

from cebench.metrics.segmentation import SegmentationScores
from cebench.plots.sheets import plot_curves
from cebench.training.run_directory import RunDirectory

from ..segmentation import report
from ..segmentation.data import SegmentationImages
from ..segmentation.report import measurements, scored_from

__all__ = ["COLUMN", "measurements", "scored_from", "write_report"]

COLUMN = "dense_probe"


def write_report(
    run: RunDirectory, per_image: np.ndarray, test: SegmentationImages, scores: SegmentationScores
) -> None:
    """Write curves.png, per_class.csv and the pictures of (N, 21, 21) confusion matrices."""
    plot_curves(run.metrics(), run.path / "curves.png", title="dense probe")
    report.write_report(run.path, per_image, test, scores)
