"""Inpainting: errors inside the hole and over the image, as sums that are divided once.

Pixels are in [0, 1] and all arithmetic is float64. Table 1 of the paper prints 100 x `mean_l1`,
100 x `mean_l2` and `psnr_per_image_mean_db` of the hole.
"""

import math
from dataclasses import astuple, dataclass
from typing import Literal

import numpy as np

SsimWindow = Literal["uniform", "gaussian"]
"""`uniform`: scikit-image's default; `gaussian`: that of Wang et al., 2004 (sigma 1.5)."""
SSIM_SIDES: dict[SsimWindow, int] = {"uniform": 7, "gaussian": 11}
"""Side of each window in pixels; images must be at least as wide and high."""


@dataclass(frozen=True)
class RegionSums:
    """Sums over one region of some images; those of several batches are added."""

    images: int = 0
    values: int = 0
    """Pixels times channels."""
    absolute: float = 0.0
    squared: float = 0.0
    psnr_db: float = 0.0
    """Sum over the images of each one's PSNR."""
    ssim: float = 0.0
    """Sum over the images of each one's mean SSIM."""

    def __add__(self, other: "RegionSums") -> "RegionSums":
        return RegionSums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class InpaintingSums:
    """Start from `InpaintingSums()` and add what `inpainting_sums` returns."""

    hole: RegionSums = RegionSums()
    image: RegionSums = RegionSums()

    def __add__(self, other: "InpaintingSums") -> "InpaintingSums":
        return InpaintingSums(self.hole + other.hole, self.image + other.image)


@dataclass(frozen=True)
class RegionScores:
    """Errors: lower is better; PSNR and SSIM: higher. Infinite PSNR means a perfect prediction."""

    mean_l1: float
    """Mean absolute difference over all values of all images, in [0, 1]."""
    mean_l2: float
    """Mean squared difference over all values of all images, in [0, 1]."""
    psnr_per_image_mean_db: float
    """Mean of the images' PSNRs; infinite as soon as one image is perfect."""
    psnr_pooled_db: float
    """PSNR of `mean_l2`: never above the mean of the images' if their regions are equally large."""
    ssim: float
    """Mean over the images. Of the whole image scikit-image's number, which leaves out the border
    where the window reaches beyond the image; of the hole the mean of the map inside it."""


@dataclass(frozen=True)
class InpaintingScores:
    """Scores in the hole and over the whole image, and how many images they are of."""

    hole: RegionScores
    image: RegionScores
    images: int


def inpainting_sums(
    predictions: np.ndarray,
    targets: np.ndarray,
    holes: np.ndarray,
    ssim_window: SsimWindow = "uniform",
) -> InpaintingSums:
    """Compare a batch; the prediction is judged as it is, in the hole and over the whole image.

    SSIM is scikit-image's (K1 = 0.01, K2 = 0.03, one map per channel; 7 x 7 pixels of equal weight
    and sample covariance, or an 11 x 11 Gaussian and population covariance), so that windows at the
    hole's edge also see the prediction around it.

    Args:
        predictions: (N, C, H, W); clip to [0, 1] first what will be shown clipped.
        targets: (N, C, H, W) in [0, 1].
        holes: (N, H, W) bool, True = missing; each at least one pixel.
        ssim_window: which pixels SSIM compares at once.

    Raises:
        ValueError: shapes that do not fit, images smaller than the SSIM window, targets outside
            [0, 1], predictions that are not finite, or an empty hole.
    """
    if predictions.ndim != 4 or predictions.shape != targets.shape:
        raise ValueError(
            f"expected two batches (N, C, H, W), got {predictions.shape}, {targets.shape}"
        )
    if holes.shape != targets.shape[:1] + targets.shape[2:] or holes.dtype != np.bool_:
        raise ValueError(f"expected bool holes (N, H, W), got {holes.dtype} {holes.shape}")
    sums = InpaintingSums()
    for prediction, target, hole in zip(predictions, targets, holes, strict=True):
        sums += _image_sums(
            prediction.astype(np.float64), target.astype(np.float64), hole, ssim_window
        )
    return sums


def inpainting_scores(sums: InpaintingSums) -> InpaintingScores:
    """Mean errors, PSNR and SSIM from summed ones; nan if no image was added."""
    return InpaintingScores(_region_scores(sums.hole), _region_scores(sums.image), sums.hole.images)


def psnr_db(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio of pixels in [0, 1]; infinity for an error of 0."""
    return -10 * math.log10(mean_squared_error) if mean_squared_error != 0 else math.inf


def _image_sums(
    prediction: np.ndarray, target: np.ndarray, hole: np.ndarray, ssim_window: SsimWindow
) -> InpaintingSums:
    side = SSIM_SIDES[ssim_window]
    if min(hole.shape) < side:
        raise ValueError(f"expected images of at least {side} x {side} pixels")
    if not hole.any():
        raise ValueError("expected a hole of at least one pixel, got none")
    if not (target.min() >= 0 and target.max() <= 1 and np.isfinite(prediction).all()):
        raise ValueError("expected targets in [0, 1] and finite predictions")
    image_ssim, ssim_map = _ssim(prediction, target, ssim_window)
    difference = prediction - target
    return InpaintingSums(
        _region(difference[:, hole], float(ssim_map[:, hole].mean())),
        _region(difference.reshape(len(difference), -1), image_ssim),
    )


def _ssim(
    prediction: np.ndarray, target: np.ndarray, window: SsimWindow
) -> tuple[float, np.ndarray]:
    """The SSIM of two images (C, H, W) and its map."""
    from skimage.metrics import structural_similarity

    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    mean, ssim_map = structural_similarity(  # type: ignore[no-untyped-call]
        prediction,
        target,
        win_size=SSIM_SIDES[window],
        data_range=1.0,
        channel_axis=0,
        full=True,
        **(gaussian if window == "gaussian" else {}),
    )
    return float(mean), ssim_map


def _region(inside: np.ndarray, ssim: float) -> RegionSums:
    squared = float(np.sum(inside**2))
    return RegionSums(
        images=1,
        values=inside.size,
        absolute=float(np.sum(np.abs(inside))),
        squared=squared,
        psnr_db=psnr_db(squared / inside.size),
        ssim=ssim,
    )


def _region_scores(sums: RegionSums) -> RegionScores:
    if sums.images == 0:
        return RegionScores(math.nan, math.nan, math.nan, math.nan, math.nan)
    return RegionScores(
        mean_l1=sums.absolute / sums.values,
        mean_l2=sums.squared / sums.values,
        psnr_per_image_mean_db=sums.psnr_db / sums.images,
        psnr_pooled_db=psnr_db(sums.squared / sums.values),
        ssim=sums.ssim / sums.images,
    )
