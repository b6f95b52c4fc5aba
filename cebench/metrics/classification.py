"""All numbers of multilabel classification at once: three definitions, their means, intervals."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.image_intervals import ImageInterval, average_precision_intervals
from cebench.metrics.weighted_average_precision import DEFINITIONS


def classification_summary(
    scores: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """Scores of multi-label classification by three definitions, as `cebench score --json` prints.

    Args:
        scores: (N, C) finite, higher is more likely.
        labels: (N, C), 1 present, 0 ignored, -1 absent.
        classes: C names.

    Returns:
        For each of DEFINITIONS `mean_ap_<definition>` and `mean_ap_<definition>_ci95`, its
        [low, high] over resampled images; `per_class`: class -> the same as `ap_<definition>`,
        with `positives` and `images`; `images`. nan for a class without positives.
    """
    found = multilabel_scores(scores, labels)
    of_means, of_classes = average_precision_intervals(scores, labels)
    means: dict[str, Any] = {}
    columns: dict[str, list[Any]] = {}
    for name in DEFINITIONS:
        means[f"mean_ap_{name}"] = getattr(found, f"mean_ap_{name}")
        columns[f"ap_{name}"] = getattr(found, f"ap_{name}").tolist()
    for name in DEFINITIONS:
        means[f"mean_ap_{name}_ci95"] = _ends(of_means[f"mean_ap_{name}"])
        columns[f"ap_{name}_ci95"] = [_ends(interval) for interval in of_classes[name]]
    columns |= {"positives": found.positives.tolist(), "images": found.images.tolist()}
    rows = zip(*columns.values(), strict=True)
    per_class = {
        c: dict(zip(columns, row, strict=True)) for c, row in zip(classes, rows, strict=True)
    }
    return {**means, "per_class": per_class, "images": len(labels)}


def _ends(interval: ImageInterval) -> list[float]:
    return list(interval.ends or (math.nan, math.nan))
