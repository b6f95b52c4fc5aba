"""The segmentation scores under image weights, from each image's sums per class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cebench.metrics.image_weights import mean_over_classes, select_metrics


@dataclass(frozen=True)
class WeightedSegmentation:
    """The four scores of `SegmentationScores` as functions of image weights (`WeightedScores`).

    For a draw with weights w each equals the two lines

        confusion = sum(times * matrix for times, matrix in zip(w, confusions))
        segmentation_scores(confusion)
    """

    right: np.ndarray
    """(N, C) pixels of each class that are predicted as it: the confusion matrices' diagonals."""
    true: np.ndarray
    """(N, C) pixels of each class in the truth."""
    predicted: np.ndarray
    """(N, C) pixels predicted as each class, those void in the truth left out."""

    @classmethod
    def from_confusions(cls, confusions: Iterable[np.ndarray]) -> "WeightedSegmentation":
        """Keep three (C,) sums of each image's confusion matrix (C, C), rows the true class."""
        sums = [(np.diag(m), m.sum(axis=1), m.sum(axis=0)) for m in confusions]
        right, true, predicted = (np.array(part, np.float64) for part in zip(*sums, strict=True))
        return cls(right, true, predicted)

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")

    @property
    def images(self) -> int:
        return len(self.true)

    @property
    def rarest_images(self) -> int:
        counts = np.count_nonzero(self.true, axis=0)
        return int(min(counts[counts > 0], default=0))

    def values(self, weights: np.ndarray, metrics: Sequence[str] | None = None) -> np.ndarray:
        """Those of the four scores under weights (N, B): (K, B); see `WeightedScores.values`."""
        weights = weights.astype(np.float64)
        right, true, predicted = (
            part.T @ weights for part in (self.right, self.true, self.predicted)
        )
        total = true.sum(axis=0)
        iou, accuracy = _ratio(right, true + predicted - right), _ratio(right, true)
        mean_iou, mean_accuracy = mean_over_classes(np.stack([iou, accuracy]))
        weighted = (true * np.where(true > 0, iou, 0.0)).sum(axis=0)
        pixel = _ratio(right.sum(axis=0), total)
        scores = (mean_iou, pixel, mean_accuracy, _ratio(weighted, total))
        return select_metrics(self.metrics, scores, metrics)

    def pooled(self, other: "WeightedSegmentation") -> "WeightedSegmentation":
        """See `WeightedScores.pooled`."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return WeightedSegmentation(*(np.concatenate(pair) for pair in pairs))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio
