import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from cebench.data.poses import window_side
from cebench.data.views import shifted_and_turned


@pytest.mark.parametrize(
    ("shift", "turn"),
    [((0.0, 0.0), 0.0), ((3.5, -2.0), 0.2), ((0.0, 0.0), -0.5), ((-4.0, 4.0), 0.26)],
)
def test_views_are_scipys_affine_maps(shift: tuple[float, float], turn: float) -> None:
    window = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 60)), 1)
    view = shifted_and_turned(
        torch.tensor(window)[None, None].expand(1, 3, -1, -1).float(),
        torch.tensor([shift]),
        torch.tensor([turn]),
        30,
    )[0, 0]
    # Rows first: (y, x) of the view's pixels, counted from its middle, to those of the window.
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    middle = np.array([29.5 + shift[1], 29.5 + shift[0]])
    expected = ndimage.affine_transform(
        window, matrix, middle - matrix @ np.array([14.5, 14.5]), (30, 30), order=1
    )
    np.testing.assert_allclose(view.numpy(), expected, atol=1e-4)


def test_the_window_holds_every_view() -> None:
    """A window of ones in a border of zeros: no view reaches beyond the border of one pixel."""
    side, most_shift, most_turn = 31, 5.0, 0.3
    window = torch.zeros(1, 3, window_side(side, most_shift, most_turn), 1)
    window = window.expand(-1, -1, -1, window.shape[2]).clone()
    window[..., 1:-1, 1:-1] = 1
    for x in (-most_shift, most_shift):
        for turn in (-most_turn, 0.0, most_turn):
            view = shifted_and_turned(window, torch.tensor([[x, -x]]), torch.tensor([turn]), side)
            assert view.min() > 0.999
