"""A chart of inpainting errors against how textured the hidden regions are."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from cebench.metrics.texture import TextureGroup
from cebench.plots.figures import save_figure


def plot_error_by_texture(groups: Sequence[TextureGroup], path: Path) -> None:
    """Write a PNG: the mean L1 of every row in each group, from least to most texture."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    middles = [50 * (group.least + group.most) for group in groups]
    for row in groups[0].mean_l1:
        axes.plot(middles, [100 * group.mean_l1[row] for group in groups], "o-", ms=4, label=row)
    axes.set(xlabel="texture: % of the variance in fine detail", ylabel="mean L1 (%)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
    save_figure(figure, path)
