"""Batched HOG against scikit-image's, and the part of it that surrounds a hole."""

import numpy as np
import pytest
import torch
from skimage import feature

from cebench.inpainting.hog import context_hog, hog


def of_skimage(image: np.ndarray) -> np.ndarray:
    return feature.hog(
        image.astype(float),
        orientations=9,
        pixels_per_cell=(8, 8),
        cells_per_block=(2, 2),
        channel_axis=-1,
        feature_vector=False,
    )


def centre_hole(size: int, low: int, high: int) -> np.ndarray:
    hole = np.zeros((size, size), bool)
    hole[low:high, low:high] = True
    return hole


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", [(3, 32, 40, 3), (1, 16, 16, 3), (2, 24, 48, 1)])
def test_hog_is_skimages(shape: tuple[int, ...]) -> None:
    images = noise(*shape)
    images[0, :9] = 7  # no gradient at all
    found = hog(torch.from_numpy(images).permute(0, 3, 1, 2).double())
    expected = np.stack([of_skimage(image) for image in images])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_a_ramp_to_the_right_falls_into_the_first_bin_of_every_cell() -> None:
    # Differences of 2 everywhere but in the two border columns, in the direction of 0 degrees.
    ramp = torch.arange(16.0, dtype=torch.float64).expand(1, 1, 16, 16)
    cells = hog(ramp)[0, 0, 0]
    assert not cells[..., 1:].any()
    # Four equal values x: x / (2 x) = 0.5, clipped to 0.2, and 0.5 again.
    assert cells[..., 0].flatten().tolist() == pytest.approx([0.5] * 4, abs=1e-3)


@pytest.mark.parametrize("cells", ["dropped", "filled"])
def test_what_is_in_the_hole_never_matters(cells: str) -> None:
    images, hole = noise(2, 64, 64, 3), centre_hole(64, 20, 44)
    changed = images.copy()
    changed[:, hole] = 255 - changed[:, hole]
    before, after = (context_hog(batch, hole, cells) for batch in (images, changed))  # type: ignore[arg-type]
    np.testing.assert_array_equal(before, after)


def test_filled_cells_are_those_of_the_image_with_the_mean_colour_in_its_hole() -> None:
    image, hole = noise(1, 64, 64, 3), centre_hole(64, 20, 44)
    filled = image[0].astype(float)
    filled[hole] = image[0][~hole].mean(axis=0)
    found = context_hog(image, hole, "filled")
    np.testing.assert_allclose(found[0], of_skimage(filled).ravel(), atol=1e-6)


def test_descriptor_length_of_the_paris_hole() -> None:
    # 16 x 16 cells make 15 x 15 blocks of 4 cells. Rows and columns 36..91 touch the 64 cells
    # 4..11, none at the border, so that each stands in 4 blocks: (900 - 256) * 9 values are left.
    images, hole = np.zeros((1, 128, 128, 3), np.uint8), centre_hole(128, 36, 92)
    assert context_hog(images, hole, "dropped").shape == (1, 5796)
    assert context_hog(images, hole, "filled").shape == (1, 8100)
