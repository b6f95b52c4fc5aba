"""All numbers of multilabel classification at once: three definitions, their means, intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.bootstrap import DEFINITIONS, bootstrap_intervals


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
    found, intervals = multilabel_scores(scores, labels), bootstrap_intervals(scores, labels)
    means: dict[str, Any] = {}
    columns: dict[str, list[Any]] = {}
    for name in DEFINITIONS:
        means[f"mean_ap_{name}"] = getattr(found, f"mean_ap_{name}")
        columns[f"ap_{name}"] = getattr(found, f"ap_{name}").tolist()
    for name in DEFINITIONS:
        means[f"mean_ap_{name}_ci95"] = intervals[name].mean.tolist()
        columns[f"ap_{name}_ci95"] = intervals[name].per_class.tolist()
    columns |= {"positives": found.positives.tolist(), "images": found.images.tolist()}
    rows = zip(*columns.values(), strict=True)
    per_class = {
        c: dict(zip(columns, row, strict=True)) for c, row in zip(classes, rows, strict=True)
    }
    return {**means, "per_class": per_class, "images": len(labels)}
