"""Pictures of detections beside the truth: where they are best, middling and worst."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.metrics.detection import (
    FALSE_POSITIVE,
    NOT_COUNTED,
    TRUE_POSITIVE,
    Detections,
    Objects,
    match_detections,
    paired_iou,
)
from cebench.plots.sheets import best_median_worst, enlarged, save_sheet

from .data import DetectionSet

SHOWN_BOXES = 5
SHOWN_SIDE = 500
"""Smaller images are enlarged to about this many pixels, so that titles find room."""
COLOURS = {TRUE_POSITIVE: (0, 128, 55), FALSE_POSITIVE: (200, 30, 30), NOT_COUNTED: (105, 105, 105)}
"""What became of a detection -> the colour of its box."""
TRUTH = (25, 85, 190)


def save_detection_sheet(
    detections: Detections, truth: Objects, test: DetectionSet, count: int, path: Path
) -> None:
    """Draw `count` test images from the best to the worst: 5 best detections, and the objects.

    Right detections are green, wrong ones red, those of difficult objects grey. A third of the
    images are the best, a third the middle ones and the rest the worst by `found_overlap`.
    Difficult objects are marked by an asterisk. Without counted objects there is no picture.
    """
    shown = [_best_rows(detections, index) for index in range(len(test.ids))]
    overlap = np.array([found_overlap(detections, truth, *item) for item in enumerate(shown)])
    outcomes = match_detections(detections, truth)
    chosen = best_median_worst(overlap, count)
    if not chosen:
        return
    left, right, captions = [], [], []
    for which, index in chosen:
        pixels, rows, objects = test.pixels(index), shown[index], test.annotations[index]
        scores = zip(detections.labels[rows], detections.scores[rows], strict=True)
        titles = [f"{VOC_CLASSES[label]} {score:.2f}" for label, score in scores]
        colours = [COLOURS[outcome] for outcome in outcomes[rows].tolist()]
        left.append(plot_boxes(pixels, detections.boxes[rows], colours, titles))
        flags = list(zip(objects.labels, objects.difficult.tolist(), strict=True))
        titles = [VOC_CLASSES[label] + "*" * int(difficult) for label, difficult in flags]
        colours = [COLOURS[NOT_COUNTED] if difficult else TRUTH for _, difficult in flags]
        right.append(plot_boxes(pixels, objects.boxes, colours, titles))
        share = f"objects overlapped by {100 * overlap[index]:.0f} %"
        captions.append(f"{which}: {test.ids[index]}, {share}")
    path.parent.mkdir(exist_ok=True)
    title = f"best {SHOWN_BOXES} detections (green right, red wrong, grey not counted)"
    columns = {title: left, "truth (* grey: difficult)": right}
    save_sheet(columns, path, captions)


def found_overlap(detections: Detections, truth: Objects, image: int, rows: np.ndarray) -> float:
    """Mean over an image's counted objects of the largest IoU with a detection of their class.

    Args:
        detections: of the whole set.
        truth: objects of the whole set.
        image: which image.
        rows: the detections that are looked at.

    Returns:
        0 to 1, or nan without counted objects.
    """
    objects = np.flatnonzero((truth.images == image) & ~truth.difficult)
    if len(objects) == 0:
        return float("nan")
    first, second = (grid.ravel() for grid in np.meshgrid(objects, rows, indexing="ij"))
    overlap = paired_iou(truth.boxes[first], detections.boxes[second])
    overlap *= truth.labels[first] == detections.labels[second]
    return float(overlap.reshape(len(objects), len(rows)).max(axis=1, initial=0).mean())


def _best_rows(detections: Detections, image: int) -> np.ndarray:
    rows = np.flatnonzero(detections.images == image)
    return rows[np.argsort(-detections.scores[rows], kind="stable")][:SHOWN_BOXES]


def plot_boxes(
    pixels: np.ndarray,
    boxes: np.ndarray,
    colours: Sequence[tuple[int, int, int]],
    titles: Sequence[str],
) -> np.ndarray:
    """A copy of `pixels` (H, W, 3) with half-open boxes, the first on top, and their titles.

    Small images are enlarged. A title stands in the upper left corner of its box, or the next free
    place below or above it: no title covers another.
    """
    large = enlarged(pixels, SHOWN_SIDE, Image.Resampling.BICUBIC)
    scale = large.shape[0] / pixels.shape[0]
    image = Image.fromarray(large)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    corners = [tuple(scale * float(corner) for corner in box) for box in boxes]
    for (x0, y0, x1, y1), colour in reversed(list(zip(corners, colours, strict=True))):
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=3)
    taken: list[Rectangle] = []
    for (x0, y0, *_), colour, title in zip(corners, colours, titles, strict=True):
        width, height = draw.textbbox((0, 0), title, font=font)[2:]
        place = free_place((x0, y0, x0 + width + 6, y0 + height + 5), taken, image.size)
        taken.append(place)
        draw.rectangle(place, fill=colour)
        draw.text((place[0] + 3, place[1] + 1), title, fill="white", font=font)
    return np.array(image)


Rectangle = tuple[float, float, float, float]
"""x0 y0 x1 y1."""


def free_place(wanted: Rectangle, taken: Sequence[Rectangle], size: tuple[int, int]) -> Rectangle:
    """The place nearest to `wanted`, straight above or below it, inside the image and off `taken`.

    Where a picture is full, it is `wanted`, moved into the image.
    """
    width, height = wanted[2] - wanted[0], wanted[3] - wanted[1]
    x0 = min(max(wanted[0], 0.0), max(size[0] - width - 1, 0.0))
    limit = max(size[1] - height - 1, 0.0)
    start = min(max(wanted[1], 0.0), limit)
    moves = sorted(range(-int(start), int(limit - start) + 1), key=abs)
    for move in moves:
        y0 = start + move
        place = (x0, y0, x0 + width, y0 + height)
        if not any(_overlap(place, other) for other in taken):
            return place
    return (x0, start, x0 + width, start + height)


def _overlap(first: Rectangle, second: Rectangle) -> bool:
    return (
        first[0] <= second[2]
        and second[0] <= first[2]
        and first[1] <= second[3]
        and second[1] <= first[3]
    )
