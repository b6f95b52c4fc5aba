"""What numbers are scored from, without photographs: ranks, matched boxes, pixel counts, sums.

Each kind keeps as little as its metrics look at, and gives exactly the scores that the predictions
themselves give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from cebench.metrics.average_precision import TIE_PENALTY, multilabel_scores
from cebench.metrics.image_weights import WeightedScores
from cebench.metrics.inpainting import InpaintingSums, RegionSums, inpainting_scores
from cebench.metrics.segmentation import segmentation_scores
from cebench.metrics.weighted_average_precision import DEFINITIONS, WeightedAveragePrecision
from cebench.metrics.weighted_inpainting import WeightedInpainting
from cebench.metrics.weighted_segmentation import WeightedSegmentation
from cebench.reporting.outcome_arrays import as_index, check, is_below, narrow, sha256_of
from cebench.reporting.outcome_boxes import ScoredBoxes

MOST_CELLS = 2**27
"""Greatest size of all confusion matrices together."""
LARGEST_SUM = 2**53
"""Sums of errors, and numbers of values, are below it: above it float64 skips integers."""

Arrays = Mapping[str, np.ndarray]


class Scorable(Protocol):
    """What some numbers of a run are scored from, for N images."""

    kind: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    """Those of `scores`, all of which `runs` have."""

    @property
    def images(self) -> int:
        """Number of images, N."""

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
            kept = narrow(kept)
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
        check(labels.shape == (images, classes) and labels.dtype == np.int8, "labels")
        check(bool(np.isin(labels, (-1, 0, 1)).all()), "labels")
        check(values.ndim == 3 and values.shape[1:] == labels.shape and len(values) > 0, "values")
        check(values.dtype.kind in "uif", "values")
        check(bool(np.isfinite(values).all()), "values")
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
        return sha256_of(self.labels)


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
            "image": narrow(image),
            "pair": narrow(true * self.classes + predicted),
            "count": narrow(self.confusions[image, true, predicted]),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, images: int, classes: int) -> "PixelPairs":
        image, pair, count = (as_index(arrays[name]) for name in ("image", "pair", "count"))
        check(image.ndim == 1 and image.shape == pair.shape == count.shape, "count")
        check(is_below(image, images) and is_below(pair, classes**2), "image or pair")
        check(bool((count >= 0).all()), "count")
        check(images * classes**2 <= MOST_CELLS, "the number of classes")
        confusions = np.zeros((images, classes**2), np.int64)
        np.add.at(confusions, (image, pair), count)
        return cls(confusions.reshape(images, classes, classes))

    def scores(self) -> dict[str, float]:
        found = segmentation_scores(self.confusions.sum(axis=0))
        return {name: getattr(found, name) for name in self.metrics}

    def runs(self) -> list[WeightedSegmentation]:
        return [WeightedSegmentation.from_confusions(self.confusions)]

    def truth_sha256(self) -> str:
        return sha256_of(self.confusions.sum(axis=2))


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
        check(sums.shape == (5, images) and sums.dtype == np.float64, "sums")
        counts = (sums[0] >= 1) & (sums[0] == np.rint(sums[0]))
        check(bool(counts.all() and (sums[1:3] >= 0).all()), "sums")
        is_perfect = np.zeros(sums.shape, np.bool_)
        is_perfect[3] = sums[3] == np.inf
        check(bool((is_perfect | (np.abs(sums) < LARGEST_SUM)).all()), "sums")
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
        return sha256_of(self.sums[0])


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
