"""Pictures of a run: sheets of images with column titles, and curves of logged values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from cebench.files import replace_atomically

_GAP, _TITLE = 6, 20


def save_sheet(
    columns: Mapping[str, Sequence[np.ndarray]], path: Path, captions: Sequence[str] = ()
) -> None:
    """Write a PNG with one titled column per entry, its images below each other.

    columns: title -> images (H, W, 3) uint8; images are placed at their own size.
    captions: a line beneath each row.
    """
    font = ImageFont.load_default(13)
    rows = len(next(iter(columns.values())))
    caption = _TITLE if captions else 0
    widths = [max(image.shape[1] for image in images) for images in columns.values()]
    heights = [max(images[row].shape[0] for images in columns.values()) for row in range(rows)]
    size = (
        sum(widths) + _GAP * (len(widths) + 1),
        _TITLE + sum(height + _GAP + caption for height in heights) + _GAP,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    x = _GAP
    for (title, images), width in zip(columns.items(), widths, strict=True):
        draw.text((x, 3), title, fill="black", font=font)
        y = _TITLE + _GAP
        for image, height in zip(images, heights, strict=True):
            sheet.paste(Image.fromarray(image), (x, y))
            y += height + _GAP + caption
        x += width + _GAP
    y = _TITLE + _GAP
    for text, height in zip(captions, heights, strict=False):
        draw.text((_GAP, y + height + 2), text, fill="black", font=font)
        y += height + _GAP + caption
    replace_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))


def plot_curves(
    metrics: Sequence[Mapping[str, Any]], names: Sequence[str], path: Path, title: str
) -> None:
    """Write a PNG with the logged values `names` over the finished steps."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in names:
        points = [(line["step"], line[name]) for line in metrics if name in line]
        axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 30 else "")
    axes.set_xlabel("step")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    replace_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))
