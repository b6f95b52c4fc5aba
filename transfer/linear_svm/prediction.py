"""Scores of the SVMs, stored layer by layer: a run that was broken off goes on behind them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv

from ..frozen_features import predictions_file
from ..support_vectors import Svms


def predict(classes: Sequence[int], svms: Svms, test_gram: np.ndarray) -> np.ndarray:
    """(M, 20) distances of the test images by the SVMs of `classes`; 0 for the others.

    test_gram: (M, N) inner products with the train images.
    """
    scores = np.zeros((len(test_gram), len(VOC_CLASSES)))
    scores[:, classes] = svms.distances(test_gram)
    return scores


def store(folder: Path, layer: str, ids: Sequence[str], scores: np.ndarray) -> None:
    """Write a layer's scores (M, 20)."""
    write_scores_csv(predictions_file(folder, layer), ids, scores)


def stored(folder: Path, layers: Sequence[str], ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The stored scores (M, 20) of each layer."""
    return {layer: read_scores_csv(predictions_file(folder, layer), ids) for layer in layers}
