import numpy as np

from cebench.plots.sheets import best_median_worst


def test_three_of_the_best_median_and_worst_come_once_each() -> None:
    values = np.array([0.1, np.nan, 0.9, 0.5, 0.8, 0.2, 0.4, 0.6, 0.3, 0.7])
    assert best_median_worst(values, 9) == [
        *[("best", 2), ("best", 4), ("best", 9)],
        *[("median", 7), ("median", 3), ("median", 6)],
        *[("worst", 8), ("worst", 5), ("worst", 0)],
    ]
    assert best_median_worst(values, 3) == [("best", 2), ("median", 3), ("worst", 0)]


def test_few_values_are_chosen_once_and_undefined_ones_not_at_all() -> None:
    assert best_median_worst(np.array([0.5]), 9) == [("best", 0)]
    assert best_median_worst(np.array([0.2, 0.7]), 9) == [("best", 1), ("worst", 0)]
    assert best_median_worst(np.array([0.4, 0.4, 0.4]), 9) == [
        *[("best", 0), ("median", 1), ("worst", 2)],
    ]
    assert best_median_worst(np.array([np.nan]), 9) == []
