"""Pictures of detections beside the truth."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cebench.data.voc import VOC_CLASSES, voc_palette
from cebench.metrics.detection import Detections
from cebench.pictures import save_sheet

from .detection_data import DetectionSet

SHOWN_SCORE = 0.3
SHOWN_BOXES = 8


def save_detection_sheet(
    detections: Detections, test: DetectionSet, count: int, path: Path
) -> None:
    """Draw the first `count` test images: detections above 0.3 (the best 8) and annotated objects.

    Difficult objects are marked by an asterisk.
    """
    found, truth = [], []
    for index in range(min(count, len(test.ids))):
        pixels = test.pixels(index)
        rows = np.flatnonzero((detections.images == index) & (detections.scores > SHOWN_SCORE))
        rows = rows[np.argsort(-detections.scores[rows], kind="stable")][:SHOWN_BOXES]
        titles = [
            f"{VOC_CLASSES[label]} {score:.2f}"
            for label, score in zip(detections.labels[rows], detections.scores[rows], strict=True)
        ]
        found.append(draw_boxes(pixels, detections.boxes[rows], detections.labels[rows], titles))
        objects = test.annotations[index]
        titles = [
            VOC_CLASSES[label] + "*" * int(difficult)
            for label, difficult in zip(objects.labels, objects.difficult, strict=True)
        ]
        truth.append(draw_boxes(pixels, objects.boxes, objects.labels, titles))
    path.parent.mkdir(exist_ok=True)
    save_sheet({f"detections > {SHOWN_SCORE}": found, "truth (* difficult)": truth}, path)


def draw_boxes(
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
