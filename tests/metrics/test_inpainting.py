import math
from dataclasses import replace

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cebench.metrics.inpainting import (
    InpaintingSums,
    inpainting_scores,
    inpainting_sums,
    psnr_db,
)


def _batch(seed: int, images: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = rng.random((images, 3, 20, 24))
    noise = rng.normal(size=targets.shape) * np.linspace(0.01, 0.3, images)[:, None, None, None]
    holes = np.zeros((images, 20, 24), dtype=np.bool_)
    for hole in holes:
        top, left, height, width = rng.integers(2, 9, 4)
        hole[top : top + height, left : left + width] = True
    return np.clip(targets + noise, 0, 1), targets, holes


def test_two_images_solved_by_hand() -> None:
    # A 4-pixel hole in each of two images; the first is off by 0.1 there, the second by 0.3.
    #   L1 = (0.1 + 0.3) / 2, L2 = (0.01 + 0.09) / 2 = 0.05
    #   PSNR per image 20 and 10.4576 dB; of the pooled 0.05: 13.0103 dB
    targets = np.full((2, 3, 8, 8), 0.5)
    holes = np.zeros((2, 8, 8), dtype=np.bool_)
    holes[:, 3:5, 3:5] = True
    predictions = targets.copy()
    predictions[0, :, 3:5, 3:5] += 0.1
    predictions[1, :, 3:5, 3:5] -= 0.3
    scores = inpainting_scores(inpainting_sums(predictions, targets, holes))
    assert scores.images == 2
    assert scores.hole.mean_l1 == pytest.approx(0.2, abs=1e-15)
    assert scores.hole.mean_l2 == pytest.approx(0.05, abs=1e-15)
    assert scores.hole.psnr_per_image_mean_db == pytest.approx((20 + 10.457574905606752) / 2)
    assert scores.hole.psnr_pooled_db == pytest.approx(13.010299956639813)
    # 4 of 64 pixels are wrong.
    assert scores.image.mean_l1 == pytest.approx(0.2 / 16, abs=1e-15)
    assert scores.image.mean_l2 == pytest.approx(0.05 / 16, abs=1e-15)


def test_errors_equal_numpy_float64_and_scikit_image() -> None:
    predictions, targets, holes = _batch(0)
    scores = inpainting_scores(inpainting_sums(predictions, targets, holes))
    inside = np.broadcast_to(holes[:, None], targets.shape)
    difference = (predictions - targets)[inside]
    assert scores.hole.mean_l1 == pytest.approx(np.abs(difference).mean(), abs=1e-14)
    assert scores.hole.mean_l2 == pytest.approx((difference**2).mean(), abs=1e-14)
    pooled = peak_signal_noise_ratio(targets[inside], predictions[inside], data_range=1)
    assert scores.hole.psnr_pooled_db == pytest.approx(pooled, abs=1e-12)
    each = [
        peak_signal_noise_ratio(t[:, h], p[:, h], data_range=1)
        for p, t, h in zip(predictions, targets, holes, strict=True)
    ]
    assert scores.hole.psnr_per_image_mean_db == pytest.approx(np.mean(each), abs=1e-12)
    whole = [
        peak_signal_noise_ratio(t, p, data_range=1)
        for p, t in zip(predictions, targets, strict=True)
    ]
    assert scores.image.psnr_per_image_mean_db == pytest.approx(np.mean(whole), abs=1e-12)


def test_ssim_is_scikit_images_and_its_map_inside_the_hole() -> None:
    predictions, targets, holes = _batch(1)
    scores = inpainting_scores(inpainting_sums(predictions, targets, holes))
    in_hole, everywhere = [], []
    for prediction, target, hole in zip(predictions, targets, holes, strict=True):
        mean, ssim = structural_similarity(
            prediction.transpose(1, 2, 0),
            target.transpose(1, 2, 0),
            data_range=1,
            channel_axis=2,
            full=True,
        )
        in_hole.append(ssim[hole].mean())
        everywhere.append(mean)
    assert scores.hole.ssim == pytest.approx(np.mean(in_hole), abs=1e-12)
    assert scores.image.ssim == pytest.approx(np.mean(everywhere), abs=1e-12)


def test_gaussian_ssim_is_that_of_the_original_paper() -> None:
    predictions, targets, holes = _batch(1)
    scores = inpainting_scores(inpainting_sums(predictions, targets, holes, "gaussian"))
    each = [
        structural_similarity(
            p,
            t,
            data_range=1,
            channel_axis=0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for p, t in zip(predictions, targets, strict=True)
    ]
    assert scores.image.ssim == pytest.approx(np.mean(each), abs=1e-12)
    with pytest.raises(ValueError, match="at least 11 x 11"):
        inpainting_sums(*(a[..., :8, :8] for a in (predictions, targets, holes)), "gaussian")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batch_size_does_not_change_the_numbers(size: int) -> None:
    predictions, targets, holes = _batch(2)
    sums = InpaintingSums()
    for start in range(0, 5, size):
        part = slice(start, start + size)
        sums += inpainting_sums(predictions[part], targets[part], holes[part])
    whole = inpainting_scores(inpainting_sums(predictions, targets, holes))
    found = inpainting_scores(sums)
    assert found.images == whole.images == 5
    assert vars(found.hole) == pytest.approx(vars(whole.hole), abs=1e-13)
    assert vars(found.image) == pytest.approx(vars(whole.image), abs=1e-13)


def test_float32_is_measured_in_float64() -> None:
    predictions, targets, holes = _batch(3)
    predictions, targets = predictions.astype(np.float32), targets.astype(np.float32)
    low = inpainting_sums(predictions, targets, holes)
    assert low == inpainting_sums(predictions.astype(float), targets.astype(float), holes)


def test_perfect_prediction_has_infinite_psnr_and_no_error() -> None:
    _, targets, holes = _batch(4)
    scores = inpainting_scores(inpainting_sums(targets, targets, holes))
    for region in (scores.hole, scores.image):
        assert (region.mean_l1, region.mean_l2) == (0.0, 0.0)
        assert region.psnr_per_image_mean_db == region.psnr_pooled_db == math.inf
        assert region.ssim == pytest.approx(1.0)


def test_error_outside_the_hole_is_seen_by_the_image_only() -> None:
    _, targets, holes = _batch(5)
    predictions = np.where(holes[:, None], targets, 1 - targets)
    scores = inpainting_scores(inpainting_sums(predictions, targets, holes))
    assert scores.hole.mean_l1 == 0.0
    assert scores.image.mean_l1 > 0.1


def test_pooled_psnr_never_exceeds_the_mean_of_equal_holes() -> None:
    predictions, targets, _ = _batch(6)
    scores = inpainting_scores(
        inpainting_sums(predictions, targets, np.ones((5, 20, 24), np.bool_))
    )
    assert scores.hole.psnr_pooled_db <= scores.hole.psnr_per_image_mean_db
    assert replace(scores.hole, ssim=scores.image.ssim) == scores.image


def test_no_images_is_nan() -> None:
    scores = inpainting_scores(InpaintingSums())
    assert scores.images == 0
    assert all(math.isnan(value) for value in vars(scores.hole).values())


def test_psnr_of_known_errors() -> None:
    assert psnr_db(1.0) == 0.0
    assert psnr_db(0.01) == pytest.approx(20.0)
    assert psnr_db(0.0) == math.inf


def test_wrong_input_is_refused() -> None:
    predictions, targets, holes = _batch(7)
    with pytest.raises(ValueError, match=r"targets in \[0, 1\]"):
        inpainting_sums(predictions, targets * 2 - 1, holes)
    with pytest.raises(ValueError, match="finite predictions"):
        inpainting_sums(predictions * np.nan, targets, holes)
    with pytest.raises(ValueError, match="at least one pixel"):
        inpainting_sums(predictions, targets, np.zeros_like(holes))
    with pytest.raises(ValueError, match="bool holes"):
        inpainting_sums(predictions, targets, holes.astype(np.uint8))
    with pytest.raises(ValueError, match="two batches"):
        inpainting_sums(predictions[:2], targets, holes)
    with pytest.raises(ValueError, match="at least 7 x 7"):
        inpainting_sums(predictions[..., :6], targets[..., :6], holes[..., :6])
