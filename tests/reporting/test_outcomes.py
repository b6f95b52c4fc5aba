"""Outcomes score what the predictions score, and damaged ones are one line."""

import contextlib
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from outcome_makers import CLASSES, boxes, confusions, label_scores, parts, sums_per_image
from samples import DETECTION, MEASUREMENT

from cebench.errors import InputError
from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.detection import Detections, Objects, detection_scores
from cebench.metrics.image_weights import equal_weights
from cebench.metrics.inpainting import InpaintingSums, inpainting_scores
from cebench.metrics.segmentation import segmentation_scores
from cebench.reporting.outcome_boxes import ScoredBoxes
from cebench.reporting.outcome_parts import FillErrors, LabelScores, PixelPairs
from cebench.reporting.outcomes import (
    OutcomePart,
    RunOutcome,
    check_content,
    decode_outcome,
    encode_outcome,
    rescored,
    write_outcome,
)


def reread(part: OutcomePart, images: int) -> OutcomePart:
    outcome = RunOutcome(tuple(f"{n:06}" for n in range(images)), (part,))
    return decode_outcome(encode_outcome(outcome), "here").parts[0]


def test_label_scores_score_as_the_scores_themselves() -> None:
    scores, labels = label_scores()
    # Equal scores, and scores that differ by less than the penalty of ties.
    scores[0][:10] = np.round(scores[0][:10])
    scores[0][10:20] = 1e-6 * np.arange(40).reshape(10, 4)
    again = reread(OutcomePart(scored=LabelScores.from_scores(scores, labels)), 60)
    expected = multilabel_scores(scores[0], labels)
    for metric, value in again.scores().items():
        assert value == getattr(expected, metric)


def test_a_positive_that_ties_with_a_negative_after_the_penalty_keeps_its_score() -> None:
    scores, labels = np.array([[1e-5], [0.0], [-1.0]]), np.array([[1], [-1], [1]])
    part = LabelScores.from_scores([scores], labels)
    assert part.values.dtype == np.float64
    assert part.scores()["mean_ap_area"] == multilabel_scores(scores, labels).mean_ap_area


def test_draws_have_a_mean_and_a_deviation() -> None:
    scores, labels = label_scores(draws=3)
    found = reread(OutcomePart(scored=LabelScores.from_scores(scores, labels)), 60).scores()
    each = [multilabel_scores(one, labels).mean_ap_area for one in scores]
    assert found["mean_ap_area"] == pytest.approx(np.mean(each))
    assert found["mean_ap_area_sd_over_draws"] == pytest.approx(np.std(each, ddof=1))


@pytest.mark.parametrize("jitter", [0.0, 6.0, 15.0])
def test_scored_boxes_score_as_all_boxes(jitter: float) -> None:
    detections, objects = boxes(jitter=jitter)
    part = ScoredBoxes.from_detections(detections, objects, 30, CLASSES)
    again = reread(OutcomePart(scored=part), 30)
    expected = detection_scores(detections, objects, CLASSES)
    assert again.scores() == {
        "mean_ap_voc07_11pt": expected.mean_ap_voc07_11pt,
        "mean_ap_area": expected.mean_ap_area,
    }
    assert 0 < expected.mean_ap_area < 1 or jitter == 0


def test_a_box_at_the_threshold_is_kept_exactly() -> None:
    # 10 x 10 against 10 x 20.02: IoU 0.4995; a sixteenth of a pixel makes 0.5.
    truth = Objects(
        np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([[0, 0, 10, 10.0]], "f4"),
        np.zeros(1, np.bool_),
    )  # fmt: skip
    found = Detections(
        np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, "f4"),
        np.array([[0, 0, 10, 20.02]], "f4"),
    )  # fmt: skip
    part = ScoredBoxes.from_detections(found, truth, 1, 1)
    assert part.detections.boxes[0, 3] == np.float32(20.02)


def test_boxes_of_absent_classes_cost_no_box() -> None:
    detections, objects = boxes()
    part = ScoredBoxes.from_detections(detections, objects, 30, CLASSES)
    arrays = part.arrays()
    assert 0 < len(arrays["row"]) < len(arrays["score"])
    assert arrays["score"].dtype == np.float16


def test_pixel_pairs_score_as_the_confusion_matrix() -> None:
    matrices = confusions()
    again = reread(OutcomePart(scored=PixelPairs(matrices)), 40)
    expected = segmentation_scores(matrices.sum(axis=0))
    assert again.scores() == {m: getattr(expected, m) for m in PixelPairs.metrics}


def test_fill_errors_score_as_their_sums() -> None:
    sums = sums_per_image()
    part = FillErrors.from_sums([one.image for one in sums])
    again = reread(OutcomePart(scored=part, prefix="image_"), 12).scores()
    expected = inpainting_scores(sum(sums, InpaintingSums())).image
    assert again == {f"image_{m}": getattr(expected, m) for m in FillErrors.metrics}


@pytest.mark.parametrize("part", parts(), ids=lambda part: part.kind)
def test_weighted_scores_of_equal_weights_are_the_scores(part: object) -> None:
    assert isinstance(part, LabelScores | ScoredBoxes | PixelPairs | FillErrors)
    (run,) = part.runs()
    values = dict(zip(run.metrics, run.values(equal_weights(part.images))[:, 0], strict=True))
    for metric, value in part.scores().items():
        assert values[metric] == pytest.approx(value, rel=1e-6)


def test_equal_outcomes_are_equal_bytes(tmp_path: Path) -> None:
    outcome = RunOutcome(
        tuple(map(str, range(60))), (OutcomePart(scored=parts()[0], column="classification"),)
    )
    first = write_outcome(tmp_path / "a", outcome)
    again = decode_outcome((tmp_path / "a").read_bytes(), "a")
    assert write_outcome(tmp_path / "b", again) == first


def test_measurements_find_their_part_by_row_column_and_name() -> None:
    scores, labels = label_scores()
    one = LabelScores.from_scores(scores, labels)
    other = LabelScores.from_scores([-scores[0]], labels)
    outcome = RunOutcome(
        tuple(map(str, range(60))),
        (
            OutcomePart(scored=one, column="classification"),
            OutcomePart(scored=other, column="classification", suffix="_one_crop"),
            OutcomePart(scored=other, column="classification", row="chance"),
        ),
    )
    names = [
        *(("context", "mean_ap_area"), ("context", "mean_ap_area_one_crop")),
        *(("chance", "mean_ap_area"), ("other", "mean_ap_area"), ("context", "accuracy")),
    ]
    measurements = tuple(
        replace(MEASUREMENT, row=row, column="classification", metric=metric)
        for row, metric in names
    )
    found = rescored(outcome, replace(DETECTION, measurements=measurements))
    best, worst = (part.scores()["mean_ap_area"] for part in (one, other))
    assert found == {0: best, 1: worst, 2: worst}


def test_every_flipped_byte_is_found() -> None:
    outcome = RunOutcome(("a", "b", "c"), (OutcomePart(scored=PixelPairs(confusions(3))),))
    content = encode_outcome(outcome)
    record = replace(DETECTION, outcome_sha256=hashlib.sha256(content).hexdigest())
    check_content(content, record, "here")
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(InputError, match="SHA-256"):
            check_content(bytes(damaged), record, "here")
        with contextlib.suppress(InputError):
            decode_outcome(bytes(damaged), "here")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 8, b"\xff" * 64, b"{}", json.dumps({}).encode() * 10]
)
def test_what_is_no_outcome_is_one_line(content: bytes) -> None:
    with pytest.raises(InputError, match="here: no outcome of a cebench run, or damaged"):
        decode_outcome(content, "here")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", np.array([30] * 630, np.uint8)),
        ("label", np.array([CLASSES] * 630, np.uint8)),
        ("score", np.full(630, np.nan, np.float16)),
        ("score", np.ones(3, np.float16)),
        ("row", np.array([630], np.uint16)),
        ("true_image", np.array([-1], np.int8)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, value: np.ndarray) -> None:
    part = parts()[1]
    arrays = {**part.arrays(), name: value}
    with pytest.raises(ValueError, match="does not fit"):
        ScoredBoxes.from_arrays(arrays, 30, CLASSES)


def sums_with(row: int, value: float) -> np.ndarray:
    sums: np.ndarray = np.ones((5, 12))
    sums[row, 3] = value
    return sums


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (0, "values", np.ones((1, 60, CLASSES), np.complex64)),
        (0, "values", np.ones((1, 60, CLASSES), np.bool_)),
        (1, "score", np.ones(630, np.bool_)),
        (1, "true_box", np.ones((90, 4), np.complex64)),
        (1, "difficult", np.full(90, 2, np.uint8)),
        *((3, "sums", sums_with(row, -1e-3)) for row in (0, 1, 2)),
        *((3, "sums", sums_with(row, np.inf)) for row in (0, 1, 2, 4)),
        *((3, "sums", sums_with(row, np.nan)) for row in range(5)),
        (3, "sums", sums_with(3, -np.inf)),
        (3, "sums", sums_with(0, 1e308)),
        *((3, "sums", sums_with(0, value)) for value in (0.0, 0.3, 1.5)),
        (3, "sums", np.full((5, 12), np.inf)),
    ],
)
def test_arrays_that_no_run_leaves_are_refused_on_reading(
    place: int, name: str, value: np.ndarray
) -> None:
    part = parts()[place]
    arrays = {**part.arrays(), name: value}
    with pytest.raises(ValueError, match="does not fit"):
        type(part).from_arrays(arrays, part.images, part.classes)


def test_a_perfect_image_has_an_infinite_psnr() -> None:
    sums = sums_with(3, np.inf)
    part = FillErrors.from_arrays({"sums": sums}, 12, 0)
    assert part.scores()["psnr_per_image_mean_db"] == np.inf


def test_an_outcome_of_no_image_is_refused() -> None:
    outcome = RunOutcome((), (OutcomePart(scored=PixelPairs(np.zeros((0, 4, 4), np.int64))),))
    with pytest.raises(InputError, match=r"damaged \(no images\)"):
        decode_outcome(encode_outcome(outcome), "here")
