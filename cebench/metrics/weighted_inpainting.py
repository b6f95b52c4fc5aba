"""Inpainting errors of one region under image weights, from each image's sums."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cebench.metrics.image_weights import select_metrics
from cebench.metrics.inpainting import RegionSums


@dataclass(frozen=True)
class WeightedInpainting:
    """The five scores of `RegionScores` as functions of image weights (`WeightedScores`).

    For a draw with weights w each equals the two lines

        again = np.repeat(np.arange(N), w)                  # every image as often as drawn
        inpainting_scores(sum((sums[i] for i in again), InpaintingSums()))
    """

    sums: np.ndarray
    """(5, N): values, absolute, squared, psnr_db and ssim of each image's `RegionSums`."""

    @classmethod
    def from_sums(cls, sums: Sequence[RegionSums]) -> "WeightedInpainting":
        """One region's sums of N images, one `RegionSums` each."""
        rows = [(s.values, s.absolute, s.squared, s.psnr_db, s.ssim) for s in sums]
        return cls(np.array(rows, dtype=np.float64).reshape(-1, 5).T)

    @property
    def metrics(self) -> tuple[str, ...]:
        return ("mean_l1", "mean_l2", "psnr_per_image_mean_db", "psnr_pooled_db", "ssim")

    @property
    def images(self) -> int:
        return int(self.sums.shape[1])

    @property
    def rarest_images(self) -> int:
        return self.images

    def values(self, weights: np.ndarray, metrics: Sequence[str] | None = None) -> np.ndarray:
        """Those of the five scores under weights (N, B): (K, B); see `WeightedScores.values`.

        No error at all has an infinite PSNR.
        """
        finite = np.isfinite(self.sums)
        values, absolute, squared, psnr, ssim = np.where(finite, self.sums, 0.0) @ weights
        # 0 times infinity is no error: an image that was not drawn says nothing.
        psnr[(~finite[3]) @ weights > 0] = np.inf
        images = weights.sum(axis=0, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            pooled = -10 * np.log10(squared / values)
            scores = [absolute / values, squared / values, psnr / images, pooled, ssim / images]
        return select_metrics(self.metrics, scores, metrics)

    def pooled(self, other: "WeightedInpainting") -> "WeightedInpainting":
        """See `WeightedScores.pooled`."""
        return WeightedInpainting(np.concatenate([self.sums, other.sums], axis=1))
