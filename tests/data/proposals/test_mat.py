from pathlib import Path

import numpy as np
import pytest
import scipy.io

from cebench.data.images import image_size
from cebench.data.proposals.mat import Reading, import_files, interpret, read_mat
from cebench.errors import InputError

SIZES = {"000001": (500, 375), "000002": (333, 500), "000003": (500, 400)}


def half_open_boxes(rng: np.random.Generator, count: int = 60) -> dict[str, np.ndarray]:
    """Boxes inside SIZES; the first of each image is the whole image."""
    found = {}
    for image_id, (width, height) in SIZES.items():
        corners = np.sort(rng.integers(0, (width, height), (count, 2, 2)), axis=1)
        boxes = corners.reshape(count, 4) + np.array([0, 0, 1, 1])
        boxes[0] = (0, 0, width, height)
        found[image_id] = boxes.astype(np.float64)
    return found


def stored(boxes: np.ndarray, reading: Reading) -> np.ndarray:
    """As a file of that convention holds them: the inverse of `Reading.boxes`, written out."""
    x0, y0, x1, y1 = boxes.T
    inclusive = {"x": (x0, x1 - 1), "y": (y0, y1 - 1)}
    seen = {"x": 0, "y": 0}
    columns = []
    for axis in reading.columns:
        columns.append(inclusive[axis][seen[axis]])
        seen[axis] += 1
    return np.stack(columns, axis=1) + reading.first_pixel


READINGS = [Reading(columns, first) for columns in ("xyxy", "yxyx") for first in (0, 1)]


@pytest.mark.parametrize("reading", READINGS, ids=str)
def test_the_images_tell_how_the_corners_were_written(reading: Reading) -> None:
    boxes = half_open_boxes(np.random.default_rng(0))
    raw = {image_id: stored(of_image, reading) for image_id, of_image in boxes.items()}
    found = interpret(raw, SIZES, "boxes.mat")
    assert found.reading == reading
    assert (found.clipped, found.dropped) == (0, 0)
    for image_id, of_image in boxes.items():
        assert found.boxes[image_id].dtype == np.float32
        np.testing.assert_array_equal(found.boxes[image_id], of_image)


def historic_file(path: Path, ids: list[str] | None = None) -> dict[str, np.ndarray]:
    """fast-rcnn's voc_2007_*.mat: cells (N, 1), y1 x1 y2 x2 from 1, and the ids unless None."""
    boxes = half_open_boxes(np.random.default_rng(1))
    reading = Reading("yxyx", 1)
    cells = np.empty((len(boxes), 1), object)
    for row, of_image in enumerate(boxes.values()):
        cells[row, 0] = stored(of_image, reading).astype(np.uint16)
    content: dict[str, np.ndarray] = {"boxes": cells}
    if ids is not None:
        names = np.empty((len(ids), 1), object)
        names[:, 0] = ids
        content["images"] = names
    scipy.io.savemat(path, content)
    return boxes


def test_the_historic_file_is_read_by_its_own_ids(tmp_path: Path) -> None:
    expected = historic_file(tmp_path / "voc_2007_trainval.mat", list(SIZES))
    raw = read_mat(tmp_path / "voc_2007_trainval.mat", ["another", "order"])
    assert list(raw) == list(SIZES)
    found = interpret(raw, SIZES, "boxes.mat")
    assert str(found.reading) == "columns y1 x1 y2 x2, first pixel 1"
    for image_id, boxes in expected.items():
        np.testing.assert_array_equal(found.boxes[image_id], boxes)


def test_a_file_without_ids_takes_those_of_the_image_set(tmp_path: Path) -> None:
    historic_file(tmp_path / "boxes.mat")
    assert list(read_mat(tmp_path / "boxes.mat", list(SIZES))) == list(SIZES)
    with pytest.raises(InputError, match="the boxes of 3 images and 2 ids"):
        read_mat(tmp_path / "boxes.mat", list(SIZES)[:2])


def test_boxes_of_other_images_or_another_order_are_refused(tmp_path: Path) -> None:
    historic_file(tmp_path / "boxes.mat")
    other_order = read_mat(tmp_path / "boxes.mat", ["000002", "000003", "000001"])
    with pytest.raises(InputError, match="boxes do not fit into their images"):
        interpret(other_order, SIZES, "boxes.mat")


def test_a_forced_reading_that_does_not_fit_is_named() -> None:
    raw = {"000001": np.array([[0.0, 0, 374, 499], [5, 3, 300, 480]])}  # y1 x1 y2 x2
    with pytest.raises(
        InputError,
        match="2 of 2 boxes do not fit into their images, read as columns x1 y1 x2 y2, first "
        "pixel 0 or columns x1 y1 x2 y2, first pixel 1; they",
    ):
        interpret(raw, SIZES, "boxes.mat", columns="xyxy")
    with pytest.raises(InputError, match="whichever way they are read"):
        interpret({"000001": np.array([[0.0, 0, 600, 600]])}, SIZES, "boxes.mat")


def test_each_file_has_its_own_reading_and_no_image_comes_twice(tmp_path: Path) -> None:
    boxes = half_open_boxes(np.random.default_rng(3))
    readings = dict(zip(boxes, READINGS, strict=False))
    paths = [tmp_path / f"{image_id}_boxes.mat" for image_id in boxes]
    for path, (image_id, reading) in zip(paths, readings.items(), strict=True):
        scipy.io.savemat(path, {"boxes": stored(boxes[image_id], reading)})
    found = import_files(paths, [list(boxes)], SIZES.__getitem__)
    assert [file.reading for file in found] == READINGS[:3]
    for file, (image_id, of_image) in zip(found, boxes.items(), strict=True):
        np.testing.assert_array_equal(file.boxes[image_id], of_image)

    cells = np.empty((1, 1), object)
    cells[0, 0] = stored(boxes["000002"], READINGS[0])
    scipy.io.savemat(tmp_path / "again.mat", {"boxes": cells})
    both = [paths[1], tmp_path / "again.mat"]
    with pytest.raises(InputError, match=r"000002_boxes\.mat and .*again\.mat both .* 000002"):
        import_files(both, [["000002"]], SIZES.__getitem__)
    with pytest.raises(InputError, match=r"000001_boxes\.mat has no image of the image sets"):
        import_files(paths[:1], [["000002"]], SIZES.__getitem__)


def test_what_fits_in_several_ways_must_be_named() -> None:
    square = {"000001": (100, 100)}
    raw = {"000001": np.array([[5.0, 7, 60, 80], [9, 1, 99, 99]])}
    with pytest.raises(InputError, match=r"equally well with columns x1 .* and columns y1 x1"):
        interpret(raw, square, "boxes.mat")
    found = interpret(raw, square, "boxes.mat", columns="yxyx", first_pixel=1)
    assert found.boxes["000001"].tolist() == [[6, 4, 80, 60], [0, 8, 99, 99]]


def test_a_few_boxes_without_area_or_outside_are_clipped_or_dropped() -> None:
    boxes = half_open_boxes(np.random.default_rng(2), count=200)
    raw = {image_id: stored(b, Reading("xyxy", 0)) for image_id, b in boxes.items()}
    raw["000001"][1] = (490, 10, 520, 60)  # reaches out of 500 pixels
    raw["000001"][2] = (510, 10, 520, 60)  # lies outside
    raw["000001"][3] = (60, 10, 50, 60)  # ends before it begins
    found = interpret(raw, SIZES, "boxes.mat")
    assert (found.clipped, found.dropped) == (1, 2)
    assert len(found.boxes["000001"]) == 198
    assert found.boxes["000001"][1].tolist() == [490, 10, 500, 61]


def test_an_image_may_have_no_boxes(tmp_path: Path) -> None:
    cells = np.empty((2, 1), object)
    cells[0, 0], cells[1, 0] = np.zeros((0, 0)), np.array([[0, 0, 499, 374], [0, 3, 7, 9]])
    scipy.io.savemat(tmp_path / "boxes.mat", {"boxes": cells})
    raw = read_mat(tmp_path / "boxes.mat", ["000002", "000001"])
    found = interpret(raw, SIZES, "boxes.mat")
    assert found.boxes["000002"].shape == (0, 4)
    assert len(found.boxes["000001"]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"rois": np.zeros((2, 4))}, "has no variable `boxes`, only rois"),
        ({"boxes": np.zeros((2, 5))}, r"boxes of shape \(2, 5\)"),
        ({"boxes": np.full((2, 4), np.nan)}, "not finite"),
        (None, "is no readable .mat file"),
    ],
)
def test_other_files_are_named(
    tmp_path: Path, content: dict[str, np.ndarray] | None, message: str
) -> None:
    path = tmp_path / "000001_boxes.mat"
    if content is None:
        path.write_bytes(b"nothing of the kind")
    else:
        scipy.io.savemat(path, content)
    with pytest.raises(InputError, match=message):
        read_mat(path)


@pytest.mark.shared_data
def test_real_boxes_of_the_demo_are_zero_based_and_begin_with_x(shared_data: Path) -> None:
    folder = shared_data / "eval" / "proposals"
    raw, sizes = {}, {}
    for image_id in ("000004", "001551"):
        raw |= read_mat(folder / f"{image_id}_boxes.mat")
        sizes[image_id] = image_size(folder / f"{image_id}.jpg")
    found = interpret(raw, sizes, "the demo's")
    assert found.reading == Reading("xyxy", 0)
    assert {image_id: len(boxes) for image_id, boxes in found.boxes.items()} == {
        "000004": 2888,
        "001551": 2057,
    }
    assert found.clipped == found.dropped == 0
    assert found.boxes["000004"][0].tolist() == [0, 0, 24, 16]
