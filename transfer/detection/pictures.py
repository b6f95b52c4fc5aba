"""Pictures of detections beside the truth: where they are best, middling and worst."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.palette import voc_palette
from cebench.metrics.detection import Detections, Objects, paired_iou
from cebench.plots.sheets import best_median_worst, save_sheet

from .data import DetectionSet

SHOWN_BOXES = 5


def save_detection_sheet(
    detections: Detections, truth: Objects, test: DetectionSet, count: int, path: Path
) -> None:
    """Draw `count` test images from the best to the worst: 5 best detections, and the objects.

    A third of them are the best, a third the middle ones and the rest the worst by `found_overlap`.
    Difficult objects are marked by an asterisk. Without counted objects there is no picture.
    """
    shown = [_best_rows(detections, index) for index in range(len(test.ids))]
    overlap = np.array([found_overlap(detections, truth, *item) for item in enumerate(shown)])
    chosen = best_median_worst(overlap, count)
    if not chosen:
        return
    left, right, captions = [], [], []
    for which, index in chosen:
        pixels, rows, objects = test.pixels(index), shown[index], test.annotations[index]
        scores = zip(detections.labels[rows], detections.scores[rows], strict=True)
        titles = [f"{VOC_CLASSES[label]} {score:.2f}" for label, score in scores]
        left.append(plot_boxes(pixels, detections.boxes[rows], detections.labels[rows], titles))
        flags = zip(objects.labels, objects.difficult, strict=True)
        titles = [VOC_CLASSES[label] + "*" * int(difficult) for label, difficult in flags]
        right.append(plot_boxes(pixels, objects.boxes, objects.labels, titles))
        share = f"objects overlapped by {100 * overlap[index]:.0f} %"
        captions.append(f"{which}: {test.ids[index]}, {share}")
    path.parent.mkdir(exist_ok=True)
    columns = {f"best {SHOWN_BOXES} detections": left, "truth (* difficult)": right}
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
    pixels: np.ndarray, boxes: np.ndarray, labels: np.ndarray, titles: list[str]
) -> np.ndarray:
    """A copy of `pixels` (H, W, 3) with half-open boxes in their class's colour, first on top."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(11)
    colours = voc_palette()[1:]
    for box, label, title in reversed(list(zip(boxes, labels, titles, strict=True))):
        x0, y0, x1, y1 = (float(corner) for corner in box)
        colour = tuple(int(part) for part in colours[label])
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=colour, width=2)
        place = draw.textbbox((x0 + 2, y0 + 1), title, font=font)
        draw.rectangle(place, fill=colour)
        draw.text((x0 + 2, y0 + 1), title, fill="white", font=font)
    return np.array(image)
