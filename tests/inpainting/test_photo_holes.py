"""Where images have holes: each kind by hand, and every mask that cannot be meant."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.errors import InputError
from cebench.inpainting.photo_holes import (
    central_hole,
    central_hole_of,
    painted_holes,
    random_holes,
    rectangular_holes,
)

FILE = Path("photo.png")


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("side", "rows"), [(128, (36, 92)), (227, (64, 163)), (8, (3, 5)), (3, (1, 2))]
)
def test_the_central_hole_is_that_of_table_1(side: int, rows: tuple[int, int]) -> None:
    hole = central_hole(side, 128)
    assert hole.any(axis=1).nonzero()[0].tolist() == list(range(*rows))
    assert hole.any(axis=0).nonzero()[0].tolist() == list(range(36, 92))


def test_an_image_too_small_for_a_central_hole_is_refused() -> None:
    with pytest.raises(InputError, match=r"photo\.png: the central hole has no pixel"):
        central_hole_of(FILE, 2, 2)


def test_rectangles_are_united_and_must_lie_inside() -> None:
    hole = rectangular_holes([(1, 2, 3, 1), (2, 0, 1, 3)])(FILE, 4, 6)
    expected = [[0, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6]
    np.testing.assert_array_equal(hole, np.array(expected, np.bool_))
    with pytest.raises(InputError, match="rectangle 4,0,3,1 reaches beyond the image, 6 x 4"):
        rectangular_holes([(4, 0, 3, 1)])(FILE, 4, 6)
    with pytest.raises(InputError, match="covers the whole image"):
        rectangular_holes([(0, 0, 6, 4)])(FILE, 4, 6)


def test_of_greys_and_colours_the_nearer_of_black_and_white_counts(tmp_path: Path) -> None:
    photo = save(tmp_path / "photo.png", np.zeros((1, 5, 3), np.uint8))
    greys = [0, 127, 128, 255]
    row = [(grey, grey, grey, 255) for grey in greys]
    mask = save(tmp_path / "mask.png", np.array([[*row, (255, 255, 255, 0)]], np.uint8))
    hole = painted_holes(mask, [photo])(photo, 1, 5)
    assert hole.tolist() == [[False, False, True, True, False]]


def test_masks_of_a_folder_are_found_by_name_and_turned_like_photos(tmp_path: Path) -> None:
    photos = [save(tmp_path / f"{name}.jpg", np.zeros((4, 6, 3), np.uint8)) for name in "ab"]
    painted = np.zeros((6, 4), np.uint8)
    painted[0, 1] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "masks").mkdir()
    Image.fromarray(painted).save(tmp_path / "masks" / "a.png", exif=exif)
    with pytest.raises(InputError, match=r"masks: has no mask named b for .*b\.jpg \(1 of 2"):
        painted_holes(tmp_path / "masks", photos)
    save(tmp_path / "masks" / "b.png", np.eye(4, 6, dtype=np.uint8) * 255)
    hole_of = painted_holes(tmp_path / "masks", photos)
    np.testing.assert_array_equal(hole_of(photos[0], 4, 6), np.rot90(painted, -1) > 0)
    np.testing.assert_array_equal(hole_of(photos[1], 4, 6), np.eye(4, 6, dtype=bool))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 6), np.uint8), r"mask\.png: the mask marks every pixel as visible"),
        (np.full((4, 6), 255, np.uint8), r"mask\.png: the mask marks every pixel as missing"),
        (np.full((6, 4), 255, np.uint8), r"mask\.png: the mask is 4 x 6 pixels and .* is 6 x 4"),
    ],
)
def test_masks_that_say_nothing_or_do_not_fit_are_refused(
    tmp_path: Path, mask: np.ndarray, message: str
) -> None:
    photo = save(tmp_path / "photo.png", np.zeros((4, 6, 3), np.uint8))
    path = save(tmp_path / "mask.png", mask)
    with pytest.raises(InputError, match=message):
        painted_holes(path, [photo])(photo, 4, 6)


def test_random_holes_are_a_function_of_seed_and_name_and_leave_most_of_the_image(
    tiny_voc: Path,
) -> None:
    shapes = tiny_year(tiny_voc)
    for kind in ("block", "region", "noise"):
        hole_of = random_holes(kind, 0, shapes)
        hole = hole_of(FILE, 300, 500)
        assert hole.shape == (300, 500)
        assert 0.05 < hole.mean() < 0.31
        np.testing.assert_array_equal(hole, hole_of(Path("elsewhere/photo.png"), 300, 500))
        assert (hole != hole_of(Path("other.png"), 300, 500)).any()
    assert (
        random_holes("block", 1, None)(FILE, 300, 500)
        != random_holes("block", 0, None)(FILE, 300, 500)
    ).any()


def tiny_year(devkit: Path) -> Path:
    """The tiny VOC under the name of the year that shapes are taken from."""
    (devkit / "VOC2007").rename(devkit / "VOC2012")
    return devkit
