"""What numbers are scored from, without photographs: ranks, matched boxes, pixel counts, sums.

Each kind keeps as little as its metrics look at, and gives exactly the scores that the predictions
themselves give.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from cebench.metrics.average_precision import TIE_PENALTY, multilabel_scores
from cebench.metrics.detection import (
    Detections,
    Objects,
    best_objects,
    by_score,
    detection_scores,
)
from cebench.metrics.image_weights import WeightedScores
from cebench.metrics.inpainting import InpaintingSums, RegionSums, inpainting_scores
from cebench.metrics.segmentation import segmentation_scores
from cebench.metrics.weighted_average_precision import DEFINITIONS, WeightedAveragePrecision
from cebench.metrics.weighted_inpainting import WeightedInpainting
from cebench.metrics.weighted_segmentation import WeightedSegmentation

BOX_STEP = 1 / 16
"""Boxes are kept to this many pixels, exactly where that would change what they match."""

Arrays = Mapping[str, np.ndarray]


class Scorable(Protocol):
    """What some numbers of a run are scored from, for N images."""

    kind: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    """Those of `scores`, all of which `runs` have."""

    @property
    def images(self) -> int:
        """N."""

    @property
    def classes(self) -> int:
        """C, or 0 where there are no classes."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file holds of it."""

    @classmethod
    def from_arrays(cls, arrays: Arrays, images: int, classes: int) -> Self:
        """Back from `arrays`; ValueError where they are not of N images and C classes."""

    def scores(self) -> dict[str, float]:
        """Metric -> value, by the functions that scored the run itself.

        With several draws of training images the mean, and as METRIC_sd_over_draws the deviation.
        """

    def runs(self) -> Sequence[WeightedScores]:
        """The scores as functions of image weights, one for each draw of training images."""

    def truth_sha256(self) -> str:
        """Hash of the ground truth: equal for two runs on the same images."""


@dataclass(frozen=True)
class LabelScores:
    """Multilabel classification: scores that only their order matters of."""

    kind: ClassVar[str] = "labels"
    metrics: ClassVar[tuple[str, ...]] = tuple(f"mean_ap_{name}" for name in DEFINITIONS)
    values: np.ndarray
    """(draws, N, C), each column's ranks, the higher the likelier."""
    labels: np.ndarray
    """(N, C) int8: 1 present, 0 ignored, -1 absent."""

    @classmethod
    def from_scores(cls, draws: Sequence[np.ndarray], labels: np.ndarray) -> "LabelScores":
        """Keep the ranks of scores (N, C) finite, one array for each draw of training images."""
        kept = np.stack([_ranks(scores, labels) for scores in draws])
        if kept.dtype.kind == "u":
            kept = _narrow(kept)
        return cls(kept, labels.astype(np.int8))

    @property
    def images(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        return int(self.labels.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return {"values": self.values, "labels": self.labels}

    @classmethod
    def from_arrays(cls, arrays: Arrays, images: int, classes: int) -> "LabelScores":
        values, labels = arrays["values"], arrays["labels"]
        _check(labels.shape == (images, classes) and labels.dtype == np.int8, "labels")
        _check(bool(np.isin(labels, (-1, 0, 1)).all()), "labels")
        _check(values.ndim == 3 and values.shape[1:] == labels.shape and len(values) > 0, "values")
        _check(bool(np.isfinite(values).all()), "values")
        return cls(values, labels)

    def scores(self) -> dict[str, float]:
        found = [multilabel_scores(values, self.labels) for values in self.values]
        scores = {}
        for name in self.metrics:
            of_draws = [getattr(of_draw, name) for of_draw in found]
            scores[name] = float(np.mean(of_draws))
            if len(of_draws) > 1:
                scores[f"{name}_sd_over_draws"] = float(np.std(of_draws, ddof=1))
        return scores

    def runs(self) -> list[WeightedAveragePrecision]:
        return [WeightedAveragePrecision.from_scores(v, self.labels) for v in self.values]

    def truth_sha256(self) -> str:
        return _sha256(self.labels)


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
            "image": _narrow(found.images),
            "label": _narrow(found.labels),
            "score": found.scores,
            "row": _narrow(rows),
            "box": found.boxes[rows].astype(np.float32),
            "true_image": _narrow(truth.images),
            "true_label": _narrow(truth.labels),
            "true_box": truth.boxes.astype(np.float32),
            "difficult": truth.difficult.astype(np.uint8),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, images: int, classes: int) -> "ScoredBoxes":
        count, rows = len(arrays["score"]), arrays["row"].astype(np.int64)
        for prefix in ("", "true_"):
            image, label = arrays[f"{prefix}image"], arrays[f"{prefix}label"]
            _check(image.ndim == 1 and image.shape == label.shape, f"{prefix}image")
            _check(_below(image, images) and _below(label, classes), f"{prefix}image or label")
        _check(arrays["score"].shape == arrays["image"].shape, "score")
        _check(bool(np.isfinite(arrays["score"]).all()), "score")
        _check(_below(rows, count) and arrays["box"].shape == (len(rows), 4), "box")
        _check(arrays["true_box"].shape == (len(arrays["true_image"]), 4), "true_box")
        _check(arrays["difficult"].shape == arrays["true_image"].shape, "difficult")
        boxes = np.zeros((count, 4), np.float32)
        boxes[rows] = arrays["box"]
        _check(bool(np.isfinite(boxes).all() and np.isfinite(arrays["true_box"]).all()), "box")
        found = Detections(_index(arrays["image"]), _index(arrays["label"]), arrays["score"], boxes)
        truth = Objects(
            _index(arrays["true_image"]),
            _index(arrays["true_label"]),
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
        return _sha256(*(np.asarray(array, np.float64) for array in vars(self.truth).values()))


@dataclass(frozen=True)
class PixelPairs:
    """Segmentation: how many pixels of each image are of which class and predicted as which."""

    kind: ClassVar[str] = "pixels"
    metrics: ClassVar[tuple[str, ...]] = (
        *("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"),
    )
    confusions: np.ndarray
    """(N, C, C) int64, rows the true class."""

    @property
    def images(self) -> int:
        return len(self.confusions)

    @property
    def classes(self) -> int:
        return int(self.confusions.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        image, true, predicted = np.nonzero(self.confusions)
        return {
            "image": _narrow(image),
            "pair": _narrow(true * self.classes + predicted),
            "count": _narrow(self.confusions[image, true, predicted]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, images: int, classes: int) -> "PixelPairs":
        image, pair, count = (_index(arrays[name]) for name in ("image", "pair", "count"))
        _check(image.ndim == 1 and image.shape == pair.shape == count.shape, "count")
        _check(_below(image, images) and _below(pair, classes**2), "image or pair")
        _check(bool((count >= 0).all()), "count")
        confusions = np.zeros((images, classes**2), np.int64)
        np.add.at(confusions, (image, pair), count)
        return cls(confusions.reshape(images, classes, classes))

    def scores(self) -> dict[str, float]:
        found = segmentation_scores(self.confusions.sum(axis=0))
        return {name: getattr(found, name) for name in self.metrics}

    def runs(self) -> list[WeightedSegmentation]:
        return [WeightedSegmentation.from_confusions(self.confusions)]

    def truth_sha256(self) -> str:
        return _sha256(self.confusions.sum(axis=2))


@dataclass(frozen=True)
class FillErrors:
    """Inpainting: the sums of errors in one region of each image."""

    kind: ClassVar[str] = "errors"
    metrics: ClassVar[tuple[str, ...]] = (
        *("mean_l1", "mean_l2", "psnr_per_image_mean_db", "psnr_pooled_db", "ssim"),
    )
    sums: np.ndarray
    """(5, N) float64: values, absolute, squared, psnr_db and ssim of `RegionSums`."""
    classes: ClassVar[int] = 0

    @classmethod
    def from_sums(cls, sums: Sequence[RegionSums]) -> "FillErrors":
        """One region's sums of N images, one `RegionSums` each."""
        return cls(WeightedInpainting.from_sums(sums).sums)

    @property
    def images(self) -> int:
        return int(self.sums.shape[1])

    def arrays(self) -> dict[str, np.ndarray]:
        return {"sums": self.sums}

    @classmethod
    def from_arrays(cls, arrays: Arrays, images: int, classes: int) -> "FillErrors":
        sums = arrays["sums"]
        _check(sums.shape == (5, images) and sums.dtype == np.float64, "sums")
        _check(not np.isnan(sums).any() and bool((sums[0] > 0).all()), "sums")
        return cls(sums)

    def scores(self) -> dict[str, float]:
        total = RegionSums()
        for values, *others in self.sums.T.tolist():
            total += RegionSums(1, round(values), *others)
        found = inpainting_scores(InpaintingSums(total, total)).hole
        return dict(vars(found))

    def runs(self) -> list[WeightedInpainting]:
        return [WeightedInpainting(self.sums)]

    def truth_sha256(self) -> str:
        return _sha256(self.sums[0])


KINDS: Mapping[str, type[Scorable]] = {
    part.kind: part for part in (LabelScores, ScoredBoxes, PixelPairs, FillErrors)
}


def _ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Ranks within each column that `multilabel_scores` scores as it does `scores`.

    The scores themselves where ranks would not: a positive that ties with a negative exactly.
    """
    scores = np.asarray(scores, np.float64)
    ranks = _dense(scores - TIE_PENALTY * (labels == 1))
    kept = np.array_equal(_dense(ranks - TIE_PENALTY * (labels == 1)), ranks)
    return ranks if kept else scores


def _dense(scores: np.ndarray) -> np.ndarray:
    columns = [np.unique(column, return_inverse=True)[1] for column in scores.T]
    return np.stack(columns, axis=1).astype(np.uint32)


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


def _narrow(values: np.ndarray) -> np.ndarray:
    """Not negative integers in as few bytes as they need."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _index(values: np.ndarray) -> np.ndarray:
    _check(values.dtype.kind in "ui", "an index")
    return values.astype(np.int64)


def _below(values: np.ndarray, end: int) -> bool:
    return values.dtype.kind in "ui" and bool(((values >= 0) & (values < end)).all())


def _check(holds: Any, name: str) -> None:
    if not holds:
        raise ValueError(f"{name} does not fit its images and classes")


def _sha256(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
