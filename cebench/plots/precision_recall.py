"""Precision over recall of every class."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cebench.metrics.average_precision import curve_steps
from cebench.plots.figures import save_figure

Curve = tuple[np.ndarray, np.ndarray]
"""Precision and recall, each (T,)."""


def plot_precision_recall(
    curves: Mapping[str, Curve | None],
    average_precision: Mapping[str, float],
    path: Path,
    chance: Mapping[str, float] | None = None,
) -> None:
    """Write a PNG with the curve of every class, its average precision as title.

    Args:
        curves: class -> its curve, None where it has no positive.
        average_precision: class -> fraction, nan where it has no positive.
        path: the picture.
        chance: class -> precision of a random order, a dotted line.
    """
    columns = 5
    rows = -(-len(curves) // columns)
    width, height = 2.4 * columns, 2.25 * rows
    figure = Figure(figsize=(width, height))
    # Margins in inches: constrained layout would measure every label of every panel, and take
    # several times as long.
    edges = {"left": 0.7 / width, "right": 1 - 0.1 / width}
    edges |= {"bottom": 0.6 / height, "top": 1 - 0.25 / height}
    grid = {**edges, "wspace": 0.12, "hspace": 0.2}
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False, gridspec_kw=grid)
    for axis in (axes[0, 0].xaxis, axes[0, 0].yaxis):
        axis.set_major_formatter("{x:g}")
    for panel in axes.flat[len(curves) :]:
        panel.axis("off")
    for panel, (name, curve) in zip(axes.flat, curves.items(), strict=False):
        value = average_precision[name]
        shown = "no positive" if np.isnan(value) else f"AP {100 * value:.1f} %"
        panel.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        panel.set_title(f"{name}  {shown}", fontsize=9)
        panel.grid(alpha=0.3)
        if curve is not None:
            reached, best = curve_steps(*curve)
            if len(reached):
                panel.step([0, *reached], [best[0], *best], where="pre", linewidth=1.2)
            if chance is not None:
                panel.axhline(chance[name], color="grey", linewidth=0.8, linestyle=":")
    figure.supxlabel("recall" + ("" if chance is None else " (dotted: precision of chance)"))
    figure.supylabel("precision", x=0.1 / width)
    save_figure(figure, path)
