from pathlib import Path

import numpy as np
import pytest

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import (
    DetectionRows,
    read_detection_files,
    read_scores_csv,
    write_detection_files,
    write_scores_csv,
)
from cebench.errors import InputError

IDS = ["000001", "2008_000002", "000003"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_detections_come_back_to_the_last_bit(tmp_path: Path, dtype: type) -> None:
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, 20, 200))
    rows = DetectionRows(
        images=rng.integers(0, 3, 200),
        labels=labels,
        scores=rng.random(200).astype(dtype),
        # Multiples of 2^-20: adding and taking off 1 is exact, as for every float32 above 2^-28.
        boxes=np.sort((rng.random((200, 2, 2)) * 500 * 2**20).round() / 2**20, axis=1)
        .reshape(200, 4)
        .astype(dtype),
    )
    write_detection_files(tmp_path, "test", IDS, rows)
    found = read_detection_files(tmp_path, "test", IDS)
    for written, read in zip(rows, found, strict=True):
        np.testing.assert_array_equal(read, written)


def one_line(folder: Path, line: str) -> DetectionRows:
    for name in VOC_CLASSES:
        (folder / f"comp4_det_test_{name}.txt").touch()
    (folder / "._comp4_det_test_dog.txt").write_bytes(b"\0\5\26\7")
    (folder / "comp4_det_test_dog.txt").write_text(line)
    return read_detection_files(folder, "test", IDS)


@pytest.mark.parametrize("word", ["000001", "000001.jpg", "1"])
def test_ids_with_a_suffix_or_without_their_zeros_are_known(tmp_path: Path, word: str) -> None:
    assert one_line(tmp_path, f"{word} 0.5 1 2 3 4\n").images.tolist() == [IDS.index("000001")]


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ("100 20 30 40", "1 of 1 boxes have x1 > x2 or y1 > y2, this one first; write the corners"),
        ("1 2 3 1e308", r"a corner lies 1e\+308 pixels out"),
    ],
)
def test_impossible_boxes_are_named(tmp_path: Path, corners: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        one_line(tmp_path, f"000001 0.5 {corners}\n")
    assert len(one_line(tmp_path, "000001 0.5 10.9 2 10.2 4\n").boxes) == 1  # 0.3 pixels wide


def test_one_turned_box_in_a_hundred_is_a_slip_and_two_are_another_format(tmp_path: Path) -> None:
    good, turned = "000001 0.5 1 2 3 4\n", "000001 0.5 188 1 219 -5\n"
    assert len(one_line(tmp_path, 99 * good + turned).boxes) == 100
    with pytest.raises(InputError, match=r"dog\.txt:99: 2 of 100 boxes have"):
        one_line(tmp_path, 98 * good + 2 * turned)


def test_a_csv_may_have_semicolons(tmp_path: Path) -> None:
    header = ";".join(["image", *VOC_CLASSES])
    lines = [f"{image_id};" + ";".join(["0.5"] * 20) for image_id in IDS]
    (tmp_path / "scores.csv").write_text("\n".join([header, *lines]))
    assert read_scores_csv(tmp_path / "scores.csv", IDS).shape == (len(IDS), 20)


def test_decimal_commas_are_named(tmp_path: Path) -> None:
    header = ";".join(["image", *VOC_CLASSES])
    (tmp_path / "scores.csv").write_text(f"{header}\n{IDS[0]};" + ";".join(["0,5"] * 20))
    with pytest.raises(InputError, match=r"'0,5' is not a finite number; write a point before"):
        read_scores_csv(tmp_path / "scores.csv", IDS)


def test_the_devkits_corners_are_one_based_and_inclusive(tmp_path: Path) -> None:
    rows = DetectionRows(
        np.array([1]), np.array([0]), np.array([0.25]), np.array([[0.0, 0.0, 10.0, 20.0]])
    )
    write_detection_files(tmp_path, "val", IDS, rows, competition="comp3")
    path = tmp_path / "comp3_det_val_aeroplane.txt"
    assert path.read_text() == "2008_000002 0.25 1.0 1.0 10.0 20.0\n"
    assert len(list(tmp_path.iterdir())) == 20


def test_a_class_whose_name_ends_another_is_not_mixed_up(tmp_path: Path) -> None:
    for name in ("cat", "wildcat"):
        (tmp_path / f"x_det_test_{name}.txt").write_text("")
    (tmp_path / "x_det_test_cat.txt").write_text("000003 1 1 1 2 2\n")
    found = read_detection_files(tmp_path, "test", IDS, ["wildcat", "cat"])
    assert found.labels.tolist() == [1]


def test_scores_come_back_to_the_last_bit_in_the_asked_order(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).normal(size=(3, 20))
    write_scores_csv(tmp_path / "s.csv", IDS, scores)
    np.testing.assert_array_equal(read_scores_csv(tmp_path / "s.csv", IDS), scores)
    backwards = read_scores_csv(tmp_path / "s.csv", IDS[::-1], VOC_CLASSES[:2])
    np.testing.assert_array_equal(backwards, scores[::-1, :2])


def test_scores_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite"):
        write_scores_csv(tmp_path / "s.csv", IDS, np.full((3, 20), np.nan))
    assert not (tmp_path / "s.csv").exists()
