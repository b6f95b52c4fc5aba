import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.metrics.segmentation import confusion_matrix, segmentation_scores


def test_three_classes_solved_by_hand() -> None:
    # Ten pixels, one void: class 0: 3 of 4 right; class 1: 2 of 3; class 2: 1 of 2.
    truth = np.array([[0, 0, 0, 0, 1], [1, 1, 2, 2, 255]], dtype=np.uint8)
    guess = np.array([[0, 0, 0, 1, 1], [1, 2, 2, 0, 0]], dtype=np.uint8)
    confusion = confusion_matrix(truth, guess, 3)
    assert confusion.tolist() == [[3, 1, 0], [0, 2, 1], [1, 0, 1]]
    scores = segmentation_scores(confusion)
    # Unions: 4 + 4 - 3 = 5, 3 + 3 - 2 = 4, 2 + 2 - 1 = 3.
    assert scores.iou.tolist() == pytest.approx([3 / 5, 2 / 4, 1 / 3])
    assert scores.mean_iou == pytest.approx((3 / 5 + 2 / 4 + 1 / 3) / 3)
    assert scores.pixel_accuracy == pytest.approx(6 / 9)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 2 / 3 + 1 / 2) / 3)
    assert scores.frequency_weighted_iou == pytest.approx((4 * 3 / 5 + 3 * 2 / 4 + 2 / 3) / 9)


def test_absent_class_is_left_out_but_a_falsely_predicted_one_counts_zero() -> None:
    # Class 1 is predicted but not there: IoU 0, no accuracy. Class 2 is nowhere: neither.
    scores = segmentation_scores(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(scores.iou, [3 / 4, 0, np.nan])
    np.testing.assert_array_equal(scores.accuracy, [3 / 4, np.nan, np.nan])
    assert scores.mean_iou == 3 / 8
    assert scores.mean_accuracy == scores.pixel_accuracy == scores.frequency_weighted_iou == 3 / 4


def test_nothing_counted_is_nan() -> None:
    scores = segmentation_scores(np.zeros((21, 21), dtype=np.int64))
    assert np.isnan([scores.mean_iou, scores.pixel_accuracy, scores.frequency_weighted_iou]).all()


@pytest.mark.parametrize("blocks", [1, 5])
def test_counts_equal_a_loop_over_classes(blocks: int) -> None:
    rng = np.random.default_rng(blocks)
    small = rng.integers(0, 22, (2, 30, 40), dtype=np.uint8)
    truth, guess = small.repeat(blocks, axis=1).repeat(blocks, axis=2)
    truth[truth == 21] = 255
    guess %= 21
    expected = [[np.sum((truth == t) & (guess == g)) for g in range(21)] for t in range(21)]
    confusion = confusion_matrix(truth, guess, 21)
    assert confusion.dtype == np.int64
    np.testing.assert_array_equal(confusion, expected)


def test_scores_equal_fcn_formulas() -> None:
    # shelhamer/fcn.berkeleyvision.org score.py, in numpy.
    confusion = np.random.default_rng(0).integers(1, 1000, (21, 21))
    hist = confusion.astype(np.float64)
    iou = np.diag(hist) / (hist.sum(1) + hist.sum(0) - np.diag(hist))
    freq = hist.sum(1) / hist.sum()
    scores = segmentation_scores(confusion)
    assert scores.mean_iou == pytest.approx(np.nanmean(iou), abs=1e-15)
    assert scores.pixel_accuracy == pytest.approx(np.diag(hist).sum() / hist.sum(), abs=1e-15)
    assert scores.mean_accuracy == pytest.approx(np.nanmean(np.diag(hist) / hist.sum(1)), abs=1e-15)
    assert scores.frequency_weighted_iou == pytest.approx((freq * iou).sum(), abs=1e-15)


def test_void_pixels_and_empty_images_count_nothing() -> None:
    void = np.full((3, 3), 255, dtype=np.uint8)
    assert confusion_matrix(void, void, 21).sum() == 0
    assert confusion_matrix(void[:0], void[:0], 21).sum() == 0


@pytest.mark.parametrize(
    ("truth", "guess", "message"),
    [
        ([[21]], [[0]], "truth has labels outside 0..20"),
        ([[0]], [[21]], "predicted label 21"),
        ([[0]], [[255]], "predicted label 255"),
        ([[0, 1]], [[0]], "one shape"),
    ],
)
def test_labels_and_shapes_that_do_not_fit_are_refused(
    truth: list[list[int]], guess: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(truth, np.uint8), np.array(guess, np.uint8), 21)


def test_labels_that_are_not_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        confusion_matrix(np.zeros((2, 2), np.int64), np.zeros((2, 2), np.uint8), 21)


@pytest.mark.shared_data
def test_known_confusion_of_200_images_to_the_last_pixel(shared_data: Path) -> None:
    folder = shared_data / "eval" / "seg"
    known = json.loads((folder / "known.json").read_text())
    confusion = np.zeros((21, 21), dtype=np.int64)
    for path in sorted((folder / "gt").glob("*.png")):
        with Image.open(path) as truth, Image.open(folder / "pred" / path.name) as guess:
            confusion += confusion_matrix(np.array(truth), np.array(guess), 21)
    np.testing.assert_array_equal(confusion, known["confusion"])
    scores = segmentation_scores(confusion)
    np.testing.assert_allclose(scores.iou, known["iou"], rtol=0, atol=1e-15)
    assert scores.mean_iou == pytest.approx(known["miou"], abs=1e-15)
    assert scores.pixel_accuracy == pytest.approx(known["pixacc"], abs=1e-15)
