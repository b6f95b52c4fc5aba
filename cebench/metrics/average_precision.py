"""Average precision: three definitions over one precision-recall curve, and multilabel scores.

All are fractions in [0, 1], higher is better. The definitions differ by points, not by decimals,
so each has its own name.
"""

import math
from dataclasses import dataclass

import numpy as np

from cebench.metrics.means import mean_of_defined

TIE_PENALTY = 1e-5
"""Subtracted from the scores of positives, so that equal scores never rank in their favour.

Source: philkr/voc-classification, src/train_cls.py. Scores that differ by less are as good as
equal: logits are meant, not probabilities of 1e-5.
"""

# k * 0.1 in floating point, as in the Python evaluators of VOC: a recall of 3/10 lies below the
# fourth level, 0.30000000000000004.
RECALL_LEVELS = np.arange(11) * 0.1


def precision_recall(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve at every distinct score, from the highest down.

    Args:
        scores: (R,) finite.
        positive: (R,) bool with at least one True.

    Returns:
        precision and recall, both (T,) float64; recall ascends and ends at 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_score = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(positive[order])[last_of_score]
    return hits / (last_of_score + 1), hits / hits[-1]


def curve_steps(precision: np.ndarray, recall: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each recall that is reached, ascending, and the precision when it was: corners to draw.

    precision, recall: (T,) from the highest score down. A precision holds from the recall before;
    the area under these steps is `average_precision_stepwise`.
    """
    last = np.flatnonzero(np.diff(recall, append=np.inf))
    reached = recall[last[recall[last] > 0]]
    # The greatest precision at a recall is that of the first detection which reaches it.
    return reached, precision[np.searchsorted(recall, reached)]


def average_precision_stepwise(precision: np.ndarray, recall: np.ndarray) -> float:
    """Sum of (R_n - R_n-1) P_n without interpolation: scikit-learn's average_precision_score.

    Args:
        precision: (T,).
        recall: (T,), ascending.
    """
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def average_precision_voc07_11pt(precision: np.ndarray, recall: np.ndarray) -> float:
    """Mean over recall levels 0, 0.1, .. 1 of the best precision at that recall or above.

    The devkit's measure up to VOC2009. A level that is never reached counts 0; so does every level
    of an empty curve.

    Args:
        precision: (T,).
        recall: (T,), ascending.
    """
    best = np.append(_best_precision_from_here(precision), 0.0)
    return math.fsum(best[np.searchsorted(recall, RECALL_LEVELS)]) / len(RECALL_LEVELS)


def average_precision_area(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under the curve of the best precision at each recall or above (devkit since VOC2010).

    Args:
        precision: (T,); an empty curve has area 0.
        recall: (T,), ascending.
    """
    # What lies beyond the highest recall reached has precision 0.
    steps = np.diff(np.concatenate(([0.0], recall, [1.0])))
    best = _best_precision_from_here(np.append(precision, 0.0))
    taken = steps > 0
    return float(np.sum(steps[taken] * best[taken]))


def _best_precision_from_here(precision: np.ndarray) -> np.ndarray:
    best: np.ndarray = np.maximum.accumulate(precision[::-1])[::-1]
    return best


@dataclass(frozen=True)
class MultilabelScores:
    """Average precision per class by three definitions; nan for a class without positives.

    The means are over the classes that have positives (nan if none has).
    """

    ap_sklearn: np.ndarray
    """(C,) float64, step-wise."""
    ap_voc07_11pt: np.ndarray
    """(C,) float64."""
    ap_area: np.ndarray
    """(C,) float64."""
    positives: np.ndarray
    """(C,) int64."""
    images: np.ndarray
    """(C,) int64, images counted: those not ignored for the class."""

    @property
    def mean_ap_sklearn(self) -> float:
        """Mean of the step-wise average precision over the classes."""
        return mean_of_defined(self.ap_sklearn)

    @property
    def mean_ap_voc07_11pt(self) -> float:
        """Mean of VOC2007's 11-point average precision over the classes."""
        return mean_of_defined(self.ap_voc07_11pt)

    @property
    def mean_ap_area(self) -> float:
        """Mean of the area under the interpolated curve over the classes."""
        return mean_of_defined(self.ap_area)


def multilabel_scores(scores: np.ndarray, labels: np.ndarray) -> MultilabelScores:
    """Score every class over the images whose label for it is not 0.

    Ties are broken against the positives (TIE_PENALTY), so the order of the images is irrelevant.

    Args:
        scores: (N, C), higher is more likely; in units of which TIE_PENALTY is a small part.
        labels: (N, C), 1 present, 0 ignored (VOC: only difficult objects), -1 absent.

    Raises:
        ValueError: the shapes differ, or a score is not finite.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(f"expected (N, C) scores and labels, got {scores.shape}, {labels.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, got nan or infinity")
    rows = [_class_scores(scores[:, c], labels[:, c]) for c in range(scores.shape[1])]
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return MultilabelScores(
        ap_sklearn=table[:, 0],
        ap_voc07_11pt=table[:, 1],
        ap_area=table[:, 2],
        positives=np.count_nonzero(labels == 1, axis=0),
        images=np.count_nonzero(labels, axis=0),
    )


def class_curve(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Precision and recall of one class, ties against the positives; None without positives.

    scores, labels: (N,), as for `multilabel_scores`.
    """
    counted = labels != 0
    positive = labels[counted] == 1
    if not positive.any():
        return None
    return precision_recall(scores[counted] - TIE_PENALTY * positive, positive)


def overtaken_positives(scores: np.ndarray, labels: np.ndarray) -> int:
    """How many positives TIE_PENALTY moves behind negatives of lower scores, over all classes.

    Arguments as for `multilabel_scores`.
    """
    overtaken = 0
    for values, signs in zip(scores.T, labels.T, strict=True):
        negatives, positives = np.sort(values[signs == -1]), values[signs == 1]
        before = np.searchsorted(negatives, positives)
        overtaken += int((np.searchsorted(negatives, positives - TIE_PENALTY) < before).sum())
    return overtaken


def _class_scores(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    curve = class_curve(scores, labels)
    if curve is None:
        return math.nan, math.nan, math.nan
    return (
        average_precision_stepwise(*curve),
        average_precision_voc07_11pt(*curve),
        average_precision_area(*curve),
    )
