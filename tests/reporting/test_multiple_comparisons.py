from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cebench.reporting.multiple_comparisons import compact_letters, holm_adjusted


def test_holm_solved_by_hand() -> None:
    # Sorted: .01 x 4, .02 x 3, .03 x 2 (raised to the .06 before it), .5 x 1.
    assert holm_adjusted([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm_adjusted([0.6, 0.7]) == [1.0, 1.0]
    assert holm_adjusted([]) == []


def test_holm_leaves_out_what_has_no_p() -> None:
    adjusted = holm_adjusted([0.04, float("nan"), 0.01])
    assert adjusted[::2] == pytest.approx([0.04, 0.02])
    assert np.isnan(adjusted[1])


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.01, 0.2))
def test_holm_rejects_what_the_step_down_procedure_rejects(values: list[float], a: float) -> None:
    rejected = set()
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        if values[index] * (len(values) - rank) > a:
            break
        rejected.add(index)
    adjusted = holm_adjusted(values)
    assert {index for index, p in enumerate(adjusted) if p <= a} == rejected


def matrix(rows: int, *pairs: tuple[int, int]) -> np.ndarray:
    differ = np.zeros((rows, rows), np.bool_)
    for first, second in pairs:
        differ[first, second] = differ[second, first] = True
    return differ


@pytest.mark.parametrize(
    ("differ", "letters"),
    [
        (matrix(3), ["a", "a", "a"]),
        (matrix(3, (0, 2)), ["a", "ab", "b"]),
        (matrix(3, (0, 1), (0, 2), (1, 2)), ["a", "b", "c"]),
        (matrix(4, (0, 2), (0, 3), (1, 3)), ["a", "ab", "bc", "c"]),
        # The middle row differs from both ends, which do not differ.
        (matrix(3, (0, 1), (1, 2)), ["a", "b", "a"]),
        (matrix(0), []),
    ],
)
def test_letters_solved_by_hand(differ: np.ndarray, letters: list[str]) -> None:
    assert compact_letters(differ) == letters


@st.composite
def difference_matrices(draw: st.DrawFn) -> np.ndarray:
    rows = draw(st.integers(1, 7))
    pairs = list(combinations(range(rows), 2))
    return matrix(rows, *(pair for pair in pairs if draw(st.booleans())))


@given(difference_matrices())
def test_rows_share_a_letter_exactly_if_they_do_not_differ(differ: np.ndarray) -> None:
    letters = compact_letters(differ)
    for first, second in combinations(range(len(differ)), 2):
        assert bool(set(letters[first]) & set(letters[second])) != differ[first, second]


@given(difference_matrices())
def test_letters_are_the_largest_groups_without_a_difference(differ: np.ndarray) -> None:
    rows = range(len(differ))
    alike = [
        set(group)
        for size in range(1, len(differ) + 1)
        for group in combinations(rows, size)
        if not differ[np.ix_(group, group)].any()
    ]
    largest = [group for group in alike if not any(group < other for other in alike)]
    letters = compact_letters(differ)
    found = [{row for row in rows if letter in letters[row]} for letter in set("".join(letters))]
    assert sorted(map(sorted, found)) == sorted(map(sorted, largest))


def test_letters_past_z_stay_different() -> None:
    rows = 30
    every = matrix(rows, *combinations(range(rows), 2))
    letters = compact_letters(every)
    assert letters[25:28] == ["z", "a'", "b'"]


@pytest.mark.parametrize(
    "differ", [np.array([[False, True], [False, False]]), np.eye(2, dtype=bool), np.zeros(3, bool)]
)
def test_a_matrix_that_is_no_matrix_of_differences_is_refused(differ: np.ndarray) -> None:
    with pytest.raises(ValueError, match="symmetric"):
        compact_letters(differ)
