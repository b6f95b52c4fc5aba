import math

import numpy as np
import pytest
from scipy import stats

from cebench.reporting.replication import nested_summary


def test_two_pretrainings_of_two_fine_tunings_solved_by_hand() -> None:
    # Means 2 and 6. MSW = (2 + 2) / 2 = 2; MSB = 2 (4 + 4) / 1 = 16; between (16 - 2) / 2 = 7.
    found = nested_summary([[1.0, 3.0], [5.0, 7.0]])
    assert found.mean == 4
    assert found.sd_within == pytest.approx(math.sqrt(2))
    assert found.sd_between == pytest.approx(math.sqrt(7))
    assert found.sd_run == pytest.approx(3)
    # The means' standard deviation, sqrt(8), over sqrt(2).
    assert found.standard_error == pytest.approx(2)
    assert (found.pretrainings, found.fine_tunings) == (2, (2, 2))


def test_balanced_variances_follow_from_scipys_f() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3)) + np.arange(4)[:, None]
    found = nested_summary(values.tolist())
    f = stats.f_oneway(*values).statistic
    assert found.sd_between**2 == pytest.approx(found.sd_within**2 * (f - 1) / 3)
    assert found.standard_error == pytest.approx(stats.sem(values.mean(axis=1)))


def test_without_repeated_fine_tunings_the_spread_is_that_of_pretrainings() -> None:
    found = nested_summary([[1.0], [2.0], [6.0]])
    assert found.sd_between == found.sd_run == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert math.isnan(found.sd_within)
    assert found.standard_error == pytest.approx(stats.sem([1, 2, 6]))


def test_one_pretraining_says_nothing_about_pretrainings() -> None:
    found = nested_summary([[1.0, 2.0, 6.0]])
    assert found.sd_run == found.sd_within == pytest.approx(np.std([1, 2, 6], ddof=1))
    assert math.isnan(found.sd_between)
    assert math.isnan(found.standard_error)


def test_a_pretraining_counts_once_however_often_it_was_fine_tuned() -> None:
    assert nested_summary([[1.0, 1.0, 1.0], [4.0]]).mean == 2.5


def test_less_spread_between_than_within_is_none() -> None:
    found = nested_summary([[0.0, 4.0], [1.0, 3.0]])
    assert found.sd_between == 0
    assert found.sd_run == found.sd_within == pytest.approx(math.sqrt(5))


def test_unequal_numbers_of_fine_tunings_give_unbiased_variances() -> None:
    rng = np.random.default_rng(0)
    between, within, error = [], [], []
    for _ in range(3000):
        tunings = [rng.normal(3 * rng.normal(), 1.0, size=n).tolist() for n in (1, 2, 5, 3)]
        found = nested_summary(tunings)
        between.append(found.sd_between**2)
        within.append(found.sd_within**2)
        error.append((found.mean, found.standard_error**2))
    assert np.mean(within) == pytest.approx(1.0, rel=0.05)
    assert np.mean(between) == pytest.approx(9.0, rel=0.05)
    means, squares = np.array(error).T
    assert squares.mean() == pytest.approx(means.var(), rel=0.08)


@pytest.mark.parametrize("values", [[], [[1.0], []]])
def test_missing_values_are_refused(values: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        nested_summary(values)
