import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from coverage_trials import Scene, measure_coverage, pretraining_coverage
from scipy import stats
from simulated_pixels import quality_of, segmentation, true_segmentation
from simulated_rows import SHARED_BY_REAL_ROWS, Scorer, scorer_of, simulate_rows

from cebench.metrics.image_weights import bootstrap_weights
from cebench.metrics.permutation import swap_test
from cebench.metrics.weighted_inpainting import WeightedInpainting
from cebench.reporting.comparison import (
    compare_column,
    compare_with_baseline,
    published_verdict,
    resamplings,
)
from cebench.reporting.paired_intervals import PairComparison, Runs, resample_row

PSNR = "psnr_per_image_mean_db"
FEW = {"draws": 200, "permutations": 299}


def compare_pair(first: Runs, second: Runs, metric: str, **options: Any) -> PairComparison:
    """Two rows as a family of one pair: adjusted for nothing."""
    column = compare_column({"first": first, "second": second}, metric, **options)
    return column.pairs["first", "second"]


def inpainting(psnr: np.ndarray) -> WeightedInpainting:
    """A run that differs from others in PSNR alone."""
    ones = np.ones(len(psnr))
    return WeightedInpainting(np.stack([ones, ones, ones, psnr, ones]))


def psnr_rows(*means: float, images: int = 120) -> dict[str, WeightedInpainting]:
    """Rows named a, b, .. with image effects in common."""
    rng = np.random.default_rng(0)
    image = 5 * rng.normal(size=images)
    return {
        name: inpainting(mean + image + rng.normal(size=images))
        for name, mean in zip("abcdef", means, strict=False)
    }


def test_two_runs_compare_as_in_a_paired_t_test() -> None:
    first, second = psnr_rows(20.0, 19.7).values()
    found = compare_pair([[first]], [[second]], PSNR, draws=4000)
    paired = stats.ttest_rel(first.sums[3], second.sums[3])
    expected = paired.confidence_interval(0.95)
    assert found.difference == pytest.approx((first.sums[3] - second.sums[3]).mean())
    assert found.interval == pytest.approx((expected.low, expected.high), abs=0.02)
    assert found.p_value == found.adjusted_p_value == pytest.approx(paired.pvalue, abs=0.02)
    assert found.varied == "images"
    assert found.p_value == swap_test(first, second)[2]


def test_a_pair_turned_round_changes_its_sign_alone() -> None:
    first, second = psnr_rows(20.0, 19.7).values()
    one = compare_pair([[first]], [[second]], PSNR, **FEW)
    other = compare_pair([[second]], [[first]], PSNR, **FEW)
    assert other.difference == -one.difference
    assert other.interval == pytest.approx((-one.interval[1], -one.interval[0]))
    assert other.p_value == one.p_value


def test_several_pretrainings_of_both_rows_count_too() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=150)
    first = [[inpainting(image + offset)] for offset in (20.0, 21.0, 22.0)]
    second = [[inpainting(image + offset)] for offset in (20.0, 20.5, 21.0)]
    # All images shift alike: nothing varies over images, so this is Welch's t test of the offsets.
    found = compare_pair(first, second, PSNR, draws=20_000)
    welch = stats.ttest_ind([20, 21, 22], [20, 20.5, 21], equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert found.varied == "images and pretrainings"
    assert found.interval == pytest.approx((interval.low, interval.high), rel=0.03)
    assert found.p_value == pytest.approx(welch.pvalue, rel=0.03)
    # With one pretraining on a side the claim is about these networks alone.
    alone = compare_pair(first[:1], second, PSNR, draws=200)
    assert alone.varied == "images"
    assert alone.standard_error == pytest.approx(0, abs=1e-9)


def test_beside_a_fill_without_a_network_the_other_rows_pretrainings_are_all_that_varies() -> None:
    image = np.random.default_rng(0).normal(size=150)
    first = [[inpainting(image + offset)] for offset in (20.0, 21.0, 22.0)]
    fill = [[inpainting(image + 20)]]
    # All images shift alike: this is a t test of the three offsets against a constant.
    found = compare_pair(first, fill, PSNR, not_pretrained=["second"], draws=20_000)
    expected = stats.ttest_1samp([0, 1, 2], 0)
    interval = expected.confidence_interval(0.95)
    assert found.varied == "images and pretrainings"
    assert found.interval == pytest.approx((interval.low, interval.high), rel=0.03)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.03)
    turned = compare_pair(fill, first, PSNR, not_pretrained=["first"], draws=20_000)
    assert turned.interval == pytest.approx((-found.interval[1], -found.interval[0]))


def test_a_difference_at_the_end_of_its_interval_has_a_p_of_5_percent() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=80)
    first = [[inpainting(image + offset + rng.normal(size=80))] for offset in (0.0, 0.3, 0.4)]
    fill = inpainting(image)
    options = {"not_pretrained": ["second"], "draws": 500}
    low, _ = compare_pair(first, [[fill]], PSNR, **options).interval
    shifted = [[inpainting(run.sums[3] - low) for run in tuned] for tuned in first]
    found = compare_pair(shifted, [[fill]], PSNR, **options)
    assert found.interval[0] == pytest.approx(0, abs=1e-6)
    assert found.p_value == pytest.approx(0.05, abs=1e-6)


def test_a_small_p_beside_a_fill_is_the_t_tests() -> None:
    """All images shift alike, so that the three pretrainings alone vary: p is about 1e-7."""
    offsets = [20.0, 20.01, 20.02]
    first = [[inpainting(np.full(150, offset))] for offset in offsets]
    fill = [[inpainting(np.zeros(150))]]
    found = compare_pair(first, fill, PSNR, not_pretrained=["second"], draws=200)
    assert found.p_value == pytest.approx(stats.ttest_1samp(offsets, 0).pvalue, rel=0.01)


def test_a_small_p_of_two_variances_is_sought_between_theirs() -> None:
    """Fourteen standard errors, nearly all over images: 0.005 if the pretrainings alone varied."""
    rng = np.random.default_rng(0)
    fill, noise = rng.normal(size=(2, 100))
    first = [[inpainting(fill + noise - noise.mean() + 2 + n / 1000)] for n in range(3)]
    found = compare_pair(first, [[inpainting(fill)]], PSNR, not_pretrained=["second"], draws=500)
    assert 1e-9 < found.p_value < 1e-5


def test_fills_and_single_pretrainings_speak_for_the_images_alone() -> None:
    first, second = ([[run]] for run in psnr_rows(20.0, 19.7).values())
    for fills in (["first"], ["first", "second"]):
        found = compare_pair(first, second, PSNR, not_pretrained=fills, **FEW)
        assert (found.varied, found.test) == ("images", "permutation")


def test_noise_of_the_images_counts_over_images_and_between_pretrainings() -> None:
    """Runs that differ by their noise on 100 images alone: the variance of one row's mean over 3 is
    1 / 300, over the images, and once more in the spread of the three; see docs/verdicts.md."""
    rng = np.random.default_rng(0)
    squares = []
    for _ in range(100):
        rows = [[[inpainting(rng.normal(size=100))] for _ in range(3)] for _ in range(2)]
        squares.append(compare_pair(*rows, PSNR, draws=200).standard_error ** 2)
    assert np.mean(squares) * 300 / 2 == pytest.approx(2, abs=0.3)


def test_fine_tunings_count_within_their_pretraining() -> None:
    runs = [[inpainting(np.full(100, value)) for value in tuned] for tuned in ([1, 3], [10])]
    row = resample_row(runs, PSNR, bootstrap_weights(100, 5, 0))
    np.testing.assert_allclose(row.estimates, [2, 10])
    np.testing.assert_allclose(row.draws, [[2] * 5, [10] * 5])


def test_rows_of_equal_runs_do_not_differ() -> None:
    (run,) = psnr_rows(20.0).values()
    found = compare_pair([[run]], [[run]], PSNR, **FEW)
    assert (found.difference, found.interval, found.p_value) == (0, (0, 0), 1)
    several = compare_pair([[run]] * 2, [[run]] * 2, PSNR, **FEW)
    assert (several.difference, several.interval, several.p_value) == (0, (0, 0), 1)


def test_a_column_is_adjusted_over_its_pairs_and_lettered_from_the_best() -> None:
    rows = {name: [[run]] for name, run in psnr_rows(19.0, 21.0, 20.9).items()}
    found = compare_column(rows, PSNR, **FEW)
    assert list(found.pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found.letters == {"b": "a", "c": "a", "a": "b"}
    smallest = 1 / 300
    assert found.pairs["a", "b"].adjusted_p_value == pytest.approx(3 * smallest)
    assert found.pairs["a", "b"].differs
    assert not found.pairs["b", "c"].differs
    # The same numbers as errors: the lowest is the best.
    lower = compare_column(rows, PSNR, higher_is_better=False, **FEW)
    assert lower.letters == {"a": "a", "b": "b", "c": "b"}


def test_rows_of_a_large_family_that_clearly_differ_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=60)
    rows = {
        f"row {n}": [[inpainting(20.0 + n + image + 0.1 * rng.normal(size=60))]] for n in range(16)
    }
    found = compare_column(rows, PSNR)
    assert all(pair.differs for pair in found.pairs.values())
    assert len(set(found.letters.values())) == 16
    told = []
    compare_column(rows, PSNR, draws=10, advance=told.append)
    assert sum(told) == resamplings(dict.fromkeys(rows, 1)) == 16 + 120 * 4 * 6


def test_a_baseline_is_compared_with_every_other_row() -> None:
    rows = {name: [[run]] for name, run in psnr_rows(19.0, 21.0, 19.0).items()}
    found = compare_with_baseline(rows, "a", PSNR, **FEW)
    assert list(found) == ["b", "c"]
    assert found["b"].difference == pytest.approx(2, abs=0.3)
    assert found["b"].adjusted_p_value == pytest.approx(2 / 300)


def test_eleven_point_columns_are_compared_by_area() -> None:
    rng = np.random.default_rng(0)
    scorers = [scorer_of(score, "detection") for score in (0.5, 0.6)]
    first, second = simulate_rows("detection", 150, scorers, rng)
    found = compare_pair([[first]], [[second]], "mean_ap_voc07_11pt", **FEW)
    assert found.metric == "mean_ap_area"
    assert found == compare_pair([[first]], [[second]], "mean_ap_area", **FEW)


def test_rows_on_other_images_are_refused() -> None:
    few, many = (inpainting(np.zeros(n)) for n in (3, 4))
    with pytest.raises(ValueError, match=r"sets of \[3, 4\] images"):
        compare_pair([[few]], [[many]], PSNR)


@pytest.mark.parametrize(
    ("tier", "ends", "published", "verdict"),
    [
        ("paper", (0.5, 0.6), 0.565, "inside"),
        ("paper", (0.5, 0.6), 0.5, "inside"),
        ("paper", (0.5, 0.6), 0.61, "outside"),
        ("short", (0.5, 0.6), 0.565, "other tier"),
        (None, None, 0.565, "not run"),
        ("paper", None, 0.565, "no interval"),
        ("paper", (0.5, 0.6), None, "not published"),
    ],
)
def test_verdict_beside_the_published_number(
    tier: str | None, ends: tuple[float, float] | None, published: float | None, verdict: str
) -> None:
    assert published_verdict(published, tier, ends) == verdict


@pytest.mark.parametrize(
    ("tier", "published", "verdict"),
    [("paper", 0.565, "other images"), ("short", 0.565, "other tier"), (None, 0.565, "not run")],
)
def test_a_number_of_more_or_fewer_images_is_neither_inside_nor_outside(
    tier: str | None, published: float, verdict: str
) -> None:
    assert published_verdict(published, tier, (0.5, 0.6), same_count=False) == verdict


@pytest.mark.parametrize(
    ("pretrainings", "run_sd"),
    [((2, 2), 1.0), ((3, 3), 0.3), ((3, 5), 1.0), ((5, 2), 0.0), ((3, 0), 0.5), ((0, 2), 1.0)],
)
def test_intervals_over_few_pretrainings_cover_what_they_say(
    pretrainings: tuple[int, int], run_sd: float
) -> None:
    """400 trials of 95 % cover 366 times or more in 999 of 1,000 such tests."""
    assert pretraining_coverage(pretrainings, run_sd, trials=400) * 400 >= 366


def test_intervals_cover_where_pretrainings_vary_as_much_as_noise_and_a_little_more() -> None:
    """1,000 trials of 95.3 % cover 930 times or more in 999 of 1,000 such tests; with the noise of
    the images taken off the spread of so few pretrainings 916 did."""
    assert pretraining_coverage((3, 2), 0.2, trials=1000) * 1000 >= 930


@pytest.mark.slow
def test_equal_rows_are_told_apart_once_in_twenty_times() -> None:
    """Scores of 1,250 images in two units; 150 pairs: 15 or fewer in 998 of 1,000 such tests."""
    scorer = scorer_of(0.5, "classification")
    found = rejections(150, 1250, scorer, replace(scorer, scale=2.0))
    assert found.sum(axis=0)[[0, 2]].max() <= 15


@pytest.mark.slow
def test_two_points_are_found_at_the_size_of_voc2007() -> None:
    """30 pairs: a power of 80 % finds 18 or more in 998 of 1,000 such tests."""
    first, second = (scorer_of(score, "classification") for score in (0.5, 0.52))
    assert rejections(30, 4952, first, second).sum(axis=0).min() >= 18


def rejections(pairs: int, images: int, first: Scorer, second: Scorer) -> np.ndarray:
    """(pairs, 3) bool: p <= 5 % by each definition."""
    found = []
    for number in range(pairs):
        rng = np.random.default_rng([3, number])
        rows = simulate_rows("classification", images, [first, second], rng, SHARED_BY_REAL_ROWS)
        found.append(swap_test(*rows, permutations=99, seed=number) <= 0.05)
    return np.array(found)


@pytest.mark.slow
def test_paired_intervals_of_segmentation_cover_the_difference() -> None:
    qualities = [quality_of(score) for score in (0.48, 0.5)]
    first, second = (true_segmentation(quality) for quality in qualities)
    scene = Scene(lambda n, rng: segmentation(n, qualities, rng), (first, second))
    found = measure_coverage(scene, images=736, trials=150, draws=200, seed=0)
    assert (found.covered[3] * 150 >= 131).all()
    assert math.isclose(first[0] - second[0], -0.02, abs_tol=2e-3)


def test_a_score_that_does_not_exist_compares_with_nothing() -> None:
    infinite, finite = (inpainting(np.array([value] * 100)) for value in (np.inf, 20.0))
    found = compare_pair([[infinite]], [[infinite]], PSNR, **FEW)
    assert np.isnan([found.difference, found.standard_error, *found.interval, found.p_value]).all()
    assert not found.differs
    several = compare_pair([[infinite]] * 2, [[finite]] * 2, PSNR, **FEW)
    assert np.isnan([several.standard_error, several.p_value]).all()
    rows = {"a": [[infinite]], "b": [[finite]], "c": [[finite]]}
    assert compare_column(rows, PSNR, **FEW).letters["b"] == "a"


def test_rows_that_differ_by_the_same_everywhere_differ() -> None:
    rows = [[inpainting(np.full(100, value))] for value in (20.0, 20.0, 21.0, 21.0)]
    found = compare_pair(rows[:2], rows[2:], PSNR, **FEW)
    assert (found.difference, found.standard_error, found.p_value) == (-1, 0, 0)


def test_one_image_tells_no_rows_apart() -> None:
    first, second = psnr_rows(20.0, 25.0, images=1).values()
    found = compare_pair([[first]], [[second]], PSNR, **FEW)
    assert found.difference == pytest.approx(first.sums[3][0] - second.sums[3][0])
    assert np.isnan(found.interval).all()
    assert not found.differs
    several = compare_pair([[first]] * 2, [[second]] * 2, PSNR, **FEW)
    assert not several.differs
