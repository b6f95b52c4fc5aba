"""Time the SVMs of one layer: all classes, folds and costs at once, against liblinear one by one.

Run: OMP_NUM_THREADS=1 python benchmarks/linear_svm.py [--images 1250] [--classes 4]
Features are ReLUs of random mixtures of a few hidden numbers, 9,216 of them, rows of length 1;
liblinear gets them in coordinates of their span, which changes no SVM and is less work. It solves
`--classes` of the 20 classes; its time is scaled. Costs: ours the benchmark's 26, liblinear those
and the 18 of which none is above 0.1.
"""

import argparse
import time
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC

from cebench.transfer.kernel_svm import TrainSpan
from cebench.transfer.options import COSTS
from cebench.transfer.support_vectors import cross_validated_scores, inner_products

SMALL_COSTS = tuple(cost for cost in COSTS if cost in (0.01, 0.1) or cost in COSTS[10:])


def layer(images: int, classes: int = 20, size: int = 9216) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, size) float32 and signs (N, classes)."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(images, 60))
    mixed = hidden @ rng.normal(size=(60, size)) / 8 + 0.7 * rng.normal(size=(images, size))
    features = np.maximum(mixed + 0.3, 0).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    noisy = hidden[:, :classes] + rng.normal(size=(images, classes))
    return features, np.where(noisy > 1.8, 1, -1)


def together(features: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """(26, P) scores of the cross-validation."""
    span = TrainSpan.of(inner_products(features, features))
    return cross_validated_scores(span, signs, COSTS, 3)


def one_by_one(features: np.ndarray, signs: np.ndarray, costs: Sequence[float]) -> np.ndarray:
    """(len(costs), P): what cross_val_score makes of LinearSVC."""
    _, turned = np.linalg.qr(features.T.astype(np.float64))
    rows = np.ascontiguousarray(turned.T)
    found = np.empty((len(costs), signs.shape[1]))
    for place, cost in enumerate(costs):
        svm = LinearSVC(
            C=cost, class_weight={1: 2, -1: 1}, max_iter=2000, dual=True, random_state=0
        )
        for c, of_class in enumerate(signs.T):
            scores = cross_val_score(
                svm, rows, of_class, cv=StratifiedKFold(3), scoring="average_precision"
            )
            found[place, c] = scores.mean()
    return found


def main() -> None:
    """Print seconds of one thread of the process, and how far the scores are apart."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1250)
    parser.add_argument("--classes", type=int, default=4)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    features, signs = layer(options.images)
    some = signs[:, : options.classes]
    began = time.process_time()
    ours = together(features, signs)
    seconds = time.process_time() - began
    print(f"together, 20 classes, 26 costs: {seconds:.1f} s of the processor")
    for costs in (SMALL_COSTS, COSTS):
        began = time.process_time()
        theirs = one_by_one(features, some, costs)
        scaled = (time.process_time() - began) * 20 / options.classes
        mine = ours[[COSTS.index(cost) for cost in costs], : options.classes]
        gap = np.abs(mine - theirs).max()
        print(
            f"liblinear, {len(costs)} costs: {scaled:.1f} s ({scaled / seconds:.1f} x), "
            f"scores within {gap:.1e}"
        )


if __name__ == "__main__":
    main()
