"""Scores of the SVMs, stored draw by draw: a run that was broken off goes on behind them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv

from ..frozen_features import predictions_file
from ..support_vectors import Svms


class DrawnSvms(NamedTuple):
    """SVMs that were fitted together."""

    keys: Sequence[tuple[int, int]]
    """Draw and class of each."""
    rows: np.ndarray
    """Indices of the train images that they were fitted on, int64."""
    svms: Svms


def predict(fitted: Sequence[DrawnSvms], test_gram: np.ndarray, draws: int) -> np.ndarray:
    """(draws, M, 20) distances of the test images; 0 where a class has no SVM.

    test_gram: (M, N) inner products with the train images.
    """
    scores = np.zeros((draws, len(test_gram), len(VOC_CLASSES)))
    for keys, rows, svms in fitted:
        columns = svms.distances(test_gram[:, rows]).T
        for (draw, c), column in zip(keys, columns, strict=True):
            scores[draw, :, c] = column
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
    return predictions_file(folder, f"{shots}-shot-draw-{draw}")
