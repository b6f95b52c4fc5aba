"""Images as people edit them: orientation, grey, transparency and colour profile survive."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data.editing import read_photo, toned, write_photo


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def saved(path: Path, pixels: np.ndarray, mode: str, **options: object) -> Path:
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P"])
def test_a_photo_that_is_written_back_shows_the_same_pixels(tmp_path: Path, mode: str) -> None:
    pixels = noise(6, 9, 4) if mode == "RGBA" else noise(6, 9, 3)
    path = saved(tmp_path / "photo.png", pixels, mode)
    photo = read_photo(path)
    write_photo(tmp_path / "again.png", photo, toned(photo, photo.pixels))
    with Image.open(path) as before, Image.open(tmp_path / "again.png") as after:
        assert after.mode == {"P": "RGB", "1": "L"}.get(mode, mode)
        np.testing.assert_array_equal(after.convert("RGBA"), before.convert("RGBA"))


def test_new_pixels_of_a_grey_photo_are_grey(tmp_path: Path) -> None:
    photo = read_photo(saved(tmp_path / "photo.png", noise(6, 9, 3), "L"))
    grey = toned(photo, noise(6, 9, 3))
    assert (grey == grey[..., :1]).all()
    assert toned(read_photo(saved(tmp_path / "c.png", noise(6, 9, 3), "RGB")), grey) is grey


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_photo_is_turned_with_its_transparency_as_the_camera_says(
    tmp_path: Path, mode: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    pixels = noise(6, 9, len(mode))
    Image.fromarray(pixels).save(tmp_path / "phone.png", exif=exif)
    photo = read_photo(tmp_path / "phone.png")
    np.testing.assert_array_equal(photo.pixels, np.rot90(pixels[..., :3], -1))
    if mode == "RGBA":
        assert photo.alpha is not None
        np.testing.assert_array_equal(photo.alpha, np.rot90(pixels[..., 3], -1))
    write_photo(tmp_path / "upright.png", photo, photo.pixels)
    with Image.open(tmp_path / "upright.png") as upright:
        assert upright.size == (6, 9)
        assert not upright.getexif()


def test_the_colour_profile_goes_with_the_colours(tmp_path: Path) -> None:
    path = saved(tmp_path / "wide.png", noise(6, 9, 3), "RGB", icc_profile=b"a profile")
    write_photo(tmp_path / "again.png", read_photo(path), noise(6, 9, 3))
    with Image.open(tmp_path / "again.png") as again:
        assert again.info["icc_profile"] == b"a profile"


def test_sixteen_bits_become_eight_and_stay_grey(tmp_path: Path) -> None:
    Image.fromarray(noise(6, 9).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    photo = read_photo(tmp_path / "deep.png")
    assert photo.grey
    np.testing.assert_array_equal(photo.pixels[..., 0], noise(6, 9))
