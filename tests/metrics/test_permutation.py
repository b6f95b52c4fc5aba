import numpy as np
import pytest
from scipy import stats

from cebench.metrics.permutation import swap_test
from cebench.metrics.weighted_average_precision import WeightedAveragePrecision
from cebench.metrics.weighted_inpainting import WeightedInpainting


def inpainting(psnr: np.ndarray) -> WeightedInpainting:
    """A run that differs from others in PSNR alone."""
    ones = np.ones(len(psnr))
    return WeightedInpainting(np.stack([ones, ones, ones, psnr, ones]))


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5])
def test_p_of_a_mean_is_that_of_scipys_exact_test(shift: float) -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(2, 9)) + np.array([[shift], [0.0]])
    exact = stats.permutation_test(
        (first, second), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples"
    )
    found = swap_test(inpainting(first), inpainting(second), permutations=20_000)
    assert found[2] == pytest.approx(exact.pvalue, abs=0.012)


def test_permutations_beyond_those_scored_at_once_are_others() -> None:
    rng = np.random.default_rng(1)
    first, second = (inpainting(rng.normal(size=40) + mean) for mean in (0.4, 0.0))
    one, three = (swap_test(first, second, permutations=n)[2] for n in (1999, 5999))
    assert three == pytest.approx(one, abs=0.03)
    assert round(one * 2000) * 3 != round(three * 6000)
    assert three * 6000 == pytest.approx(round(three * 6000))


def test_runs_that_are_equal_everywhere_have_p_of_one() -> None:
    run = inpainting(np.arange(5.0))
    np.testing.assert_array_equal(swap_test(run, run, permutations=50), 1.0)


def test_a_metric_that_does_not_exist_has_no_p() -> None:
    run = WeightedAveragePrecision.from_scores(np.zeros((4, 1)), np.full((4, 1), -1))
    assert np.isnan(swap_test(run, run, permutations=10)).all()


def test_a_clear_difference_in_average_precision_is_found_whatever_the_scale() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((300, 3)) < 0.2, 1, -1)
    good, bad = (labels * d + rng.normal(size=labels.shape) for d in (1.0, 0.4))
    runs = [WeightedAveragePrecision.from_scores(s, labels) for s in (good, 1000 * bad)]
    assert (swap_test(*runs, permutations=199) == 1 / 200).all()
    # Which row is first does not matter.
    np.testing.assert_array_equal(
        swap_test(*runs, permutations=99), swap_test(*reversed(runs), permutations=99)
    )
