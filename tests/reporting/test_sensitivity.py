"""Every definition from stored outcomes, and whether rows differ by more than definitions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calls import call
from outcome_makers import boxes, confusions, label_scores, sums_per_image
from samples import changed
from stored_runs import classification_run, detection_run, store_run

from cebench.commands.report import report
from cebench.commands.score import score
from cebench.errors import InputError
from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.detection import Detections, Objects, detection_scores
from cebench.metrics.segmentation import segmentation_scores
from cebench.reporting.definitions import by_every_definition
from cebench.reporting.outcome_boxes import ScoredBoxes
from cebench.reporting.outcome_parts import FillErrors, LabelScores, PixelPairs
from cebench.reporting.outcomes import OutcomePart, RunOutcome
from cebench.reporting.results import read_results
from cebench.reporting.sensitivity import PairSensitivity, sensitivity_of
from cebench.reporting.tables import build_tables


def test_labels_by_hand() -> None:
    scores, labels = label_scores()
    part = OutcomePart(scored=LabelScores.from_scores(scores, labels), column="c", suffix="_crop")
    found = by_every_definition(part, "c")
    absent = multilabel_scores(scores[0], np.where(labels == 0, -1, labels))
    assert found["step-wise, crop"] == multilabel_scores(scores[0], labels).mean_ap_sklearn
    assert found["area, difficult as absent, crop"] == absent.mean_ap_area
    assert len(found) == 6
    assert by_every_definition(part, "another") == {}


def test_boxes_by_the_plain_function() -> None:
    detections, truth = boxes()
    part = OutcomePart(scored=ScoredBoxes.from_detections(detections, truth, 30, 4), column="d")
    found = by_every_definition(part, "d")
    plain = detection_scores(detections, truth, 4)
    assert found["11 points, IoU > 0.5"] == plain.mean_ap_voc07_11pt
    every = Objects(truth.images, truth.labels, truth.boxes, np.zeros_like(truth.difficult))
    counted = detection_scores(detections, every, 4)
    assert found["area, IoU > 0.5, difficult count"] == counted.mean_ap_area
    kept = detections.scores > 0.05
    cut = Detections(*(array[kept] for array in vars(detections).values()))
    capped = detection_scores(cut, truth, 4).mean_ap_area
    assert found["area, IoU > 0.5, best 100 > 0.05"] == capped


def test_an_overlap_of_exactly_one_half_counts_by_one_rule_alone() -> None:
    one = np.zeros(1, np.int64)
    truth = Objects(one, one, np.array([[0, 0, 10, 10.0]], "f4"), np.zeros(1, np.bool_))
    found = Detections(one, one, np.ones(1, "f4"), np.array([[0, 0, 10, 20.0]], "f4"))
    part = OutcomePart(scored=ScoredBoxes.from_detections(found, truth, 1, 1), column="d")
    values = by_every_definition(part, "d")
    assert (values["area, IoU > 0.5"], values["area, IoU >= 0.5"]) == (0.0, 1.0)


def test_the_cap_keeps_the_best_hundred_of_each_image() -> None:
    # 150 boxes beside the object score higher than the right one, in one image of two.
    count = 151
    truth = Objects(
        np.array([0, 1]), np.zeros(2, np.int64), np.array([[0, 0, 9, 9], [0, 0, 9, 9]], "f4"),
        np.zeros(2, np.bool_),
    )  # fmt: skip
    wrong = np.tile(np.array([[50, 50, 60, 60]], "f4"), (count - 1, 1))
    found = Detections(
        np.append(np.zeros(count, np.int64), 1),
        np.zeros(count + 1, np.int64),
        np.append(np.linspace(0.9, 0.2, count), 0.1).astype("f4"),
        np.vstack([wrong, truth.boxes]).astype("f4"),
    )
    part = OutcomePart(scored=ScoredBoxes.from_detections(found, truth, 2, 1), column="d")
    values = by_every_definition(part, "d")
    assert values["area, IoU > 0.5"] == pytest.approx(2 / 152)
    assert values["area, IoU > 0.5, best 100 > 0.05"] == pytest.approx(0.5 / 101)


def test_pixels_by_the_plain_function() -> None:
    matrices = confusions()
    found = by_every_definition(OutcomePart(scored=PixelPairs(matrices), column="s"), "s")
    each = [segmentation_scores(matrix).mean_iou for matrix in matrices]
    assert found["mean over images of their mean IoU"] == pytest.approx(np.mean(each))
    iou = segmentation_scores(matrices.sum(axis=0)).iou
    assert found["mean IoU without background"] == pytest.approx(iou[1:].mean())


def test_errors_stand_under_the_column_that_they_are_of() -> None:
    sums = sums_per_image()
    part = OutcomePart(scored=FillErrors.from_sums([one.image for one in sums]), prefix="image_")
    assert list(by_every_definition(part, "psnr")) == [
        *("mean over images, whole image", "pooled, whole image"),
    ]
    assert list(by_every_definition(part, "mean_l1")) == ["whole image"]
    assert by_every_definition(part, "classification") == {}
    assert by_every_definition(replace(part, prefix="border_"), "psnr") == {}


@pytest.mark.parametrize(
    ("differences", "span", "same_sign", "larger"),
    [
        ((0.2, 0.3), 0.1, True, True),
        ((0.05, 0.3), 0.1, True, False),
        ((-0.1, 0.1), 0, False, False),
    ],
)
def test_a_pair_is_judged_by_its_smallest_difference(
    differences: tuple[float, float], span: float, same_sign: bool, larger: bool
) -> None:
    pair = PairSensitivity("a", "b", dict(zip("xy", differences, strict=True)), span)
    assert (pair.same_sign, pair.is_larger) == (same_sign, larger)


def test_a_row_has_its_cells_mean_and_a_pair_the_wider_range_of_its_rows(tmp_path: Path) -> None:
    for row, pretraining, seed in (("context", 0, 0), ("context", 0, 1), ("context", 1, 0)):
        strength = 2.0 if pretraining else 0.5
        folder = tmp_path / f"{row}-{pretraining}-{seed}"
        classification_run(folder, row, strength, seed=seed, weights={"seed": pretraining})
    classification_run(tmp_path / "random", "random", 0.1)
    tables = build_tables(read_results([tmp_path]))
    (column,) = sensitivity_of(tables)
    cells = tables[0].cells.set_index(["row", "metric"])["mean"]
    for row in ("context", "random"):
        mean = cells[row, "mean_ap_sklearn"]
        assert column.values[row]["step-wise"] == pytest.approx(mean)
    (pair,) = column.pairs
    ranges = {np.ptp(list(values.values())) for values in column.values.values()}
    assert len(ranges) == 2
    assert pair.between_definitions == pytest.approx(max(ranges))


def test_report_and_score_print_the_same_table(tmp_path: Path) -> None:
    for row, strength, jitter in (("context", 1.5, 3.0), ("random", 0.2, 30.0)):
        classification_run(tmp_path / f"c-{row}", row, strength)
        detection_run(tmp_path / f"d-{row}", row, jitter)
    text = call(report, tmp_path, "--sensitivity").stdout
    assert text == call(score, "--all", tmp_path).stdout
    assert "context \N{MINUS SIGN} random: +" in text
    found = json.loads(call(score, "--all", tmp_path, "--json").stdout)["columns"]
    assert [column["column"] for column in found] == ["classification", "detection"]
    assert set(found[0]["values"]) == {"random", "context"}
    for format_name in ("csv", "latex"):
        text = call(report, tmp_path, "--sensitivity", "--format", format_name).stdout
        assert "11 points" in text


@pytest.mark.parametrize(
    ("table", "column", "task", "first"),
    [
        ("2", "classification", "classification", "step-wise"),
        ("linear", "conv4", "linear-svm", "area"),
    ],
)
def test_the_headlines_definition_stands_first(
    tmp_path: Path, table: str, column: str, task: str, first: str
) -> None:
    scores, labels = label_scores(60)
    part = OutcomePart(scored=LabelScores.from_scores(scores, labels), column=column)
    outcome = RunOutcome(tuple(map(str, range(60))), (part,))
    head = changed(table=table, column=column, task=task, metric="mean_ap_area", count=60)
    names = ("mean_ap_sklearn", "mean_ap_voc07_11pt")
    others = [replace(head.measurements[0], metric=name) for name in names]
    record = replace(head, measurements=(*head.measurements, *others))
    store_run(tmp_path / "run", record, outcome)
    tables = build_tables(read_results([tmp_path]))
    (found,) = sensitivity_of(tables)
    assert found.definitions[0] == first
    metrics = {"area": "mean_ap_area", "step-wise": "mean_ap_sklearn"}
    assert metrics[first] == found.column.metric


def test_records_alone_have_no_definitions(tmp_path: Path) -> None:
    classification_run(tmp_path / "run", "context", 1.0)
    call(report, tmp_path, "--collect", tmp_path / "copies" / "records")
    with pytest.raises(InputError, match="no stored predictions"):
        call(score, "--all", tmp_path / "copies")


def test_all_is_no_option_of_a_subcommand(tmp_path: Path) -> None:
    result = call(score, "--all", tmp_path, "detection", "--detections", "x", "--data", "y")
    assert result.exit_code == 2
    assert call(report, tmp_path, "--sensitivity", "--baseline", "random").exit_code == 2
