"""Scores of the SVMs, stored layer by layer: a run that was broken off goes on behind them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.svm import LinearSVC

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv


def predictions_file(folder: Path, layer: str) -> Path:
    """The file of a layer's scores in the run directory `folder`."""
    return folder / "predictions" / f"{layer}.csv"


def predict(svms: Mapping[int, LinearSVC], test: np.ndarray) -> np.ndarray:
    """(M, 20) scores of the features `test` (M, K) by the SVM of each class; 0 without one."""
    scores = np.zeros((len(test), len(VOC_CLASSES)))
    for c, svm in svms.items():
        scores[:, c] = svm.decision_function(test)
    return scores


def store(folder: Path, layer: str, ids: Sequence[str], scores: np.ndarray) -> None:
    """Write a layer's scores (M, 20)."""
    write_scores_csv(predictions_file(folder, layer), ids, scores)


def stored(folder: Path, layers: Sequence[str], ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The stored scores (M, 20) of each layer."""
    return {layer: read_scores_csv(predictions_file(folder, layer), ids) for layer in layers}
