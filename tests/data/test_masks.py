"""One hole, painted in every way that people paint holes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data import masks
from cebench.data.masks import images_and_masks, read_mask
from cebench.errors import InputError


def painted() -> np.ndarray:
    hole = np.zeros((64, 80), np.uint8)
    hole[10:40, 20:60] = 255
    return hole


def _palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(colours)
    return image


def _forms() -> dict[str, Image.Image]:
    hole = painted()
    erased = np.dstack([hole, hole, hole, np.full_like(hole, 255)])
    erased[45:60, 5:15] = 255, 255, 255, 0  # painted, then taken back: white, but transparent
    white = np.full((*hole.shape, 3), 255, np.uint8)
    return {
        "white": Image.fromarray(hole),
        "0 and 1": Image.fromarray(hole // 255),
        "one bit": Image.fromarray(hole > 0),
        "dark grey": Image.fromarray(hole // 255 * 100),
        "red": Image.fromarray(np.dstack([hole, hole * 0, hole * 0])),
        "black and white palette": _palette(hole // 255, [0, 0, 0, 255, 255, 255]),
        "white and black palette": _palette(1 - hole // 255, [255, 255, 255, 0, 0, 0]),
        "white, opaque in the hole": Image.fromarray(np.dstack([white, hole])),
        "erased stroke": Image.fromarray(erased),
        "16 bits": Image.fromarray(hole.astype(np.uint16) * 257),
        "0 and 1 in 16 bits": Image.fromarray((hole > 0).astype(np.uint16)),
    }


@pytest.mark.parametrize("form", list(_forms()))
def test_every_form_has_the_same_hole(tmp_path: Path, form: str) -> None:
    _forms()[form].save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), painted() > 0)


def test_a_mask_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = Image.fromarray(np.ascontiguousarray(painted()[::-1, ::-1]))
    turned.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), painted() > 0)


def test_soft_edges_are_cut_at_half_or_at_the_threshold(tmp_path: Path) -> None:
    levels = np.array([[0, 60, 127], [128, 200, 255]], np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").tolist() == [[False] * 3, [True] * 3]
    lower = read_mask(tmp_path / "a.png", threshold=60)
    assert lower.tolist() == [[False, True, True], [True] * 3]
    Image.fromarray(painted()).save(tmp_path / "b.jpg", quality=80)
    wrong = read_mask(tmp_path / "b.jpg") != (painted() > 0)
    assert not wrong.any()


def test_a_mask_is_resized_by_its_nearest_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.kron(np.eye(4), np.ones((3, 3))).astype(np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", size=4), np.eye(4, dtype=bool))


def test_a_mask_that_says_nothing_is_refused(tmp_path: Path) -> None:
    black_erased = np.dstack([np.zeros((64, 80, 3), np.uint8), 255 - painted()])
    for pixels, message in (
        (np.zeros((4, 4), np.uint8), "marks every pixel as visible"),
        (np.full((4, 4), 9, np.uint8), "marks every pixel as missing"),
        (black_erased, "its transparency is no mask: paint in black and white"),
    ):
        Image.fromarray(pixels).save(tmp_path / "a.png")
        with pytest.raises(InputError, match=message):
            read_mask(tmp_path / "a.png")
    _palette(np.eye(4, dtype=np.uint8), [0, 0, 0, 0, 0, 0]).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="palette shows all its values black: save it as grey"):
        read_mask(tmp_path / "b.png")


def test_masks_beside_many_images_are_told_apart_in_one_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compared with each other, so many names would take hours."""
    images = [Path(f"{number:06d}.png") for number in range(20_000)]
    beside = [Path(f"{number:06d}_mask001.png") for number in range(20_000)]
    alone = Path("x_mask.png")  # of no image: one itself
    monkeypatch.setattr(masks, "image_files", lambda folder: sorted([*images, *beside, alone]))
    assert images_and_masks(Path()) == ([*images, alone], beside)
