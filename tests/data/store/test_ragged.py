import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cebench.data.images import read_image
from cebench.data.store.ragged import RaggedImages, load_ragged
from cebench.errors import InputError


def arrays(*shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in shapes]


def sample(image: np.ndarray, x: float, y: float) -> Any:
    """Bilinear interpolation at one point, written out."""
    height, width = image.shape[:2]
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = math.floor(x), math.floor(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    fx, fy = x - left, y - top
    image = image.astype(np.float64)
    upper = (1 - fx) * image[top, left] + fx * image[top, right]
    lower = (1 - fx) * image[bottom, left] + fx * image[bottom, right]
    return (1 - fy) * upper + fy * lower


def test_bilinear_crops_equal_an_explicit_loop_also_beyond_the_border(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = arrays((20, 31), (9, 7), (40, 25))
    ragged = RaggedImages.from_arrays(images)
    index = torch.tensor([2, 0, 1, 1])
    x0, y0 = torch.tensor([3.3, -2.0, 0.0, 4.5]), torch.tensor([1.7, 12.25, 0.0, -1.0])
    scale, flip = torch.tensor([1.6, 0.75, 0.5, 2.0]), torch.tensor([False, True, True, False])
    size = 11
    crops = ragged.bilinear_crops(index, x0, y0, scale, flip, size)
    expected = np.zeros((4, 3, size, size))
    for b in range(4):
        for i in range(size):
            for j in range(size):
                across = size - 1 - j if flip[b] else j
                x = float(x0[b]) + (across + 0.5) * float(scale[b]) - 0.5
                y = float(y0[b]) + (i + 0.5) * float(scale[b]) - 0.5
                expected[b, :, i, j] = sample(images[int(index[b])], x, y)
    assert crops.dtype == torch.float32
    assert crops.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(crops.numpy(), expected, atol=2e-3)
    # A GPU gathers all crops at once, the CPU takes them one by one: the same bits.
    monkeypatch.setattr(RaggedImages, "_looped_samples", RaggedImages._gathered_samples)
    assert torch.equal(ragged.bilinear_crops(index, x0, y0, scale, flip, size), crops)


def test_scale_one_at_whole_pixels_is_the_crop_itself() -> None:
    (image,) = arrays((12, 15))
    ragged = RaggedImages.from_arrays([image])
    zero, one = torch.tensor([0]), torch.tensor([1.0])
    crop = ragged.bilinear_crops(zero, one * 3, one * 2, one, torch.tensor([False]), 8)
    np.testing.assert_array_equal(crop[0].permute(1, 2, 0).numpy(), image[2:10, 3:11])


def test_a_doubled_row_has_the_quarter_points_of_the_half_pixel_convention() -> None:
    # Source 0, 100 upsampled twice: samples at -0.25, 0.25, 0.75, 1.25 -> 0, 25, 75, 100.
    row = np.array([[[0] * 3, [100] * 3]] * 2, dtype=np.uint8)
    ragged = RaggedImages.from_arrays([row])
    zero = torch.zeros(1)
    crop = ragged.bilinear_crops(
        torch.tensor([0]), zero, zero, zero + 0.5, torch.tensor([False]), 4
    )
    assert crop[0, 0, 0].tolist() == [0.0, 25.0, 75.0, 100.0]


def test_integer_crops_are_slices_and_flip_mirrors_columns() -> None:
    images = arrays((20, 31), (16, 16))
    ragged = RaggedImages.from_arrays(images)
    places = (
        torch.tensor([0, 1, 0]),
        torch.tensor([4, 0, 12]),
        torch.tensor([23, 8, 0]),
        torch.tensor([False, True, False]),
        8,
    )
    crops = ragged.integer_crops(*places)
    assert crops.dtype == torch.uint8
    assert crops.is_contiguous()
    np.testing.assert_array_equal(crops[0].permute(1, 2, 0).numpy(), images[0][4:12, 23:31])
    np.testing.assert_array_equal(crops[1].permute(1, 2, 0).numpy(), images[1][:8, 15:7:-1])
    np.testing.assert_array_equal(crops[2].permute(1, 2, 0).numpy(), images[0][12:20, :8])
    # The GPU takes another way to the same pixels.
    assert torch.equal(ragged._gathered_crops(*places), crops)


def test_a_crop_that_reaches_out_of_its_image_is_an_error() -> None:
    ragged = RaggedImages.from_arrays(arrays((20, 31)))
    zero = torch.tensor([0])
    with pytest.raises(ValueError, match="reaches out of its image"):
        ragged.integer_crops(zero, zero + 13, zero, torch.tensor([False]), 8)


def test_chosen_images_come_in_the_order_asked_for() -> None:
    images = arrays((5, 8), (1, 1), (7, 3))
    chosen = RaggedImages.from_arrays(images).select(np.array([2, 0]))
    assert len(chosen) == 2
    for i, image in enumerate((images[2], images[0])):
        np.testing.assert_array_equal(chosen.image(i).numpy(), image)


def test_images_are_kept_exactly_and_counted() -> None:
    images = arrays((5, 8), (1, 1), (7, 3))
    ragged = RaggedImages.from_arrays(images)
    assert len(ragged) == 3
    assert ragged.nbytes == 3 * (40 + 1 + 21)
    for i, image in enumerate(images):
        np.testing.assert_array_equal(ragged.image(i).numpy(), image)


def test_loading_keeps_order_and_reports_progress(tmp_path: Path) -> None:
    paths = []
    for i, image in enumerate(arrays((30, 40), (50, 20), (16, 16))):
        paths.append(tmp_path / f"{9 - i}.png")
        Image.fromarray(image).save(paths[-1])
    seen = []
    ragged = load_ragged(paths, report=lambda done, total: seen.append((done, total)))
    for i, path in enumerate(paths):
        np.testing.assert_array_equal(ragged.image(i).numpy(), read_image(path))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_short_side_resizes_as_pillow_bilinear_does(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    (image,) = arrays((30, 40))
    Image.fromarray(image).save(path)
    ragged = load_ragged([path], short_side=15)
    expected = Image.fromarray(image).resize((20, 15), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(ragged.image(0).numpy(), np.asarray(expected))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (image,) = arrays((64, 64))
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    Image.fromarray(image).save(good)
    bad.write_bytes(good.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"bad\.jpg is truncated"):
        load_ragged([good, bad])
