"""Average precision under image weights, by three definitions at once, for labels and for boxes.

The order of the scores and what each entry is (right, wrong, not counted) do not depend on other
images. So an image's weight only says how often its entries stand in the list, and precision and
recall of any draw are cumulative sums over one ranking.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from cebench.metrics.average_precision import RECALL_LEVELS, TIE_PENALTY
from cebench.metrics.detection import (
    NOT_COUNTED,
    TRUE_POSITIVE,
    Detections,
    Objects,
    by_score,
    match_detections,
)
from cebench.metrics.image_weights import mean_over_classes

DEFINITIONS = ("sklearn", "voc07_11pt", "area")
"""Step-wise as scikit-learn's, the mean at 11 recall levels, the area under the envelope."""
_MEAN = "mean_ap_"
"""A metric's name is this and a definition."""
_TINY = np.finfo(np.float64).tiny
_CELLS_AT_ONCE = 1 << 18
"""Positives times draws of one class that are in memory together: they fit a processor's cache."""


@dataclass(frozen=True)
class RankedEntries:
    """One class's counted entries, from the highest score down."""

    image: np.ndarray
    """(R,) int64."""
    right: np.ndarray
    """(R,) bool: positive, or a true positive."""
    rank: np.ndarray
    """(R,) float64, ascending; equal where entries tie, which then count as one step."""
    objects: np.ndarray
    """(N,) float64, how many positives each image adds to the recall's denominator."""

    @functools.cached_property
    def sums(self) -> tuple[csr_array, csr_array]:
        """Two (G, N) matrices: right entries, and all entries, of each image in each step.

        A step ends with the last entry that ties with a right one. Average precision needs the
        curve there only: between two such places precision falls.
        """
        ends = np.searchsorted(self.rank, np.unique(self.rank[self.right]), side="right")
        right = np.flatnonzero(self.right)
        shape = (len(ends), len(self.objects))
        # An image may stand twice in a row of the matrix: products add it twice, as they should.
        return (
            _rows_of_ones(self.image[right], np.searchsorted(right, ends), shape),
            _rows_of_ones(self.image[: ends[-1] if len(ends) else 0], ends, shape),
        )

    def pooled(self, other: "RankedEntries") -> "RankedEntries":
        """Two rankings of the same images in one, rank by rank; `other`'s images are N + image.

        Ranks are what two rows have in common: their scores may have different units.
        """
        order = np.argsort(np.concatenate([self.rank, other.rank]), kind="stable")
        return RankedEntries(
            np.concatenate([self.image, other.image + len(self.objects)])[order],
            np.concatenate([self.right, other.right])[order],
            np.concatenate([self.rank, other.rank])[order],
            np.concatenate([self.objects, other.objects]),
        )


@dataclass(frozen=True)
class WeightedAveragePrecision:
    """Mean average precision of one run as a function of image weights (`WeightedScores`).

    For one class and a draw with weights w it equals the three lines

        again = np.repeat(np.arange(N), w)                  # every image as often as drawn
        curve = precision_recall(scores[again], positive[again])
        average_precision_stepwise(*curve)                  # or _voc07_11pt, or _area

    and for detections those lines over the entries of the images in `again`. A class counts in a
    draw's mean where the draw has a positive of it.
    """

    classes: tuple[RankedEntries, ...]
    images: int

    @classmethod
    def from_scores(cls, scores: np.ndarray, labels: np.ndarray) -> "WeightedAveragePrecision":
        """Rank multilabel scores as `multilabel_scores` does.

        Args:
            scores: (N, C) finite.
            labels: (N, C), 1 present, 0 ignored, -1 absent.
        """
        columns = zip(np.asarray(scores, np.float64).T, labels.T, strict=True)
        return cls(tuple(_rank_labels(*column) for column in columns), len(labels))

    @classmethod
    def from_detections(
        cls, detections: Detections, truth: Objects, num_classes: int, images: int
    ) -> "WeightedAveragePrecision":
        """Match and rank detections as `detection_scores` does; arguments as for it.

        images: number of images in the set, also those without detections and objects.
        """
        counted = ~truth.difficult
        objects = np.zeros((num_classes, images))
        np.add.at(objects, (truth.labels[counted], truth.images[counted]), 1)
        return cls.from_outcomes(
            detections.images,
            detections.labels,
            detections.scores,
            match_detections(detections, truth),
            objects,
        )

    @classmethod
    def from_outcomes(
        cls,
        image: np.ndarray,
        label: np.ndarray,
        scores: np.ndarray,
        outcomes: np.ndarray,
        objects: np.ndarray,
    ) -> "WeightedAveragePrecision":
        """Rank detections that are matched already; equal scores stay in row order.

        Args:
            image: (D,) int64, image of each detection.
            label: (D,) int64, class of each detection.
            scores: (D,) finite.
            outcomes: (D,) as `match_detections` returns them.
            objects: (C, N), counted objects of each class in each image.
        """
        order = by_score(scores)
        order = order[outcomes[order] != NOT_COUNTED]
        classes = []
        for c, in_image in enumerate(objects):
            mine = order[label[order] == c]
            rank = np.arange(len(mine), dtype=np.float64)
            right = outcomes[mine] == TRUE_POSITIVE
            classes.append(RankedEntries(image[mine], right, rank, in_image))
        return cls(tuple(classes), objects.shape[1])

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(f"{_MEAN}{name}" for name in DEFINITIONS)

    @property
    def rarest_images(self) -> int:
        counts = [int(np.count_nonzero(ranked.objects)) for ranked in self.classes]
        return min((count for count in counts if count), default=0)

    def values(self, weights: np.ndarray, metrics: Sequence[str] | None = None) -> np.ndarray:
        """The means over classes under weights (N, B): (K, B); see `WeightedScores.values`."""
        wanted = self.metrics if metrics is None else metrics
        return mean_over_classes(self.per_class(weights, [m.removeprefix(_MEAN) for m in wanted]))

    def per_class(
        self, weights: np.ndarray, definitions: Sequence[str] = DEFINITIONS
    ) -> np.ndarray:
        """Average precisions under weights (N, B): (K, C, B); nan without a positive."""
        found = np.full((len(definitions), len(self.classes), weights.shape[1]), np.nan)
        largest = max((np.count_nonzero(ranked.right) for ranked in self.classes), default=0)
        width = max(16, _CELLS_AT_ONCE // max(largest, 1))
        objects = np.array([ranked.objects for ranked in self.classes])
        objects = objects.reshape(len(self.classes), self.images)  # of no class too
        for start in range(0, weights.shape[1], width):
            part = np.ascontiguousarray(weights[:, start : start + width])
            for c, (ranked, positives) in enumerate(zip(self.classes, objects @ part, strict=True)):
                scores = _average_precisions(ranked, part, positives, definitions)
                found[:, c, start : start + width] = scores
        return found

    def pooled(self, other: "WeightedAveragePrecision") -> "WeightedAveragePrecision":
        """See `WeightedScores.pooled`; entries are pooled by their ranks."""
        pairs = zip(self.classes, other.classes, strict=True)
        return WeightedAveragePrecision(tuple(a.pooled(b) for a, b in pairs), 2 * self.images)


def _rank_labels(scores: np.ndarray, labels: np.ndarray) -> RankedEntries:
    lowered = scores - TIE_PENALTY * (labels == 1)
    order = np.argsort(-lowered, kind="stable")
    order = order[labels[order] != 0]
    first, last = (np.searchsorted(-lowered[order], -lowered[order], s) for s in ("left", "right"))
    right = labels[order] == 1
    return RankedEntries(order, right, (first + last - 1) / 2, (labels == 1).astype(np.float64))


def _rows_of_ones(columns: np.ndarray, ends: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """Matrix with ones at `columns`, row g those before ends[g] and not before ends[g - 1]."""
    starts = np.concatenate([[0], ends])
    return csr_array((np.ones(len(columns), np.float32), columns, starts), shape=shape)


def _average_precisions(
    ranked: RankedEntries, weights: np.ndarray, positives: np.ndarray, definitions: Sequence[str]
) -> np.ndarray:
    """(K, B) of one class with `positives` (B,) under weights (N, B)."""
    hits, seen = (np.cumsum(m @ weights, axis=0, dtype=np.float64) for m in ranked.sums)
    precision = hits / np.maximum(seen, _TINY)
    recall = hits / np.where(positives > 0, positives, np.nan)
    found = np.stack([_OF_CURVE[name](recall, precision) for name in definitions])
    found[:, positives == 0] = np.nan
    return found


def _stepwise(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    gained = np.diff(recall, axis=0, prepend=0.0)
    area: np.ndarray = (gained * precision).sum(axis=0)
    return area


def _at_eleven_levels(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    reached = np.stack([(recall < level).sum(axis=0) for level in RECALL_LEVELS])
    best_or_none = np.concatenate([_envelope(precision), np.zeros((1, recall.shape[1]))])
    mean: np.ndarray = np.take_along_axis(best_or_none, reached, axis=0).mean(axis=0)
    return mean


def _under_envelope(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    return _stepwise(recall, _envelope(precision))


def _envelope(precision: np.ndarray) -> np.ndarray:
    """(R, B), the best precision of this step and all later ones."""
    best: np.ndarray = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return best


_OF_CURVE = dict(zip(DEFINITIONS, (_stepwise, _at_eleven_levels, _under_envelope), strict=True))
"""Definition -> average precision (B,) of recall and precision (R, B)."""
