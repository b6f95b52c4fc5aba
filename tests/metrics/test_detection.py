import csv
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_detection_files
from cebench.metrics.detection import (
    FALSE_POSITIVE,
    NOT_COUNTED,
    TRUE_POSITIVE,
    Detections,
    DetectionScores,
    Objects,
    detection_scores,
    match_detections,
    stack_objects,
)


def _detections(*rows: tuple[int, int, float, tuple[float, ...]]) -> Detections:
    """Rows of image, label, score, box."""
    images, labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Detections(
        np.array(images, np.int64),
        np.array(labels, np.int64),
        np.array(scores, np.float64),
        np.array(boxes, np.float64).reshape(-1, 4),
    )


def _objects(*rows: tuple[int, int, tuple[float, ...], bool]) -> Objects:
    """Rows of image, label, box, difficult."""
    images, labels, boxes, difficult = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Objects(
        np.array(images, np.int64),
        np.array(labels, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(difficult, np.bool_),
    )


SQUARE = (0.0, 0.0, 10.0, 10.0)
FAR = (50.0, 50.0, 60.0, 60.0)


def test_later_detection_of_a_found_object_is_wrong() -> None:
    detections = _detections((0, 0, 0.5, SQUARE), (0, 0, 0.9, (0, 0, 10, 9)))
    outcomes = match_detections(detections, _objects((0, 0, SQUARE, False)))
    # The higher score wins although the other overlaps more.
    assert outcomes.tolist() == [FALSE_POSITIVE, TRUE_POSITIVE]


def test_equal_scores_are_taken_in_row_order() -> None:
    detections = _detections((0, 0, 0.5, (0, 0, 10, 9)), (0, 0, 0.5, SQUARE))
    outcomes = match_detections(detections, _objects((0, 0, SQUARE, False)))
    assert outcomes.tolist() == [TRUE_POSITIVE, FALSE_POSITIVE]


def test_detection_does_not_fall_back_to_its_second_best_object() -> None:
    # Both detections overlap the first object most; the second object stays unfound even though
    # the second detection overlaps it by 9/11 > 0.5.
    truth = _objects((0, 0, SQUARE, False), (0, 0, (0, 0, 10, 9), False))
    detections = _detections((0, 0, 0.9, SQUARE), (0, 0, 0.8, (0, 0, 10, 11)))
    outcomes = match_detections(detections, truth)
    assert outcomes.tolist() == [TRUE_POSITIVE, FALSE_POSITIVE]


def test_difficult_objects_are_neither_right_nor_wrong_however_often_found() -> None:
    truth = _objects((0, 0, SQUARE, True), (0, 0, FAR, False))
    detections = _detections((0, 0, 0.9, SQUARE), (0, 0, 0.8, SQUARE), (0, 0, 0.7, FAR))
    outcomes = match_detections(detections, truth)
    assert outcomes.tolist() == [NOT_COUNTED, NOT_COUNTED, TRUE_POSITIVE]
    scores = detection_scores(detections, truth, 1).per_class[0]
    assert (scores.ap_voc07_11pt, scores.ap_area) == (1.0, 1.0)
    assert (scores.objects, scores.detections) == (1, 3)


def test_overlap_must_exceed_the_threshold() -> None:
    # 50 of 100 pixels: the overlap is exactly 1/2.
    detections, truth = _detections((0, 0, 1.0, (0, 0, 10, 5))), _objects((0, 0, SQUARE, False))
    assert match_detections(detections, truth).tolist() == [FALSE_POSITIVE]
    assert match_detections(detections, truth, iou_threshold=0.499).tolist() == [TRUE_POSITIVE]


def test_areas_are_those_of_inclusive_pixels() -> None:
    # Devkit boxes 1..10 and 1..7 have 10 and 7 columns: IoU 0.7; without its + 1, 6/9.
    detections, truth = (
        _detections((0, 0, 1.0, (0, 0, 7, 1))),
        _objects((0, 0, (0, 0, 10, 1), False)),
    )
    assert match_detections(detections, truth, iou_threshold=0.69).tolist() == [TRUE_POSITIVE]


def test_other_images_and_classes_do_not_match() -> None:
    truth = _objects((3, 2, SQUARE, False))
    detections = _detections((2, 2, 0.9, SQUARE), (3, 1, 0.8, SQUARE), (3, 2, 0.7, SQUARE))
    outcomes = match_detections(detections, truth)
    assert outcomes.tolist() == [FALSE_POSITIVE, FALSE_POSITIVE, TRUE_POSITIVE]


def test_average_precision_of_four_detections_solved_by_hand() -> None:
    # Three objects; ranked right, wrong, right, (third object never found).
    #   recall 1/3 1/3 2/3, precision 1 1/2 2/3
    #   area = 1/3 + 1/3 * 2/3; eleven points: 4 levels see 1, 3 see 2/3, 4 see 0.
    truth = _objects((0, 0, SQUARE, False), (1, 0, SQUARE, False), (2, 0, SQUARE, False))
    detections = _detections((0, 0, 0.9, SQUARE), (0, 0, 0.8, FAR), (1, 0, 0.7, SQUARE))
    scores = detection_scores(detections, truth, 1)
    assert scores.mean_ap_area == pytest.approx(5 / 9, abs=1e-15)
    assert scores.mean_ap_voc07_11pt == pytest.approx(6 / 11, abs=1e-15)


def test_class_without_objects_is_nan_and_left_out_of_the_mean() -> None:
    truth = _objects((0, 0, SQUARE, False), (0, 1, FAR, True))
    scores = detection_scores(_detections((0, 0, 0.9, SQUARE), (0, 2, 0.9, FAR)), truth, 4)
    assert [math.isnan(c.ap_area) for c in scores.per_class] == [False, True, True, True]
    assert scores.mean_ap_voc07_11pt == scores.mean_ap_area == 1.0


def test_no_detections_score_zero_and_nothing_at_all_is_nan() -> None:
    scores = detection_scores(_detections(), _objects((0, 0, SQUARE, False)), 1)
    assert (scores.mean_ap_voc07_11pt, scores.mean_ap_area) == (0.0, 0.0)
    assert math.isnan(detection_scores(_detections(), _objects(), 1).mean_ap_area)


def test_empty_and_reversed_boxes_are_wrong_without_a_warning() -> None:
    truth = _objects((0, 0, SQUARE, False), (0, 0, (5, 5, 5, 5), False))
    detections = _detections((0, 0, 0.9, (5, 5, 5, 5)), (0, 0, 0.8, (9, 9, 1, 1)))
    assert match_detections(detections, truth).tolist() == [FALSE_POSITIVE, FALSE_POSITIVE]


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        match_detections(_detections((0, 0, math.nan, SQUARE)), _objects())


def test_stacked_objects_keep_the_order_of_the_images() -> None:
    boxes = np.array([SQUARE, FAR], np.float32)
    nothing = boxes[:0], np.zeros(0, np.int64), np.zeros(0, np.bool_)
    objects = stack_objects([nothing, (boxes, np.array([4, 2]), np.array([True, False]))])
    assert objects.images.tolist() == [1, 1]
    assert objects.labels.tolist() == [4, 2]
    assert objects.difficult.tolist() == [True, False]
    np.testing.assert_array_equal(objects.boxes, boxes)
    assert len(stack_objects([]).images) == 0


@pytest.mark.parametrize("seed", range(12))
def test_every_float_equals_a_written_out_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    detections, truth = _random_case(rng)
    scores = detection_scores(detections, truth, 6, iou_threshold=0.3 + 0.1 * (seed % 4))
    for label, row in enumerate(scores.per_class):
        expected = _reference(detections, truth, label, 0.3 + 0.1 * (seed % 4))
        np.testing.assert_array_equal((row.ap_voc07_11pt, row.ap_area), expected)


def _random_case(rng: np.random.Generator) -> tuple[Detections, Objects]:
    """Crowded images, tied scores, repeated boxes; label 4 has no object, 5 only difficult ones."""
    count, shots = 120, 1500
    corner = rng.integers(0, 40, (count, 2))
    boxes = np.hstack([corner, corner + rng.integers(1, 40, (count, 2))])
    labels = rng.choice([0, 1, 2, 3, 5], count)
    truth = Objects(
        images=rng.integers(0, 12, count),
        labels=labels,
        boxes=boxes.astype(np.float32),
        difficult=(rng.random(count) < 0.2) | (labels == 5),
    )
    source = rng.integers(0, count, shots)
    shake = rng.integers(-6, 7, (shots, 4)) * (rng.random((shots, 1)) < 0.7)
    return Detections(
        images=truth.images[source],
        labels=np.where(rng.random(shots) < 0.1, rng.integers(0, 6, shots), labels[source]),
        scores=rng.integers(0, 60, shots) / 60,
        boxes=boxes[source] + shake.astype(np.float64),
    ), truth


def _reference(
    detections: Detections, truth: Objects, label: int, threshold: float
) -> tuple[float, float]:
    """One class, in the devkit's inclusive pixels, one detection after another."""
    objects: dict[int, list[tuple[np.ndarray, bool]]] = {}
    for row in np.flatnonzero(truth.labels == label).tolist():
        box = truth.boxes[row].astype(np.float64) - (0, 0, 1, 1)
        objects.setdefault(int(truth.images[row]), []).append((box, bool(truth.difficult[row])))
    total = sum(not difficult for group in objects.values() for _, difficult in group)
    if total == 0:
        return math.nan, math.nan

    ranked = np.flatnonzero(detections.labels == label).tolist()
    ranked.sort(key=lambda row: -detections.scores[row])
    found: set[tuple[int, int]] = set()
    right = wrong = 0
    recall, precision = [], []
    for row in ranked:
        image = int(detections.images[row])
        box = detections.boxes[row] - (0, 0, 1, 1)
        best, chosen = 0.0, -1
        for number, (other, _) in enumerate(objects.get(image, [])):
            overlap = _inclusive_iou(box, other)
            if overlap > best:
                best, chosen = overlap, number
        if best > threshold and objects[image][chosen][1]:
            pass
        elif best > threshold and (image, chosen) not in found:
            found.add((image, chosen))
            right += 1
        else:
            wrong += 1
        recall.append(right / total)
        precision.append(right / max(right + wrong, 1))
    return _reference_eleven_points(recall, precision), _reference_area(recall, precision)


def _inclusive_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return float(common / (areas[0] + areas[1] - common))


def _reference_eleven_points(recall: list[float], precision: list[float]) -> float:
    best = [
        max((p for r, p in zip(recall, precision, strict=True) if r >= level), default=0.0)
        for level in np.arange(0, 1.1, 0.1)
    ]
    return math.fsum(best) / 11


def _reference_area(recall: list[float], precision: list[float]) -> float:
    recall, precision = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for rank in reversed(range(len(precision) - 1)):
        precision[rank] = max(precision[rank], precision[rank + 1])
    strips = [
        (recall[rank] - recall[rank - 1]) * precision[rank]
        for rank in range(1, len(recall))
        if recall[rank] != recall[rank - 1]
    ]
    return float(np.sum(np.array(strips)))


def test_order_of_the_rows_does_not_matter_without_ties() -> None:
    rng = np.random.default_rng(3)
    detections, truth = _random_case(rng)
    detections = Detections(
        detections.images, detections.labels, rng.permutation(1500) / 1500, detections.boxes
    )
    order = rng.permutation(1500)
    shuffled = Detections(
        detections.images[order],
        detections.labels[order],
        detections.scores[order],
        detections.boxes[order],
    )
    assert repr(detection_scores(shuffled, truth, 6)) == repr(
        detection_scores(detections, truth, 6)
    )


@pytest.mark.shared_data
def test_published_answers_of_a_detector_on_voc2007_test(shared_data: Path) -> None:
    folder = shared_data / "eval"
    with gzip.open(folder / "voc2007test_annots.json.gz", "rt") as file:
        annotations = json.load(file)
    ids = list(annotations)
    truth = stack_objects(_parsed(annotations[image_id]) for image_id in ids)
    rows = read_detection_files(folder / "det" / "zengyian3", "test", ids)
    detections = Detections(**rows._asdict())
    scores = detection_scores(detections, truth, len(VOC_CLASSES))
    assert f"{scores.mean_ap_voc07_11pt:.6f}" == "0.677483"
    assert f"{scores.mean_ap_area:.6f}" == "0.696757"

    # The published digits come from numpy's default sort, which orders equal scores differently on
    # every kind of CPU. So a class's area must equal them where the order of ties cannot be seen in
    # six decimals, and elsewhere they must lie between the worst order and the best.
    worst, best = _with_ties_reordered(detections, truth)
    with (folder / "known_ap_voc2007test.csv").open(newline="") as file:
        known = {row["class"]: row for row in csv.DictReader(file)}
    visible_ties = set()
    for name, found, low, high in zip(
        VOC_CLASSES, scores.per_class, worst.per_class, best.per_class, strict=True
    ):
        assert f"{found.ap_voc07_11pt:.6f}" == known[name]["ap07_ref"]
        assert found.detections == int(known[name]["n_det"])
        assert found.objects == int(known[name]["npos"])
        if f"{low.ap_area:.6f}" == f"{high.ap_area:.6f}":
            assert f"{found.ap_area:.6f}" == known[name]["ap12_ref"]
        else:
            visible_ties.add(name)
            assert low.ap_area - 5e-7 <= float(known[name]["ap12_ref"]) <= high.ap_area + 5e-7
        assert found.ap_area == pytest.approx(float(known[name]["ap12_ref"]), abs=2e-6)
    assert len(visible_ties) == 9


def _with_ties_reordered(
    detections: Detections, truth: Objects
) -> tuple[DetectionScores, DetectionScores]:
    """The scores with wrong detections first among equal ones, and with right ones first."""
    outcomes = match_detections(detections, truth)
    found = []
    for sign in (1, -1):
        order = np.lexsort((sign * outcomes, -detections.scores))
        reordered = Detections(*(column[order] for column in vars(detections).values()))
        found.append(detection_scores(reordered, truth, len(VOC_CLASSES)))
    return found[0], found[1]


def _parsed(objects: list[dict[str, object]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes = np.array([o["bbox"] for o in objects], np.float32).reshape(-1, 4) - (1, 1, 0, 0)
    labels = np.array([VOC_CLASSES.index(str(o["name"])) for o in objects], np.int64)
    return boxes, labels, np.array([o["difficult"] == 1 for o in objects], np.bool_)


@pytest.mark.shared_data
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.75])
def test_published_answers_of_seven_small_images(shared_data: Path, threshold: float) -> None:
    folder = shared_data / "eval" / "padilla"
    known = json.loads((folder / "known.json").read_text())
    shots, objects = [], []
    for image, path in enumerate(sorted((folder / "dets").glob("*.txt"))):
        for line in path.read_text().splitlines():
            score, *box = map(float, line.split()[1:])
            shots.append((image, 0, score, _from_size(box)))
        for line in (folder / "gts" / path.name).read_text().splitlines():
            objects.append((image, 0, _from_size([*map(float, line.split()[1:])]), False))
    scores = detection_scores(_detections(*shots), _objects(*objects), 1, threshold)
    assert scores.mean_ap_voc07_11pt == pytest.approx(known["ap11"][str(threshold)], abs=1e-9)
    assert scores.mean_ap_area == pytest.approx(known["apall"][str(threshold)], abs=1e-9)


def _from_size(box: list[float]) -> tuple[float, ...]:
    # That evaluator reads x y w h as the inclusive corners x, y, x + w, y + h.
    x, y, width, height = box
    return x, y, x + width + 1, y + height + 1
