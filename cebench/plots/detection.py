"""Charts of detection: what proposals cover, kinds of errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cebench.plots.figures import save_figure


def plot_coverage(
    best: np.ndarray, per_class: Mapping[str, Mapping[str, Any]], path: Path, title: str
) -> None:
    """Write a PNG: recall over the required overlap, and recall at 0.5 and 0.7 of every class.

    Args:
        best: (G,) largest IoU of each counted object with a proposal.
        per_class: class -> `recall_at_50` and `recall_at_70`; nan where it has no object.
        path: the picture.
        title: name of the proposals.
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    over_iou, bars = figure.subplots(1, 2, width_ratios=(2, 3))
    thresholds = np.linspace(0.5, 1, 101)
    recall = [np.mean(best >= threshold) if len(best) else 0.0 for threshold in thresholds]
    over_iou.plot(thresholds, recall)
    over_iou.set(xlabel="overlap (IoU) at least", ylabel="recall", xlim=(0.5, 1), ylim=(0, 1))
    over_iou.grid(alpha=0.3)
    places = np.arange(len(per_class))
    for shift, key, label in ((-0.2, "recall_at_50", "at 0.5"), (0.2, "recall_at_70", "at 0.7")):
        heights = np.nan_to_num([row[key] for row in per_class.values()])
        bars.bar(places + shift, heights, 0.4, label=label)
    bars.set_xticks(places, list(per_class), rotation=60, ha="right", fontsize=8)
    bars.set(ylabel="recall", ylim=(0, 1))
    bars.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    figure.suptitle(title)
    save_figure(figure, path)


def plot_shares(shares: Mapping[str, Mapping[str, int]], kinds: Sequence[str], path: Path) -> None:
    """Write a PNG with a stacked bar of 100 % for every class.

    shares: class -> count of each of the kinds.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    totals = np.array([max(sum(row[kind] for kind in kinds), 1) for row in shares.values()])
    below = np.zeros(len(shares))
    for kind in kinds:
        heights = 100 * np.array([row[kind] for row in shares.values()]) / totals
        axes.bar(range(len(shares)), heights, bottom=below, label=kind, width=0.8)
        below += heights
    axes.set_xticks(range(len(shares)), list(shares), rotation=60, ha="right", fontsize=8)
    axes.set(ylabel="% of the top detections", ylim=(0, 100))
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    save_figure(figure, path)
