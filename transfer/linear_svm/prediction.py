"""Scores of the SVMs, stored layer by layer: a run that was broken off goes on behind them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cebench.data.voc.results import read_scores_csv, write_scores_csv

from ..frozen_features import predictions_file


def store(folder: Path, layer: str, ids: Sequence[str], scores: np.ndarray) -> None:
    """Write a layer's scores (M, 20)."""
    write_scores_csv(predictions_file(folder, layer), ids, scores)


def stored(folder: Path, layers: Sequence[str], ids: Sequence[str]) -> dict[str, np.ndarray]:
    """The stored scores (M, 20) of each layer."""
    return {layer: read_scores_csv(predictions_file(folder, layer), ids) for layer in layers}
