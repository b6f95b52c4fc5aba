"""Blends: nothing outside of the hole changes; what they do inside, by hand."""

import numpy as np
import pytest

from cebench.inpainting import blending
from cebench.inpainting.blending import BLENDS, feather, paste, poisson


def noise(seed: int, height: int = 40, width: int = 50) -> np.ndarray:
    size = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def holes() -> dict[str, np.ndarray]:
    empty = np.zeros((40, 50), np.bool_)
    corner, pixel, frame = empty.copy(), empty.copy(), ~empty
    corner[:20, :30] = True
    pixel[39, 49] = True
    frame[5:35, 5:45] = False
    speckle = np.random.default_rng(2).random((40, 50)) < 0.3
    return {"corner": corner, "pixel": pixel, "frame": frame, "speckle": speckle}


@pytest.mark.parametrize("name", holes())
@pytest.mark.parametrize("blend", BLENDS)
def test_pixels_outside_of_the_hole_are_equal_to_the_bit(blend: str, name: str) -> None:
    hole, image, filled = holes()[name], noise(0), noise(1)
    blended = BLENDS[blend](image, filled, hole)
    assert blended.dtype == np.uint8
    np.testing.assert_array_equal(blended[~hole], image[~hole])
    hidden = image.copy()
    hidden[hole] = 0
    np.testing.assert_array_equal(BLENDS[blend](hidden, filled, hole)[hole], blended[hole])


def test_paste_takes_the_filling_as_it_is() -> None:
    hole = holes()["corner"]
    blended = paste(noise(0), noise(1), hole)
    np.testing.assert_array_equal(blended[hole], noise(1)[hole])


def test_feather_fades_from_the_edge_to_the_filling() -> None:
    image, filled = np.full((60, 60, 3), 100, np.uint8), np.full((60, 60, 3), 200, np.uint8)
    hole = np.zeros((60, 60), np.bool_)
    hole[4:56, 4:56] = True
    row = feather(image, filled, hole)[30, :30, 0]
    # Weight d / 13 at depth d, the band being 12 wide.
    expected = [100] * 4 + [round(100 + 100 * depth / 13) for depth in range(1, 14)]
    np.testing.assert_array_equal(row[:17], expected)
    assert (row[17:] == 200).all()


def test_poisson_takes_away_a_wrong_brightness_and_keeps_the_texture() -> None:
    texture = np.zeros((40, 50, 3))
    texture[15:25, 20:30] = np.random.default_rng(0).integers(-20, 20, (10, 10, 3))
    image = (120 + texture).astype(np.uint8)
    hole = np.zeros((40, 50), np.bool_)
    hole[10:30, 15:35] = True
    darker = (60 + texture).astype(np.uint8)
    np.testing.assert_array_equal(poisson(image, darker, hole), image)


def test_poisson_of_two_pixels_by_hand() -> None:
    # 10 [a b] 40 in one row, filled with 0 and 6: e_a - 10 = e_b - e_a - 0 ... in full,
    # minimise (e_a - 10)^2 + (e_b - e_a)^2 + (e_b - 34)^2: e_a = 18, e_b = 26.
    image = np.repeat(np.array([[10, 0, 0, 40]], np.uint8)[..., None], 3, axis=2)
    filled = np.repeat(np.array([[10, 0, 6, 40]], np.uint8)[..., None], 3, axis=2)
    blended = poisson(image, filled, np.array([[False, True, True, False]]))
    assert blended[0, :, 0].tolist() == [10, 18, 32, 40]


def test_poisson_in_blocks_is_close_to_poisson_by_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.mgrid[:120, :140]
    image = np.stack([y, x, (x + y) // 2], axis=-1).astype(np.uint8)
    hole = (y - 60) ** 2 + (x - 70) ** 2 < 45**2
    filled = np.full_like(image, 128)
    exact = poisson(image, filled, hole).astype(int)
    monkeypatch.setattr(blending, "MOST_UNKNOWNS", np.count_nonzero(hole) // 9)
    coarse = poisson(image, filled, hole).astype(int)
    # The filling is 60 off at the edge.
    assert np.abs(coarse - exact).mean() < 2
    assert np.abs(coarse - image).mean() < 2
    np.testing.assert_array_equal(coarse[~hole], image[~hole])


def test_the_middle_of_a_small_hole_is_the_filling() -> None:
    hole = np.zeros((40, 50), np.bool_)
    hole[10:16, 10:30] = True
    image, filled = np.zeros((40, 50, 3), np.uint8), np.full((40, 50, 3), 200, np.uint8)
    assert feather(image, filled, hole)[10:16, 20, 0].tolist() == [80, 160, 200, 200, 160, 80]


def test_a_correction_beyond_white_stays_white() -> None:
    hole = np.zeros((9, 9), np.bool_)
    hole[3:6, 3:6] = True
    image, filled = np.full((9, 9, 3), 230, np.uint8), np.full((9, 9, 3), 200, np.uint8)
    filled[4, 4] = 250
    assert poisson(image, filled, hole)[4, 4].tolist() == [255] * 3
