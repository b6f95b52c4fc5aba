"""What detection is scored from: ranked boxes, and the objects that they are matched with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cebench.metrics.detection import (
    Detections,
    Objects,
    best_objects,
    by_score,
    detection_scores,
)
from cebench.metrics.weighted_average_precision import WeightedAveragePrecision
from cebench.reporting.outcome_arrays import as_index, check, is_below, narrow, sha256_of

BOX_STEP = 1 / 16
"""Boxes are kept to this many pixels, exactly where that would change what they match."""


@dataclass(frozen=True)
class ScoredBoxes:
    """Detection: ranked boxes of every class and the objects that they are matched with."""

    kind: ClassVar[str] = "boxes"
    metrics: ClassVar[tuple[str, ...]] = ("mean_ap_voc07_11pt", "mean_ap_area")
    detections: Detections
    """From the highest score down, with float16 scores where these have the range. A box that
    overlaps no object of its class is four zeros."""
    truth: Objects
    images: int
    classes: int

    @classmethod
    def from_detections(
        cls, detections: Detections, truth: Objects, images: int, classes: int
    ) -> "ScoredBoxes":
        """Keep what is matched and ranked; arguments as for `detection_scores`."""
        order = by_score(detections.scores)
        ranked = Detections(*(array[order] for array in vars(detections).values()))
        halved = ranked.scores.astype(np.float16)
        boxes = _rounded_boxes(ranked, truth)
        scores = halved if np.isfinite(halved).all() else ranked.scores
        return cls(Detections(ranked.images, ranked.labels, scores, boxes), truth, images, classes)

    def arrays(self) -> dict[str, np.ndarray]:
        found, truth = self.detections, self.truth
        rows = np.flatnonzero(found.boxes.any(axis=1))
        return {
            "image": narrow(found.images),
            "label": narrow(found.labels),
            "score": found.scores,
            "row": narrow(rows),
            "box": found.boxes[rows].astype(np.float32),
            "true_image": narrow(truth.images),
            "true_label": narrow(truth.labels),
            "true_box": truth.boxes.astype(np.float32),
            "difficult": truth.difficult.astype(np.uint8),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], images: int, classes: int
    ) -> "ScoredBoxes":
        count, rows = len(arrays["score"]), as_index(arrays["row"])
        for prefix in ("", "true_"):
            image, label = arrays[f"{prefix}image"], arrays[f"{prefix}label"]
            check(image.ndim == 1 and image.shape == label.shape, f"{prefix}image")
            check(is_below(image, images) and is_below(label, classes), f"{prefix}image or label")
        check(arrays["score"].shape == arrays["image"].shape, "score")
        check(arrays["score"].dtype.kind == "f", "score")
        check(bool(np.isfinite(arrays["score"]).all()), "score")
        check(is_below(rows, count) and arrays["box"].shape == (len(rows), 4), "box")
        check(arrays["true_box"].shape == (len(arrays["true_image"]), 4), "true_box")
        check(arrays["box"].dtype == arrays["true_box"].dtype == np.float32, "box")
        check(arrays["difficult"].shape == arrays["true_image"].shape, "difficult")
        check(is_below(arrays["difficult"], 2), "difficult")
        boxes = np.zeros((count, 4), np.float32)
        boxes[rows] = arrays["box"]
        check(bool(np.isfinite(boxes).all() and np.isfinite(arrays["true_box"]).all()), "box")
        found = Detections(
            as_index(arrays["image"]), as_index(arrays["label"]), arrays["score"], boxes
        )
        truth = Objects(
            as_index(arrays["true_image"]),
            as_index(arrays["true_label"]),
            arrays["true_box"],
            arrays["difficult"].astype(np.bool_),
        )
        return cls(found, truth, images, classes)

    def scores(self) -> dict[str, float]:
        found = detection_scores(self.detections, self.truth, self.classes)
        return {name: getattr(found, name) for name in self.metrics}

    def runs(self) -> list[WeightedAveragePrecision]:
        return [
            WeightedAveragePrecision.from_detections(
                self.detections, self.truth, self.classes, self.images
            )
        ]

    def truth_sha256(self) -> str:
        return sha256_of(*(np.asarray(array, np.float64) for array in vars(self.truth).values()))


def _rounded_boxes(detections: Detections, truth: Objects) -> np.ndarray:
    """(D, 4) float32: zeros without overlap, else rounded where matching does not notice."""
    chosen, overlap = best_objects(detections, truth)
    exact = np.where((overlap > 0)[:, None], detections.boxes, 0).astype(np.float32)
    rounded = (np.round(exact / BOX_STEP) * BOX_STEP).astype(np.float32)
    images, labels, scores = detections.images, detections.labels, detections.scores
    again, other = best_objects(Detections(images, labels, scores, rounded), truth)
    same = (again == chosen) & (np.sign(other - 0.5) == np.sign(overlap - 0.5)) & (other > 0)
    boxes: np.ndarray = np.where((same | (overlap == 0))[:, None], rounded, exact)
    return boxes
