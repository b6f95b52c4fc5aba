import numpy as np
import pytest
import torch
from skimage.feature import hog

from cebench.models.retrieval import context_hog, nearest_neighbours


def centre_hole(size: int, low: int, high: int) -> np.ndarray:
    hole = np.zeros((size, size), bool)
    hole[low:high, low:high] = True
    return hole


def test_neighbours_are_those_of_all_distances_in_float64() -> None:
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(300, 40, generator=generator) + 10
    queries = torch.randn(50, 40, generator=generator) + 10
    distances = torch.cdist(queries.double(), gallery.double())
    index, distance = nearest_neighbours(queries, gallery)
    assert torch.equal(index, distances.argmin(dim=1))
    torch.testing.assert_close(distance, distances.amin(dim=1))


def test_equal_neighbours_are_settled_by_the_lowest_index() -> None:
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(20, 7, generator=generator).repeat(30, 1)
    index, distance = nearest_neighbours(gallery[200:240].clone(), gallery)
    assert torch.equal(index, torch.arange(200, 240) % 20)
    assert not distance.any()


def test_near_ties_are_decided_exactly_where_float32_products_cannot() -> None:
    # 1e4 + 0.002 and 1e4 + 0.001 from 1e4: squared norms of 1e8 swallow the difference.
    gallery = torch.full((2, 1), 1e4)
    gallery[0] += 0.002
    gallery[1] += 0.001
    index, distance = nearest_neighbours(torch.full((1, 1), 1e4), gallery)
    assert index.tolist() == [1]
    assert distance.item() == pytest.approx((gallery[1].double() - 1e4).item())


def test_hog_is_skimages_where_nothing_is_missing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    expected = hog(
        image.astype(float),
        orientations=9,
        pixels_per_cell=(8, 8),
        cells_per_block=(2, 2),
        channel_axis=-1,
    )
    features = context_hog(image[None], np.zeros((32, 40), bool))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[0], expected, atol=1e-5)


def test_what_is_in_the_hole_never_matters() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    hole = centre_hole(64, 20, 44)
    changed = images.copy()
    changed[:, hole] = rng.integers(0, 256, (2, 24 * 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(context_hog(images, hole), context_hog(changed, hole))


def test_descriptor_length_of_the_paris_hole() -> None:
    # 16 x 16 cells make 15 x 15 blocks of 4 cells. Rows and columns 36..91 touch the 64 cells
    # 4..11; none lies on the border, so each stands in 4 blocks: (900 - 256) * 9 values are left.
    images = np.zeros((1, 128, 128, 3), np.uint8)
    assert context_hog(images, centre_hole(128, 36, 92)).shape == (1, 5796)
