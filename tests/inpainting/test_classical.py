"""Fillings without a network: by hand, against the libraries, and blind to what they replace."""

import cv2
import numpy as np
import pytest
from skimage.restoration import inpaint_biharmonic

from cebench.errors import InputError
from cebench.inpainting.classical import CLASSICAL, mean_of_context, patch_match
from cebench.inpainting.patch_match import PATCH, patch_match_fill


def smooth(count: int, side: int = 48) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (side, side)) for image in coarse])


def centre(side: int = 48, low: int = 16, high: int = 30) -> np.ndarray:
    hole = np.zeros((side, side), bool)
    hole[low:high, low:high] = True
    return hole


@pytest.mark.parametrize("way", CLASSICAL)
def test_only_the_hole_changes_and_what_was_in_it_never_matters(way: str) -> None:
    images, hole = smooth(2), centre()
    changed = images.copy()
    changed[:, hole] = 255 - changed[:, hole]
    filled = CLASSICAL[way](images, hole)
    np.testing.assert_array_equal(filled[:, ~hole], images[:, ~hole])
    np.testing.assert_array_equal(filled, CLASSICAL[way](changed, hole))
    np.testing.assert_array_equal(filled[1:], CLASSICAL[way](images[1:], hole))


def test_mean_row_is_the_mean_of_what_is_visible() -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    hole = centre(4, 1, 3)
    image[0, 0] = (30, 60, 120)  # 4 of 12 visible pixels
    image[0, hole] = 255
    assert (mean_of_context(image, hole)[0, hole] == (10, 20, 40)).all()


def test_library_rows_are_the_libraries() -> None:
    images, hole = smooth(1), centre()
    blank, mask = mean_of_context(images, hole)[0], hole.astype(np.uint8)
    for row, method in (("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)):
        expected = cv2.inpaint(blank, mask, 3, method)
        np.testing.assert_array_equal(CLASSICAL[row](images, hole)[0][hole], expected[hole])
    surface = inpaint_biharmonic(blank / 255, hole, channel_axis=-1).clip(0, 1) * 255
    filled = CLASSICAL["biharmonic"](images, hole)[0]
    assert np.abs(filled[hole] - surface[hole]).max() <= 0.5


def test_patch_match_continues_a_texture_that_repeats() -> None:
    y, x = np.mgrid[:64, :64]
    stripes = np.stack([x % 8 * 30, y % 8 * 30, np.zeros_like(x)], axis=-1).astype(np.uint8)
    hole = centre(64, 24, 40)
    error = np.abs(patch_match_fill(stripes, hole, 0)[hole].astype(int) - stripes[hole])
    mean = np.abs(mean_of_context(stripes[None], hole)[0][hole].astype(int) - stripes[hole])
    assert error.mean() < mean.mean() / 4


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_patch_match_fills_a_hole_in_a_saturated_sky_above_a_texture() -> None:
    """Most patches match without error, and those at the ground are far from all the others."""
    image = np.full((96, 96, 3), 255, np.uint8)
    image[60:] = np.random.default_rng(0).integers(40, 160, (36, 96, 3))
    hole = np.zeros((96, 96), bool)
    hole[20:62, 30:70] = True
    filled = patch_match_fill(image, hole, 0)
    assert filled[25:50, 40:60].min() > 200
    assert filled[20:60, 30:70].min() == 255  # The far patches have next to no vote.


def test_patch_match_is_a_function_of_the_seed() -> None:
    images, hole = smooth(1), centre()
    first, again, other = (patch_match(images, hole, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_patch_match_fills_holes_at_the_border_and_of_one_pixel() -> None:
    image = smooth(1, 40)[0]
    for part in (np.s_[:12, :], np.s_[0, 0], np.s_[39:, 5:30], np.s_[10:12, :]):
        hole = np.zeros((40, 40), bool)
        hole[part] = True
        filled = patch_match_fill(image, hole, 0)
        np.testing.assert_array_equal(filled[~hole], image[~hole])


def test_patch_match_needs_one_visible_patch() -> None:
    hole = np.ones((20, 20), bool)
    hole[:PATCH, : PATCH - 1] = False
    with pytest.raises(InputError, match="7 x 7 pixels that is wholly visible"):
        patch_match_fill(smooth(1, 20)[0], hole, 0)
    hole[:PATCH, :PATCH] = False
    assert patch_match_fill(smooth(1, 20)[0], hole, 0).shape == (20, 20, 3)
