"""Pictures of a run: sheets of images with column titles, and curves of logged values."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from cebench.files import replace_atomically
from cebench.plots.figures import save_figure

_GAP, _TITLE = 6, 20


def save_sheet(
    columns: Mapping[str, Sequence[np.ndarray]],
    path: Path,
    captions: Sequence[str] = (),
    font_size: int = 13,
) -> None:
    """Write a PNG with one titled column per entry, its images below each other.

    columns: title -> images (H, W, 3) uint8; images are placed at their own size.
    captions: a line beneath each row.
    font_size: of titles and captions, pixels.
    """
    font = ImageFont.load_default(font_size)
    line = font_size + _TITLE - 13
    rows = len(next(iter(columns.values())))
    caption = line if captions else 0
    widths = [
        max(math.ceil(font.getlength(title)), *(image.shape[1] for image in images))
        for title, images in columns.items()
    ]
    heights = [max(images[row].shape[0] for images in columns.values()) for row in range(rows)]
    size = (
        sum(widths) + _GAP * (len(widths) + 1),
        line + sum(height + _GAP + caption for height in heights) + _GAP,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    x = _GAP
    for (title, images), width in zip(columns.items(), widths, strict=True):
        draw.text((x, 3), title, fill="black", font=font)
        y = line + _GAP
        for image, height in zip(images, heights, strict=True):
            sheet.paste(Image.fromarray(image), (x, y))
            y += height + _GAP + caption
        x += width + _GAP
    y = line + _GAP
    for text, height in zip(captions, heights, strict=False):
        draw.text((_GAP, y + height + 2), text, fill="black", font=font)
        y += height + _GAP + caption
    replace_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))


def add_caption(path: Path, text: str) -> None:
    """Put a line of text beneath the PNG `path`, on white; a narrow picture becomes as wide."""
    font = ImageFont.load_default(13)
    with Image.open(path) as file:
        picture = file.convert("RGB")
    width = max(picture.width, math.ceil(font.getlength(text)) + 2 * _GAP)
    sheet = Image.new("RGB", (width, picture.height + _TITLE), "white")
    sheet.paste(picture, (0, 0))
    ImageDraw.Draw(sheet).text((_GAP, picture.height), text, fill="black", font=font)
    replace_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))


class Cell(NamedTuple):
    """A picture of a contact sheet and the lines beneath it."""

    image: np.ndarray
    """(H, W, 3) uint8, of any size."""
    lines: Sequence[str] = ()


def save_contact_sheet(
    titles: Sequence[str], rows: Sequence[Sequence[Cell]], path: Path, side: int
) -> None:
    """Write a PNG of equal columns: a titled one per kind of picture, a row per image.

    Pictures are scaled to fit squares of `side` pixels, their aspect kept; text that is wider than
    its column ends in an ellipsis.
    """
    font, step, line = ImageFont.load_default(13), side + 2 * _GAP, 17
    rows = [[cell._replace(image=thumbnail(cell.image, side)) for cell in row] for row in rows]
    tallest = [max(len(cell.image) for cell in row) for row in rows]
    texts = [max(len(cell.lines) for cell in row) for row in rows]
    heights = [high + line * text + 2 * _GAP for high, text in zip(tallest, texts, strict=True)]
    size = (step * len(titles), line + 2 * _GAP + sum(heights))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)

    def write(text: str, column: int, y: int) -> None:
        fitted = _shortened(text, side, font)
        draw.text((column * step + step // 2, y), fitted, fill="black", font=font, anchor="ma")

    for column, title in enumerate(titles):
        write(title, column, _GAP)
    top = line + 2 * _GAP
    for row, high, height in zip(rows, tallest, heights, strict=True):
        for column, cell in enumerate(row):
            x = column * step + (step - cell.image.shape[1]) // 2
            sheet.paste(Image.fromarray(cell.image), (x, top))
            for number, text in enumerate(cell.lines):
                write(text, column, top + high + 3 + number * line)
        top += height
    replace_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))


def enlarged(image: np.ndarray, side: int, resample: Image.Resampling) -> np.ndarray:
    """The image a whole number of times as large, so that its longer side has about `side` pixels.

    Larger images stay as they are.
    """
    factor = max(1, round(side / max(image.shape[:2])))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return image if factor == 1 else np.asarray(Image.fromarray(image).resize(size, resample))


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """The image at the size that fits a square of `side` pixels, its aspect kept."""
    height, width = (max(1, round(n * side / max(image.shape[:2]))) for n in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def _shortened(text: str, width: int, font: Any) -> str:
    if font.getlength(text) <= width:
        return text
    return next(
        (
            cut
            for end in range(len(text), 0, -1)
            if font.getlength(cut := text[:end] + "…") <= width
        ),
        "",
    )


def best_median_worst(values: np.ndarray, count: int) -> list[tuple[str, int]]:
    """Places of the best, the middle and the worst values, descending: (which, place).

    Up to `count` of them, rounded up to threes. nan is left out; no place comes twice; of equal
    values the earlier come first.
    """
    ranked = [int(i) for i in np.argsort(-values, kind="stable") if np.isfinite(values[i])]
    each = max(1, min(-(-count // 3), len(ranked) // 3))
    middle = (len(ranked) - each) // 2
    places = {
        "best": ranked[:each],
        "median": ranked[middle : middle + each],
        "worst": ranked[-each:],
    }
    which = {index: name for name, indices in reversed(places.items()) for index in indices}
    return [(which[index], index) for index in ranked if index in which]


def plot_curves(metrics: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Write a PNG with all logged losses, the lines of metrics.jsonl, over the finished steps.

    No line, no picture: a power cut can take the lines of a short run, whose checkpoint stands.
    """
    if not metrics:
        return
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name in (key for key in metrics[-1] if key not in ("step", "seconds")):
        points = [(line["step"], line[name]) for line in metrics if name in line]
        label, marker = name.replace("_", " "), "." if len(points) < 30 else ""
        axes.plot(*zip(*points, strict=True), label=label, marker=marker)
    names = [name.replace("_", " ") for name in metrics[-1] if name not in ("step", "seconds")]
    axes.set_xlabel("finished steps")
    axes.set_ylabel(names[0] if len(names) == 1 else "value (no unit)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save_figure(figure, path)
