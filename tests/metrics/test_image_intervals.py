import numpy as np
import pytest
from coverage_trials import Scene, measure_coverage
from scipy import stats
from simulated_pixels import inpainting, true_inpainting
from simulated_rows import scorer_of, simulate_rows, true_means

from cebench.metrics.image_intervals import (
    RULES,
    CoverageRule,
    average_precision_intervals,
    image_interval,
    image_intervals,
    outside_word,
)
from cebench.metrics.image_weights import bootstrap_weights, equal_weights
from cebench.metrics.weighted_average_precision import DEFINITIONS, WeightedAveragePrecision
from cebench.metrics.weighted_inpainting import WeightedInpainting


def test_interval_of_a_mean_is_students_and_its_error_scipys() -> None:
    (run,) = inpainting(120, [0.0], np.random.default_rng(0))
    psnr = run.sums[3]
    found = image_intervals([run], draws=5000)["psnr_per_image_mean_db"]
    drawn = stats.bootstrap((psnr,), np.mean, n_resamples=5000, rng=np.random.default_rng(0))
    assert found.standard_error == pytest.approx(drawn.standard_error, rel=0.03)
    expected = stats.t.interval(0.95, 119, psnr.mean(), stats.sem(psnr))
    assert found.ends == pytest.approx(expected, abs=0.03)


def test_bias_is_taken_away_and_not_added() -> None:
    # The draws lie 1 above the estimate, as the estimate then does above the truth.
    draws = np.array([5.0, 6.0, 7.0])
    low, high = image_interval(5.0, draws, 200, 200, CoverageRule()).ends or (0, 0)
    assert (low + high) / 2 == pytest.approx(4.0)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 199))


def test_runs_of_one_row_share_draws_and_average_their_scores() -> None:
    first, second = inpainting(150, [0.0, 0.0], np.random.default_rng(1))
    both = image_intervals([first, second], draws=500)["mean_l1"]
    mean = WeightedInpainting((first.sums + second.sums) / 2)
    alone = image_intervals([mean], draws=500)["mean_l1"]
    assert both.ends == pytest.approx(alone.ends)


@pytest.mark.parametrize(
    ("metric", "images", "rarest", "reason"),
    [
        ("mean_ap_voc07_11pt", 4952, 97, "recall 0"),
        ("mean_ap_area", 300, 6, "in 6 images; .* from 20"),
        ("mean_ap_sklearn", 200, 5, "in 5 images; .* from 20"),
        ("mean_iou", 40, 9, "40 images; .* from 700"),
    ],
)
def test_no_interval_where_simulation_denies_it(
    metric: str, images: int, rarest: int, reason: str
) -> None:
    rule = RULES.get(metric, CoverageRule())
    found = image_interval(0.4, np.array([0.3, 0.5]), images, rarest, rule)
    assert found.ends is None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.reason)
    assert found.standard_error == pytest.approx(np.std([0.3, 0.5], ddof=1))


def test_no_interval_where_more_than_its_width_would_be_bias() -> None:
    draws = np.array([0.48, 0.5, 0.52])
    found = image_interval(0.47, draws, 4952, 97, RULES["mean_ap_area"])
    assert found.reason == "its bias of 1.5 standard errors cannot be taken away reliably"
    assert image_interval(0.47, draws, 4952, 97, RULES["mean_ap_sklearn"]).ends is not None
    assert image_interval(0.49, draws, 4952, 97, RULES["mean_ap_area"]).ends is not None
    assert image_interval(0.487, draws, 4952, 97, RULES["mean_ap_area"]).ends is None


def test_no_interval_of_what_is_not_a_number() -> None:
    for estimate, draws in ((np.nan, [1.0, 2.0]), (np.inf, [1.0, 2.0]), (1.0, [np.nan, 1.0])):
        found = image_interval(estimate, np.array(draws), 500, 500, CoverageRule())
        assert (found.ends, found.reason) == (None, "the score is not a finite number")


def test_classes_have_intervals_of_their_own() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((400, 3)) < [0.3, 0.02, 0.0], 1, -1)
    scores = labels + rng.normal(size=labels.shape)
    means, classes = average_precision_intervals(scores, labels, draws=300)
    assert means["mean_ap_sklearn"].ends is None
    common, rare, absent = classes["sklearn"]
    assert common.ends is not None
    assert rare.ends is None
    assert rare.standard_error > common.standard_error
    assert np.isnan(absent.standard_error)
    assert all(found.ends is None for found in classes["voc07_11pt"])
    run = WeightedAveragePrecision.from_scores(scores, labels)
    drawn = run.per_class(bootstrap_weights(400, 300, 0))
    assert common.standard_error == pytest.approx(drawn[0, 0].std(ddof=1))
    assert common.ends[0] < run.per_class(equal_weights(400))[0, 0, 0] < common.ends[1]


@pytest.mark.slow
def test_intervals_that_are_given_cover_what_they_say() -> None:
    """60 trials: a coverage of 95 % gives 52 or more in 99 of 100 such tests."""
    scorers = [scorer_of(score, "classification") for score in (0.12, 0.14)]
    first, second = (true_means(scorer, "classification") for scorer in scorers)
    scene = Scene(lambda n, rng: simulate_rows("classification", n, scorers, rng), (first, second))
    found = measure_coverage(scene, images=1250, trials=60, draws=200, seed=0)
    stepwise = DEFINITIONS.index("sklearn")
    assert found.covered[2, stepwise] * 60 >= 51
    assert (found.covered[3, [0, 2]] * 60 >= 51).all()
    assert found.given[stepwise] > 0.6
    # What has no interval would not have deserved one.
    eleven = DEFINITIONS.index("voc07_11pt")
    assert found.given[eleven] == 0
    assert found.covered[2, eleven] < 0.9


@pytest.mark.slow
def test_intervals_of_inpainting_cover_what_they_say() -> None:
    ratios = [0.0, -0.1]
    first, second = (true_inpainting(ratio) for ratio in ratios)
    scene = Scene(lambda n, rng: inpainting(n, ratios, rng), (first, second))
    found = measure_coverage(scene, images=100, trials=300, draws=200, seed=0)
    assert (found.covered[2:] * 300 >= 268).all()
    assert (found.given == 1).all()


def test_a_word_for_an_estimate_outside_its_interval() -> None:
    assert outside_word(0.5, 0.4, 0.6) == outside_word(0.5, 0.5, 0.5) == ""
    assert "too high" in outside_word(0.7, 0.4, 0.6)
    assert "too low" in outside_word(0.3, 0.4, 0.6)
