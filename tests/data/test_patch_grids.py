"""Grids of patches against the released code's own loop, written anew from its description."""

import numpy as np
import pytest

from cebench.data.patch_grids import (
    GridLayout,
    join_grids,
    neighbour_pairs,
    sample_grids,
)

LAYOUT = GridLayout()
PIXELS = (150_000, 450_000)


def looped_pairs(rows: int, columns: int) -> set[tuple[int, int, int]]:
    """Every ordered pair of patches whose rows and columns differ by at most 1."""
    found = set()
    for a in range(rows * columns):
        for b in range(rows * columns):
            down, right = b // columns - a // columns, b % columns - a % columns
            if a == b or max(abs(down), abs(right)) > 1:
                continue
            number = 3 * (down + 1) + right + 1
            found.add((a, b, number if number < 4 else number - 1))
    return found


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 2), (3, 3), (3, 5)])
def test_pairs_are_those_of_the_loop(shape: tuple[int, int]) -> None:
    first, second, label = neighbour_pairs(*shape)
    pairs = list(zip(first.tolist(), second.tolist(), label.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == looped_pairs(*shape)


@pytest.mark.parametrize("layout", [LAYOUT, GridLayout(48, 12, 3)])
def test_mean_counts_are_those_of_every_origin(layout: GridLayout) -> None:
    height, width, step = 421, 557, layout.step
    counts = [
        (rows * columns, len(first))
        for y in range(0, step)
        for x in range(0, step)
        for rows, columns in [((height + layout.gap - y) // step, (width + layout.gap - x) // step)]
        for first, _, _ in [neighbour_pairs(rows, columns)]
    ]
    expected = np.mean(counts, axis=0)
    assert layout.mean_patches_and_pairs(height, width) == pytest.approx(expected)


def test_labels_of_a_grid_of_two_by_two() -> None:
    """0 1 / 2 3: from 0 the second patch lies east (4), south (6) and south-east (7)."""
    first, second, label = neighbour_pairs(2, 2)
    from_0 = {(int(s), int(v)) for f, s, v in zip(first, second, label, strict=True) if f == 0}
    assert from_0 == {(1, 4), (2, 6), (3, 7)}
    from_3 = {(int(s), int(v)) for f, s, v in zip(first, second, label, strict=True) if f == 3}
    assert from_3 == {(0, 0), (1, 1), (2, 3)}


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (64, 64), (200, 1000)])
def test_patches_lie_in_the_image_and_where_their_labels_say(height: int, width: int) -> None:
    sizes = []
    for seed in range(40):
        grids = sample_grids(height, width, 4, PIXELS, LAYOUT, np.random.default_rng(seed))
        scale = grids.scales[0]
        assert (grids.scales == scale).all()
        assert grids.tops.min() >= 0 <= grids.lefts.min()
        assert grids.tops.max() + 96 <= round(height * scale)
        assert grids.lefts.max() + 96 <= round(width * scale)
        down, right = np.divmod(np.where(grids.labels < 4, grids.labels, grids.labels + 1), 3)
        for corners, towards in ((grids.tops, down - 1), (grids.lefts, right - 1)):
            moved = corners[grids.second] - corners[grids.first]
            assert (np.abs(moved - 144 * towards) <= 14).all()
        sizes.append(height * width * scale**2)
    if min(height, width) / max(height, width) > 0.5:
        assert PIXELS[0] <= min(sizes) < 200_000
        assert 400_000 < max(sizes) <= PIXELS[1]


def test_a_narrow_image_is_enlarged_until_two_patches_fit() -> None:
    grids = sample_grids(50, 1000, 4, PIXELS, LAYOUT, np.random.default_rng(0))
    assert grids.scales[0] * 50 == pytest.approx(2 * 96 + 48 + 7 + 1)


def test_origins_and_jitter_are_uniform() -> None:
    """The first patch of a grid: an origin of 0..143 and a jitter of -7..7, clipped at 0."""
    firsts = []
    for seed in range(2000):
        grids = sample_grids(600, 600, 1, (360_000, 360_000), LAYOUT, np.random.default_rng(seed))
        firsts.append((grids.tops[0], grids.lefts[0]))
    corners = np.array(firsts)
    assert corners.min() == 0
    assert corners.max() in range(146, 151)
    assert corners.mean(0) == pytest.approx([71.5, 71.5], abs=4 * 41.8 / 2000**0.5 + 0.2)


def test_every_grid_has_a_pair_from_the_stated_size_on() -> None:
    least = LAYOUT.fewest_pixels_with_pairs
    assert least == 383**2
    for shape in ((383, 383), (200, 734), (100, 1467)):
        for seed in range(100):
            rng = np.random.default_rng(seed)
            assert len(sample_grids(*shape, 1, (least, least), LAYOUT, rng).labels) >= 2


def test_joined_grids_keep_their_pairs() -> None:
    parts = [sample_grids(375, 500, 2, PIXELS, LAYOUT, np.random.default_rng(s)) for s in (0, 1)]
    joined, before = join_grids(parts), len(parts[0].tops)
    count = len(parts[0].labels)
    assert len(joined.tops) == before + len(parts[1].tops)
    np.testing.assert_array_equal(joined.first[:count], parts[0].first)
    np.testing.assert_array_equal(joined.second[count:] - before, parts[1].second)
    np.testing.assert_array_equal(
        joined.lefts[joined.first[count:]], parts[1].lefts[parts[1].first]
    )
