"""The votes on the test images, and where they are stored."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cebench.data.voc.results import write_scores_csv

from ..frozen_features import predictions_file
from .votes import Choice, votes


def predict(cosines: np.ndarray, labels: np.ndarray, chosen: Choice) -> np.ndarray:
    """(M, 20) shares of the votes; cosines: (M, N), labels: (N, 20) of the train images."""
    (scores,) = votes(cosines, labels, [chosen.neighbours], chosen.temperature)
    return scores


def store(folder: Path, layer: str, ids: Sequence[str], scores: np.ndarray) -> None:
    """Write the scores (M, 20)."""
    write_scores_csv(predictions_file(folder, layer), ids, scores)
