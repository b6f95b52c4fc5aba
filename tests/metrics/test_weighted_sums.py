"""Segmentation and inpainting under image weights, against the metrics on written-out draws."""

import math

import numpy as np
import pytest

from cebench.metrics.image_weights import bootstrap_weights, equal_weights, swap_weights
from cebench.metrics.inpainting import InpaintingSums, RegionSums, inpainting_scores
from cebench.metrics.segmentation import segmentation_scores
from cebench.metrics.weighted_inpainting import WeightedInpainting
from cebench.metrics.weighted_segmentation import WeightedSegmentation
from cebench.randomness import numpy_generator


def confusions(seed: int, images: int = 9, classes: int = 5) -> np.ndarray:
    """Sparse confusion matrices; the last class is nowhere."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 40, (images, classes, classes)) * (rng.random((classes, classes)) < 0.5)
    found[:, -1], found[..., -1] = 0, 0
    return found


def region_sums(seed: int, images: int = 9) -> list[RegionSums]:
    rng = np.random.default_rng(seed)
    rows = zip(rng.integers(5, 50, images), rng.uniform(0.1, 20, (4, images)).T, strict=True)
    return [RegionSums(1, int(values), *map(float, rest)) for values, rest in rows]


@pytest.mark.parametrize("seed", range(4))
def test_segmentation_equals_the_weighted_sum_of_confusions(seed: int) -> None:
    matrices = confusions(seed)
    run = WeightedSegmentation.from_confusions(iter(matrices))
    weights = bootstrap_weights(len(matrices), 20, seed)
    found = run.values(weights)
    for b, column in enumerate(weights.T.astype(int)):
        plain = segmentation_scores(np.tensordot(column, matrices, 1))
        expected = [getattr(plain, name) for name in run.metrics]
        np.testing.assert_allclose(found[:, b], expected, atol=1e-14)
    two = ["mean_accuracy", "mean_iou"]
    np.testing.assert_array_equal(run.values(weights, two), found[[2, 0]])


def test_the_rarest_class_is_one_that_occurs() -> None:
    matrices = np.zeros((3, 3, 3), np.int64)
    matrices[:, 0, 0], matrices[1, 1, 0], matrices[:, 0, 2] = 5, 1, 1
    run = WeightedSegmentation.from_confusions(matrices)
    assert (run.images, run.rarest_images) == (3, 1)


@pytest.mark.parametrize("seed", range(4))
def test_inpainting_equals_the_sums_of_the_drawn_images(seed: int) -> None:
    sums = region_sums(seed)
    run = WeightedInpainting.from_sums(sums)
    weights = bootstrap_weights(len(sums), 20, seed)
    found = run.values(weights)
    for b, column in enumerate(weights.T.astype(int)):
        total = InpaintingSums()
        for image in np.repeat(np.arange(len(sums)), column):
            total += InpaintingSums(hole=sums[image])
        plain = inpainting_scores(total).hole
        expected = [getattr(plain, name) for name in run.metrics]
        np.testing.assert_allclose(found[:, b], expected, atol=1e-12)
    np.testing.assert_array_equal(run.values(weights, ["ssim"]), found[4:])


def test_a_perfect_image_makes_psnr_infinite_only_where_it_is_drawn() -> None:
    sums = [RegionSums(1, 4, 0.0, 0.0, math.inf, 1.0), RegionSums(1, 4, 0.4, 0.04, 20.0, 0.5)]
    run = WeightedInpainting.from_sums(sums)
    found = run.values(np.array([[1, 0, 2], [1, 2, 0]], np.float32))
    np.testing.assert_allclose(found[2], [math.inf, 20, math.inf])
    np.testing.assert_allclose(found[3], [10 * math.log10(200), 20, math.inf])
    np.testing.assert_allclose(found[0], [0.05, 0.1, 0])


def test_pooled_runs_are_each_run_and_their_exchange() -> None:
    for runs in (
        [WeightedSegmentation.from_confusions(confusions(seed)) for seed in (0, 1)],
        [WeightedInpainting.from_sums(region_sums(seed)) for seed in (0, 1)],
    ):
        first, second = runs
        pooled, ones = first.pooled(second), equal_weights(9)  # type: ignore[arg-type]
        both = np.vstack([ones, 0 * ones])
        np.testing.assert_allclose(pooled.values(both), first.values(ones))
        np.testing.assert_allclose(pooled.values(1 - both), second.values(ones))


def test_each_draw_has_as_many_images_as_there_are() -> None:
    weights = bootstrap_weights(50, 200, seed=0)
    np.testing.assert_array_equal(weights.sum(axis=0), 50)
    assert (weights == 0).mean() == pytest.approx(math.exp(-1), abs=0.02)
    assert not weights.flags.writeable  # The next who asks gets them too.
    bootstrap_weights.cache_clear()
    np.testing.assert_array_equal(weights, bootstrap_weights(50, 200, seed=0))
    assert (weights != bootstrap_weights(50, 200, seed=1)).any()


def test_each_image_is_swapped_half_of_the_time() -> None:
    weights = swap_weights(40, 500, numpy_generator(0, "swap"))
    np.testing.assert_array_equal(weights[:40] + weights[40:], 1)
    assert weights[:40].mean() == pytest.approx(0.5, abs=0.02)
