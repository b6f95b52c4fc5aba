import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from cebench.data.store.ragged import RaggedImages
from cebench.randomness import numpy_generator
from cebench.transfer.classification.data import AREAS, crops_at, sample_by_area, sample_scaled


def gradient_image(height: int, width: int) -> np.ndarray:
    """Red is the row, green the column: a crop tells where it comes from."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    return image


def sizes(height: int, width: int, count: int) -> np.ndarray:
    return np.tile([height, width], (count, 1))


def test_scaled_crops_have_the_recovered_geometry() -> None:
    """Scale uniform in [0.5, min(2, side / 227)], inside the image, mirrored half of the time."""
    height, width, count = 240, 250, 400
    images = RaggedImages.from_arrays([gradient_image(height, width)])
    places = sample_scaled(sizes(height, width, count), 227, (0.5, 2.0), numpy_generator(0, "t"))
    crops = crops_at(images, np.zeros(count, np.int64), places, 227)
    assert crops.shape == (count, 3, 227, 227)
    red, green = crops[:, 0, :, 113], crops[:, 1, 113]
    scale = (red[:, -1] - red[:, 0]) / 226
    largest = 240 / 227
    assert scale.min() > 0.49
    assert scale.max() < largest + 0.01
    assert scale.mean() == pytest.approx((0.5 + largest) / 2, abs=0.03)
    mirrored = green[:, -1] < green[:, 0]
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.08)
    top, bottom = red[:, 0], red[:, -1]
    assert top.min() < 10
    assert bottom.max() > height - 10


def test_an_image_smaller_than_the_crop_is_enlarged_whole() -> None:
    """60 x 80: the largest scale is 60 / 227 < 0.5, so the crop's side is the shorter side."""
    images = RaggedImages.from_arrays([gradient_image(60, 80)])
    places = sample_scaled(sizes(60, 80, 8), 227, (0.5, 2.0), numpy_generator(0, "t"))
    np.testing.assert_allclose(places.scale, 60 / 227)
    crops = crops_at(images, np.zeros(8, np.int64), places, 227)
    assert crops[:, 0, 0].max() <= 0.5
    assert crops[:, 0, -1].min() >= 58.5
    assert (crops[:, 0, 113] - 29.5).abs().max() <= 0.5


def test_crops_by_area_have_the_distribution_of_torchvisions_random_resized_crop() -> None:
    """Position and side of 4,000 crops of 300 x 500, against torchvision's own draws."""
    count, height, width = 4000, 300, 500
    places = sample_by_area(sizes(height, width, count), 224, numpy_generator(0, "t"))
    side = places.scale * 224
    torch.manual_seed(0)
    image = torch.zeros(3, height, width)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, list(AREAS), [1.0, 1.0]) for _ in range(count)]
    )
    for ours, column in ((places.y0, 0), (places.x0, 1), (side, 2)):
        assert ours.mean() == pytest.approx(theirs[:, column].mean(), abs=6)
        assert ours.std() == pytest.approx(theirs[:, column].std(), abs=5)
    # The square roots of a tenth and a half of 150,000 pixels are 122.5 and 273.9.
    assert 122 <= side.min() < 126
    assert 270 < side.max() <= 274
    assert ((places.x0 + side <= width + 1e-9) & (places.y0 + side <= height + 1e-9)).all()
    assert (places.x0 == np.floor(places.x0)).all()


def test_where_no_square_fits_the_central_one_is_taken() -> None:
    # 100 x 4000: a tenth of the area is a square of 200 pixels, which is too high.
    places = sample_by_area(sizes(100, 4000, 5), 224, numpy_generator(0, "t"))
    np.testing.assert_array_equal(places.scale * 224, 100)
    np.testing.assert_array_equal(places.x0, 1950)
    np.testing.assert_array_equal(places.y0, 0)
