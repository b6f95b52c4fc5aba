"""Time the metrics against written-out loops on the same input, alternated in one process.

Run: python benchmarks/evaluators.py
Prints medians and ratios; stops if the two disagree in one bit.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from alternation import medians, print_ratios

from cebench.metrics.detection import Detections, Objects, detection_scores
from cebench.metrics.segmentation import confusion_matrix

CLASSES, IMAGES, OBJECTS, DETECTIONS = 20, 4952, 12_000, 400_000


def main() -> None:
    """Print one line per evaluator."""
    print(f"numpy {np.__version__}, Python {platform.python_version()}, {platform.machine()}")
    rng = np.random.default_rng(0)
    detections, truth = detection_input(rng)
    compare(
        f"VOC detection AP, {DETECTIONS:,} detections",
        lambda: areas_by_metric(detections, truth),
        lambda: [areas_of_loop(detections, truth, label) for label in range(CLASSES)],
    )
    pairs = [segmentation_input(rng) for _ in range(40)]
    compare(
        f"confusion matrix, {len(pairs)} images of 375 x 500",
        lambda: sum(confusion_matrix(truth, guess, CLASSES + 1) for truth, guess in pairs),
        lambda: sum(confusion_by_class(truth, guess) for truth, guess in pairs),
    )


def compare(title: str, ours: Callable[[], Any], loop: Callable[[], Any]) -> None:
    """Time both in turn, once they are found equal."""
    if not np.array_equal(ours(), loop()):
        raise SystemExit(f"{title}: the two disagree")
    print_ratios(title, medians({"ours": ours, "loop": loop}))


def detection_input(rng: np.random.Generator) -> tuple[Detections, Objects]:
    """Objects anywhere; half of the detections shake an object's box, half are random."""
    truth = Objects(
        images=rng.integers(0, IMAGES, OBJECTS),
        labels=rng.integers(0, CLASSES, OBJECTS),
        boxes=random_boxes(rng, OBJECTS),
        difficult=rng.random(OBJECTS) < 0.15,
    )
    source = rng.integers(0, OBJECTS, DETECTIONS)
    shaken = rng.random(DETECTIONS) < 0.5
    noise = rng.integers(-20, 21, (DETECTIONS, 4))
    boxes = np.where(shaken[:, None], truth.boxes[source] + noise, random_boxes(rng, DETECTIONS))
    return Detections(
        images=np.where(shaken, truth.images[source], rng.integers(0, IMAGES, DETECTIONS)),
        labels=truth.labels[source],
        scores=rng.random(DETECTIONS).round(4),
        boxes=boxes.astype(np.float32),
    ), truth


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Boxes (count, 4) float32 of 30 to 300 pixels."""
    corner = rng.integers(0, 200, (count, 2))
    return np.hstack([corner, corner + rng.integers(30, 301, (count, 2))]).astype(np.float32)


def areas_by_metric(detections: Detections, truth: Objects) -> list[float]:
    """Area AP of every class by cebench."""
    return [c.ap_area for c in detection_scores(detections, truth, CLASSES).per_class]


def areas_of_loop(detections: Detections, truth: Objects, label: int) -> float:
    """One class written out: detections one by one, objects of its image by dictionary."""
    by_image: dict[int, tuple[np.ndarray, np.ndarray, set[int]]] = {}
    mine = truth.labels == label
    for image in np.unique(truth.images[mine]):
        rows = np.flatnonzero(mine & (truth.images == image))
        by_image[int(image)] = truth.boxes[rows].astype(np.float64), truth.difficult[rows], set()
    rows = np.flatnonzero(detections.labels == label)
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
    boxes, images = detections.boxes.astype(np.float64), detections.images
    right, wrong = np.zeros(len(rows)), np.zeros(len(rows))
    for rank, row in enumerate(rows):
        if images[row] not in by_image:
            wrong[rank] = 1
            continue
        objects, difficult, taken = by_image[int(images[row])]
        overlap = iou_with_all(boxes[row], objects)
        best = int(overlap.argmax())
        if overlap[best] <= 0.5 or best in taken:
            wrong[rank] = 1
        elif not difficult[best]:
            right[rank] = 1
            taken.add(best)
    return area_of_outcomes(right, wrong, int(np.count_nonzero(mine & ~truth.difficult)))


def iou_with_all(box: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Overlap of one box with every object of its image."""
    width = np.maximum(np.minimum(box[2], objects[:, 2]) - np.maximum(box[0], objects[:, 0]), 0)
    height = np.maximum(np.minimum(box[3], objects[:, 3]) - np.maximum(box[1], objects[:, 1]), 0)
    common = width * height
    area = (box[2] - box[0]) * (box[3] - box[1])
    areas = (objects[:, 2] - objects[:, 0]) * (objects[:, 3] - objects[:, 1])
    overlap: np.ndarray = common / (area + areas - common)
    return overlap


def area_of_outcomes(right: np.ndarray, wrong: np.ndarray, objects: int) -> float:
    """Area AP from the ranked outcomes, the envelope written out as a loop."""
    right, wrong = np.cumsum(right), np.cumsum(wrong)
    recall = np.concatenate(([0.0], right / objects, [1.0]))
    precision = np.concatenate(([0.0], right / np.maximum(right + wrong, 1), [0.0]))
    for rank in range(len(precision) - 1, 0, -1):
        precision[rank - 1] = max(precision[rank - 1], precision[rank])
    change = np.flatnonzero(recall[1:] != recall[:-1])
    return float(np.sum((recall[change + 1] - recall[change]) * precision[change + 1]))


def segmentation_input(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Blocky labels with some void, and a prediction that is wrong in a tenth of the blocks."""
    blocks = rng.integers(0, CLASSES + 1, (15, 20), dtype=np.uint8)
    guess = np.where(rng.random(blocks.shape) < 0.1, rng.permutation(blocks), blocks)
    truth = np.where(rng.random(blocks.shape) < 0.05, 255, blocks)
    enlarged = [np.kron(b, np.ones((25, 25))).astype(np.uint8) for b in (truth, guess)]
    return enlarged[0], enlarged[1]


def confusion_by_class(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """One bincount of the predictions per true class."""
    rows = [np.bincount(guess[truth == c], minlength=CLASSES + 1) for c in range(CLASSES + 1)]
    return np.array(rows)


if __name__ == "__main__":
    main()
