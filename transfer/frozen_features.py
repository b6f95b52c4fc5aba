"""Frozen features for linear classifiers, and the linear SVMs on them.

Source: Goyal, Mahajan, Gupta, Misra, ICCV 2019 (arXiv:1905.01235), section 5.1, and
github.com/facebookresearch/fair_self_supervision_benchmark (tools/svm).
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import AfterValidator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import LinearSVC

from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.devices import Precision, autocast
from cebench.errors import InputError
from cebench.models.backbones import Backbone
from cebench.progress import progress
from cebench.weights.files import Preprocessing

from .labelled_images import TrainAndTest

BATCH = 32
POSITIVE_WEIGHT = 2
PASSES = 2000
COSTS = (0.01, 0.1, *(0.5**n for n in range(4, 20)))
"""The benchmark's costs (svm_helper.py)."""


def _all_different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError("one of them is named twice")
    return values


AllDifferent = AfterValidator(_all_different)
"""Validator of a recipe's tuple: each value is a file of predictions, or a fit, of its own."""


def layer_features(
    backbone: Backbone,
    preprocessing: Preprocessing,
    images: RaggedImages,
    layers: Sequence[str],
    device: torch.device,
    precision: Precision,
    label: str,
) -> dict[str, np.ndarray]:
    """The layers of each image's central square, (N, D) float32 rows of length 1.

    images: short sides at least `preprocessing.side`.
    """
    backbone.trunk.eval().to(device).to(memory_format=torch.channels_last)
    side, count = preprocessing.side, len(images)
    parts: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    with torch.inference_mode(), progress(label, "images") as report:
        for start in range(0, count, BATCH):
            index = torch.arange(start, min(start + BATCH, count))
            y0 = torch.div(images.heights[index] - side, 2, rounding_mode="floor")
            x0 = torch.div(images.widths[index] - side, 2, rounding_mode="floor")
            flip = torch.zeros(len(index), dtype=torch.bool)
            squares = images.integer_crops(index, y0, x0, flip, side, device)
            pixels = preprocessing(squares)
            with autocast(device, precision):
                found = backbone.layer_values(pixels, tuple(layers))
            for layer, values in found.items():
                lengths = values.norm(dim=1, keepdim=True).clamp(min=1e-5)
                parts[layer].append((values / lengths).cpu())
            report(int(index[-1]) + 1, count)
    return {layer: torch.cat(part).numpy() for layer, part in parts.items()}


def features_of_sets(
    backbone: Backbone,
    preprocessing: Preprocessing,
    sets: TrainAndTest,
    layers: Sequence[str],
    device: torch.device,
    precision: Precision,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """`layer_features` of the train set and of the test set."""
    train, test = (
        layer_features(backbone, preprocessing, part.images, layers, device, precision, label)
        for label, part in (("train features", sets.train), ("test features", sets.test))
    )
    return train, test


def check_layers(layers: Sequence[str], backbone: Backbone, name: str) -> None:
    """InputError if the backbone has no such layer."""
    for layer in layers:
        if layer not in backbone.layer_names:
            known = ", ".join(backbone.layer_names)
            raise InputError(f"{name}: has no layer {layer!r}; it has {known}")


def project_onto_train_span(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in coordinates of the span of `train`: fewer numbers, the same SVMs.

    A linear SVM's weights lie in the span of its training features, and turning the axes changes
    no inner product. (N, D) and (M, D) to (N, K) and (M, K) float64, K = min(N, D).
    """
    if train.shape[0] >= train.shape[1]:
        return train.astype(np.float64), test.astype(np.float64)
    axes, coordinates = np.linalg.qr(train.T.astype(np.float64))
    return np.ascontiguousarray(coordinates.T), test @ axes


def svm(cost: float) -> LinearSVC:
    """The benchmark's SVM, not fitted: squared hinge, L2, the cost of a positive doubled."""
    return LinearSVC(
        C=cost, class_weight={1: POSITIVE_WEIGHT, -1: 1}, max_iter=PASSES, dual=True, random_state=0
    )


def fit_svm(features: np.ndarray, signs: np.ndarray, cost: float) -> LinearSVC:
    """The SVM of `features` (N, K) with `signs` (N,), 1 and -1, each at least once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return svm(cost).fit(features, signs)


def cross_validated_scores(
    features: np.ndarray, signs: np.ndarray, costs: Sequence[float], folds: int
) -> np.ndarray:
    """Mean average precision over `folds` folds by each cost, (len(costs),); nan without folds.

    A class with fewer positives or negatives than folds has as many folds; a single one cannot be
    held out.
    """
    splits = min(folds, int((signs == 1).sum()), int((signs == -1).sum()))
    if splits < 2:
        return np.full(len(costs), np.nan)
    # Without "raise" it would take a signal that stops the run for a fit that failed.
    rules = {
        "cv": StratifiedKFold(splits),
        "scoring": "average_precision",
        "error_score": "raise",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [cross_val_score(svm(cost), features, signs, **rules).mean() for cost in costs]
    return np.array(found)


def best_cost(costs: Sequence[float], scores: np.ndarray) -> float:
    """The cost of the best score, the smallest of equals; the largest cost where none has one."""
    known = sorted(zip(costs, scores.tolist(), strict=True))
    if np.isnan(scores).any():
        return max(costs)
    return max(known, key=lambda pair: pair[1])[0]


def learnable(labels: np.ndarray) -> list[int]:
    """Classes that `labels` (N, 20) has positives and negatives of; the others score 0."""
    both = (labels == 1).any(axis=0) & (labels == -1).any(axis=0)
    return [c for c in range(len(VOC_CLASSES)) if both[c]]
