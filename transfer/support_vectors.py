"""The benchmark's linear SVMs: costs by cross-validation, and distances of test images.

Source: github.com/facebookresearch/fair_self_supervision_benchmark, tools/svm/train_svm_kfold.py
and svm_helper.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedKFold

from cebench.metrics.average_precision import average_precision_stepwise, precision_recall

from .kernel_svm import TrainSpan, fit

POSITIVE_WEIGHT = 2.0


def cross_validated_scores(
    span: TrainSpan, signs: np.ndarray, costs: Sequence[float], folds: int
) -> np.ndarray:
    """(len(costs), P) mean average precision over the folds of P classifiers, nan without folds.

    A class with fewer positives or negatives than folds has as many folds; a single one cannot be
    held out. signs: (N, P), 1, -1, or 0 of an image that the classifier does not count.
    """
    found = np.full((len(costs), signs.shape[1]), np.nan)
    held = [_held_out(of_class, folds) for of_class in signs.T]
    owner = np.repeat(np.arange(len(held)), [len(parts) for parts in held])
    if not len(owner):
        return found
    out = np.concatenate([parts for parts in held if len(parts)]).T
    signs = signs[:, owner]
    kept = np.where(out, 0.0, image_weights(signs))
    fitted = None
    # Upwards: each fit begins at the one before.
    for place in np.argsort(costs):
        fitted = fit(span, signs, costs[place] * kept, fitted)
        scores = span.rows @ fitted
        values = [
            average_precision_stepwise(*precision_recall(scores[rows, j], signs[rows, j] == 1))
            for j, rows in enumerate(out.T)
        ]
        sums = np.bincount(owner, values, minlength=len(held))
        counts = np.bincount(owner, minlength=len(held))
        found[place, counts > 0] = sums[counts > 0] / counts[counts > 0]
    return found


def _held_out(signs: np.ndarray, folds: int) -> np.ndarray:
    """(folds, N) bool: the images that each fold tests."""
    rows = np.flatnonzero(signs)
    splits = min(folds, int((signs[rows] == 1).sum()), int((signs[rows] == -1).sum()))
    out = np.zeros((splits if splits > 1 else 0, len(signs)), dtype=bool)
    if splits > 1:
        parts = StratifiedKFold(splits).split(rows[:, None], signs[rows])
        for fold, (_, tested) in enumerate(parts):
            out[fold, rows[tested]] = True
    return out


def best_cost(costs: Sequence[float], scores: np.ndarray) -> float:
    """The cost of the best score, the first of equals; the largest cost where none has one."""
    if np.isnan(scores).any():
        return max(costs)
    return costs[int(np.argmax(scores))]


@dataclass(frozen=True)
class Svms:
    """P fitted SVMs."""

    span: TrainSpan
    weights: np.ndarray
    """(K, P) in the coordinates of the span."""

    @classmethod
    def of(cls, span: TrainSpan, signs: np.ndarray, chosen: np.ndarray) -> "Svms":
        """Fitted on all images of a sign (N, P), 1 or -1, at the costs `chosen` (P,)."""
        return cls(span, fit(span, signs, image_weights(signs) * chosen))

    def distances(self, test_gram: np.ndarray) -> np.ndarray:
        """(M, P) signed distances of images from the planes; test_gram: (M, N) inner products.

        The decision values divided by the length of the weights, bias included: the same ranking,
        in a unit that no cost changes (at the smallest cost all decision values lie within 1e-4).
        """
        values = self.span.scores(self.weights, test_gram)
        found: np.ndarray = values / np.linalg.norm(self.weights, axis=0)
        return found


def image_weights(signs: np.ndarray) -> np.ndarray:
    """Factors of the cost, of the shape of `signs`: 2 of a positive, 1 of a negative, 0 of none."""
    weights: np.ndarray = np.select([signs == 1, signs == -1], [POSITIVE_WEIGHT, 1.0], 0.0)
    return weights


def inner_products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N, D) and (M, D) float32 features to (N, M) float64."""
    products: np.ndarray = (left @ right.T).astype(np.float64)
    return products
