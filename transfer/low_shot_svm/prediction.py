"""Scores of the SVMs, stored draw by draw: a run that was broken off goes on behind them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.svm import LinearSVC

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv


def predict(svms: Mapping[tuple[int, int], LinearSVC], test: np.ndarray, draws: int) -> np.ndarray:
    """(draws, M, 20) scores of the features `test` (M, K); 0 where a class has no SVM."""
    scores = np.zeros((draws, len(test), len(VOC_CLASSES)))
    for (draw, c), svm in svms.items():
        scores[draw, :, c] = svm.decision_function(test)
    return scores


def finished(folder: Path, shots: int, draws: int) -> bool:
    """Whether the run directory `folder` holds the scores of all draws with `shots` positives."""
    return all(_file(folder, shots, draw).exists() for draw in range(draws))


def store(folder: Path, shots: int, ids: Sequence[str], scores: np.ndarray) -> None:
    """Write the scores (draws, M, 20) as predictions/<shots>-shot-draw-<draw>.csv."""
    for draw, of_draw in enumerate(scores):
        write_scores_csv(_file(folder, shots, draw), ids, of_draw)


def stored(folder: Path, shots: int, draws: int, ids: Sequence[str]) -> list[np.ndarray]:
    """The stored scores (M, 20) of each draw."""
    return [read_scores_csv(_file(folder, shots, draw), ids) for draw in range(draws)]


def _file(folder: Path, shots: int, draw: int) -> Path:
    return folder / "predictions" / f"{shots}-shot-draw-{draw}.csv"
