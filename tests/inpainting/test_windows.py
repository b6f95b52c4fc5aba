"""Windows around holes: by hand, and that they cover every hole once and show nothing hidden."""

import numpy as np
import pytest

from cebench.inpainting.windows import Filler, Window, fill_image, plan

CONTEXT_ENCODER = {"side": 227, "share": 1.0}
CENTRAL_GENERATOR = {"side": 128, "share": 56 / 128}


def hole_of(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Boxes are top, left, bottom, right."""
    hole = np.zeros((height, width), np.bool_)
    for top, left, bottom, right in boxes:
        hole[top:bottom, left:right] = True
    return hole


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


class MeanOfContext:
    """Fills with the mean visible colour, and remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, images: np.ndarray, hole: np.ndarray) -> np.ndarray:
        assert hole.any()
        assert not hole.all()
        self.shown.append((images[0].copy(), hole.copy()))
        filled = images.copy()
        filled[:, hole] = np.rint(images[:, ~hole].mean(axis=1))[:, None]
        return filled


def test_a_square_hole_lies_in_the_middle_half_of_its_window() -> None:
    tasks = list(plan(hole_of(900, 900, (300, 400, 500, 600)), 227, 0.5))
    assert [task.window for task in tasks] == [Window(200, 300, 400, 400)]
    assert tasks[0].pasted.sum() == 200 * 200


def test_a_small_hole_gets_a_window_of_the_networks_size() -> None:
    # The middle cell is 113 wide; the hole, rows 300..303, is centred: it begins at row 246.
    (task,) = plan(hole_of(900, 900, (300, 400, 304, 404)), 227, 0.5)
    assert task.window == Window(246 - 57, 346 - 57, 227, 227)
    (task,) = plan(hole_of(900, 900, (300, 400, 304, 404)), 128, 56 / 128)
    assert task.window == Window(274 - 36, 374 - 36, 128, 128)


def test_neighbouring_small_holes_share_a_window_and_distant_ones_do_not() -> None:
    near = hole_of(900, 900, (300, 400, 310, 410), (330, 430, 335, 435))
    assert len(list(plan(near, 227, 0.5))) == 1
    assert len(list(plan(hole_of(900, 900, (0, 0, 9, 9), (800, 800, 809, 809)), 227, 0.5))) == 2


def test_a_long_scratch_takes_a_row_of_small_windows_and_a_large_blob_one_large() -> None:
    scratch = list(plan(hole_of(600, 1200, (300, 20, 304, 1150)), 227, 0.5))
    assert 10 <= len(scratch) <= 20  # 1130 pixels in cells of 113, of which neighbours overlap
    assert {task.window.height for task in scratch} == {227}
    (blob,) = plan(hole_of(2000, 2000, (100, 100, 1100, 1100)), 227, 0.5)
    assert blob.window == Window(-400, -400, 2000, 2000)


def test_the_thick_part_of_a_long_hole_is_not_cut() -> None:
    hole = hole_of(600, 1200, (300, 20, 304, 1150), (250, 500, 350, 600))
    first = next(plan(hole, 227, 0.5))
    # Depth 50, so cells of 200, the first around a deepest pixel.
    assert first.pasted.shape == (200, 200)
    assert first.pasted.sum() == 100 * 100 + 100 * 4


def test_tasks_of_one_window_are_filled_at_once() -> None:
    fill = MeanOfContext()
    fill_image(noise(100, 220), hole_of(100, 220, (50, 0, 53, 220)), Filler(fill))
    assert len(fill.shown) == 1


ODD_HOLES = {
    "pixel": hole_of(300, 300, (7, 9, 8, 10)),
    "corners": hole_of(300, 400, (0, 0, 20, 20), (280, 380, 300, 400), (0, 390, 2, 400)),
    "all but a corner": ~hole_of(300, 400, (0, 0, 10, 10)),
    "all but a column": ~hole_of(50, 900, (0, 899, 50, 900)),
    "tiny image": hole_of(8, 8, (3, 3, 5, 5)),
    "narrow image": hole_of(700, 3, (100, 0, 600, 3)),
    "ring": hole_of(400, 400, (50, 50, 350, 350)) & ~hole_of(400, 400, (80, 80, 320, 320)),
    "speckle": np.random.default_rng(1).random((300, 500)) < 0.02,
    "checkerboard": np.indices((40, 50)).sum(axis=0) % 2 == 0,
    "larger than is shown": hole_of(800, 700, (50, 100, 650, 650)),
    "thin in a large image": hole_of(900, 800, (500, 0, 501, 800)),
}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("network", [CONTEXT_ENCODER, CENTRAL_GENERATOR])
@pytest.mark.parametrize("name", ODD_HOLES)
def test_every_hole_is_filled_from_visible_pixels_and_no_other_pixel_changes(
    name: str, network: dict, whole: bool
) -> None:
    hole = ODD_HOLES[name]
    image = noise(*hole.shape)
    fill = MeanOfContext()
    filled = fill_image(image, hole, Filler(fill, **network), whole)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    assert (filled[hole] != image[hole]).any()
    emptied = image.copy()
    emptied[hole] = 255
    again = fill_image(emptied, hole, Filler(MeanOfContext(), **network), whole)
    np.testing.assert_array_equal(again[hole], filled[hole])
    if not whole and network is CENTRAL_GENERATOR:
        for _, missing in fill.shown:
            side = len(missing)
            rows, columns = missing.any(axis=1).nonzero()[0], missing.any(axis=0).nonzero()[0]
            assert min(rows[0], columns[0]) >= side * 36 // 128
            assert max(rows[-1], columns[-1]) < -(-side * 92 // 128)


@pytest.mark.parametrize("name", ODD_HOLES)
def test_windows_take_every_missing_pixel_exactly_once(name: str) -> None:
    hole = ODD_HOLES[name]
    times = np.zeros(hole.shape, int)
    for task in plan(hole, 227, 0.5):
        height, width = task.pasted.shape
        times[task.top : task.top + height, task.left : task.left + width] += task.pasted
    np.testing.assert_array_equal(times, hole)


def test_what_is_shown_is_the_window_where_it_lies_inside_the_image() -> None:
    image, hole = noise(400, 500), hole_of(400, 500, (200, 250, 210, 260))
    fill = MeanOfContext()
    fill_image(image, hole, Filler(fill))
    ((shown, missing),) = fill.shown
    # The hole, 10 wide, in a middle cell of 113 which begins 51 before it, and 57 around that.
    np.testing.assert_array_equal(missing, hole[92:319, 142:369])
    np.testing.assert_array_equal(shown[~missing], image[92:319, 142:369][~missing])


def test_a_window_is_moved_inside_the_image_or_mirrored_for_a_central_network() -> None:
    image, hole = noise(300, 300), hole_of(300, 300, (0, 140, 56, 196))
    fill = MeanOfContext()
    fill_image(image, hole, Filler(fill))
    fill_image(image, hole, Filler(fill, **CENTRAL_GENERATOR))
    (moved, _), (mirrored, missing) = fill.shown
    assert moved.shape == (227, 227, 3)
    np.testing.assert_array_equal(missing, hole_of(128, 128, (36, 36, 92, 92)))
    # Rows -36..-1 are rows 35..0; of columns 104..139 none is missing.
    np.testing.assert_array_equal(mirrored[:36, :36], image[35::-1, 104:140])


def test_a_large_window_is_averaged_over_visible_pixels_before_it_is_shown() -> None:
    image = np.full((2048, 2048, 3), 40, np.uint8)
    image[:, 1:1024:2] = 60
    hole = hole_of(2048, 2048, (512, 512, 1536, 1537))
    image[hole] = 255
    fill = MeanOfContext()
    fill_image(image, hole, Filler(fill), whole=True)
    ((shown, missing),) = fill.shown
    assert shown.shape == (1024, 1024, 3)
    np.testing.assert_array_equal(missing, hole_of(1024, 1024, (256, 256, 768, 768)))
    assert np.unique(shown[:, :256]).tolist() == [50]
    # Column 1536 is missing but 1537, in the same average, is visible: its colour alone counts.
    assert np.unique(shown[:, 512:][~missing[:, 512:]]).tolist() == [40]


def test_a_reduced_pixel_is_missing_if_less_than_half_of_it_is_visible() -> None:
    """Blocks of 2 x 2 pixels become one; of the four here 1, 2, 3 and 4 pixels are missing."""
    hole = np.zeros((16, 16), np.bool_)
    for missing, column in ((1, 0), (2, 4), (3, 8), (4, 12)):
        for pixel in range(missing):
            hole[6 + pixel // 2, column + pixel % 2] = True
    fill = MeanOfContext()
    fill_image(noise(16, 16), hole, Filler(fill, side=8, largest=8), whole=True)
    ((_, shown),) = fill.shown
    np.testing.assert_array_equal(shown, hole_of(8, 8, (3, 4, 4, 5), (3, 6, 4, 7)))


def test_a_sliver_that_is_seen_survives_being_averaged() -> None:
    """One row of 400, reduced to 100, is a quarter of a pixel high."""
    image, hole = np.full((400, 400, 3), 9, np.uint8), hole_of(400, 400, (0, 0, 399, 400))
    image[-1] = 200
    filled = fill_image(image, hole, Filler(MeanOfContext(), 100, 1, largest=100))
    assert (filled == 200).all()
