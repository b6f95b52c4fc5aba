"""Texture of holes, from images whose detail is known."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from cebench.metrics.texture import grouped_by_texture, texture_share
from cebench.plots import texture as chart

SIDE = 64
HOLE = np.zeros((SIDE, SIDE), dtype=bool)
HOLE[16:48, 16:48] = True
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def test_a_board_is_texture_a_slope_is_none_and_grey_has_neither() -> None:
    assert texture_share(grey((ROWS + COLUMNS) % 2 * 255), HOLE) == pytest.approx(1, abs=0.01)
    assert texture_share(grey(COLUMNS * 4), HOLE) < 0.001
    assert texture_share(np.full((SIDE, SIDE, 3), 128, dtype=np.uint8), HOLE) == 0


@pytest.mark.parametrize(("period", "share"), [(8, 0.9857), (16, 0.5024), (32, 0.0704)])
def test_waves_lose_what_the_gaussian_leaves_of_them(period: int, share: float) -> None:
    """A Gaussian of 4 pixels leaves exp(-(2 pi 4 / period)^2 / 2) of a wave."""
    wave = np.sin(2 * np.pi * COLUMNS / period)
    assert texture_share(grey(wave), HOLE) == pytest.approx(share, abs=0.02)


def test_a_share_is_never_more_than_all() -> None:
    """Beside an edge, what the Gaussian brings in can exceed what varies inside."""
    image = np.where(HOLE, 0.0, 255.0)
    image[30, 30] = 1
    assert texture_share(grey(image), HOLE) == 1


def test_what_lies_outside_the_hole_counts_for_nothing_far_away() -> None:
    image = grey((COLUMNS * 4).astype(float))
    image[:2] = 255 * ((ROWS + COLUMNS) % 2)[:2, :, None]
    assert texture_share(image, HOLE) < 0.001


def test_groups_go_from_least_texture_to_most() -> None:
    shares = np.array([0.9, 0.1, 0.5, 0.3, 0.7])
    errors = {"network": np.array([5.0, 1, 3, 2, 4]), "copying": np.array([4.0, 2, 3, 4, 4])}
    first, second = grouped_by_texture(shares, errors, 2)
    assert (first.least, first.most, first.images) == (0.1, 0.5, 3)
    assert (second.least, second.most, second.images) == (0.7, 0.9, 2)
    assert first.mean_l1 == {"network": 2, "copying": 3}
    # Differences 1, 2 and 0: mean 1, deviation 1.
    assert first.behind_first["copying"] == pytest.approx((1, 1 / 3**0.5))
    assert second.behind_first["copying"] == pytest.approx((-0.5, 0.5))


def test_the_chart_has_a_line_of_each_row_over_percents(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(chart, "save_figure", lambda figure, path: drawn.append(figure))
    errors = {"network": np.array([0.05, 0.01]), "copying": np.array([0.04, 0.02])}
    groups = grouped_by_texture(np.array([0.9, 0.1]), errors, 2)
    chart.plot_error_by_texture(groups, Path("unused.png"))
    lines = drawn[0].axes[0].lines
    assert [line.get_label() for line in lines] == ["network", "copying"]
    np.testing.assert_allclose(np.asarray(lines[1].get_xydata()), [[10, 2], [90, 4]])


def test_one_image_is_one_group_without_error() -> None:
    (group,) = grouped_by_texture(np.array([0.2]), {"a": np.ones(1), "b": np.zeros(1)}, 4)
    assert group.behind_first == {"b": (-1.0, 0.0)}
