import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from cebench.metrics.average_precision import (
    average_precision_stepwise,
    multilabel_scores,
)
from cebench.metrics.detection import (
    FALSE_POSITIVE,
    NOT_COUNTED,
    TRUE_POSITIVE,
    Detections,
    Objects,
    class_curves,
    detection_scores,
)
from cebench.metrics.image_weights import bootstrap_weights, equal_weights, swap_weights
from cebench.metrics.weighted_average_precision import DEFINITIONS, WeightedAveragePrecision
from cebench.randomness import numpy_generator


def labelled_scores(seed: int, images: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Scores of four classes with many ties, ignored labels, and a class without positives."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([1, 0, -1], p=[0.2, 0.1, 0.7], size=(images, 4))
    labels[:, 3] = -1
    return rng.integers(0, 12, labels.shape).astype(float), labels


def boxes_and_objects(seed: int, images: int = 12) -> tuple[Detections, Objects]:
    """Objects on a row of places, detections of them and beside them, many equal scores."""
    rng = np.random.default_rng(seed)

    def some(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        left = rng.integers(0, 4, count) * 30.0
        boxes = np.stack([left, np.zeros(count), left + 20, np.full(count, 20.0)], axis=1)
        return rng.integers(0, images, count), rng.integers(0, 3, count), boxes

    image, label, boxes = some(40)
    truth = Objects(image, label, boxes, rng.random(40) < 0.2)
    image, label, boxes = some(160)
    shifted = boxes + rng.integers(-4, 5, (160, 1)) * np.array([1, 0, 1, 0])
    return Detections(image, label, rng.integers(0, 40, 160) / 8, shifted), truth


def written_out(
    detections: Detections, truth: Objects, weights: np.ndarray
) -> tuple[Detections, Objects]:
    """Every image as often as its weight says, copies beside each other, each image of its own."""
    first = np.concatenate([[0], np.cumsum(weights)[:-1]])

    def again(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.repeat(np.arange(len(images)), weights[images])
        start = np.repeat(np.cumsum(weights[images]) - weights[images], weights[images])
        return rows, first[images[rows]] + np.arange(len(rows)) - start

    rows, image = again(detections.images)
    d = detections
    copies = Detections(image, d.labels[rows], d.scores[rows], d.boxes[rows])
    rows, image = again(truth.images)
    return copies, Objects(image, truth.labels[rows], truth.boxes[rows], truth.difficult[rows])


@pytest.mark.parametrize("seed", range(6))
def test_classification_equals_the_written_out_draw(seed: int) -> None:
    scores, labels = labelled_scores(seed)
    weights = bootstrap_weights(len(labels), 25, seed)
    run = WeightedAveragePrecision.from_scores(scores, labels)
    per_class, means = run.per_class(weights), run.values(weights)
    for b, column in enumerate(weights.T.astype(int)):
        again = np.repeat(np.arange(len(labels)), column)
        plain = multilabel_scores(scores[again], labels[again])
        for k, name in enumerate(DEFINITIONS):
            expected = getattr(plain, f"ap_{name}")
            np.testing.assert_allclose(per_class[k, :, b], expected, atol=1e-12)
            assert means[k, b] == pytest.approx(getattr(plain, f"mean_ap_{name}"), abs=1e-12)
    np.testing.assert_array_equal(
        run.values(weights, ["mean_ap_area", "mean_ap_sklearn"]), means[[2, 0]]
    )


@pytest.mark.parametrize("seed", range(6))
def test_detection_equals_the_written_out_draw(seed: int) -> None:
    detections, truth = boxes_and_objects(seed)
    weights = bootstrap_weights(12, 25, seed)
    run = WeightedAveragePrecision.from_detections(detections, truth, 3, 12)
    found, means = run.per_class(weights), run.values(weights)
    for b, column in enumerate(weights.T.astype(int)):
        copies = written_out(detections, truth, column)
        plain = detection_scores(*copies, 3)
        for c, scores in enumerate(plain.per_class):
            both = [scores.ap_voc07_11pt, scores.ap_area]
            np.testing.assert_allclose(found[1:, c, b], both, atol=1e-12)
        both = [plain.mean_ap_voc07_11pt, plain.mean_ap_area]
        np.testing.assert_allclose(means[1:, b], both, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_stepwise_precision_of_detections_is_that_of_their_curve(seed: int) -> None:
    detections, truth = boxes_and_objects(seed)
    run = WeightedAveragePrecision.from_detections(detections, truth, 3, 12)
    found = run.per_class(equal_weights(12))[0, :, 0]
    curves = class_curves(detections, truth, 3)
    expected = [average_precision_stepwise(curve.precision, curve.recall) for curve in curves]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_three_draws_of_four_detections_solved_by_hand() -> None:
    # Ranked: right (image 0), wrong (1), not counted (1), right (2); image 1 has a missed object.
    run = WeightedAveragePrecision.from_outcomes(
        image=np.array([0, 1, 1, 2]),
        label=np.zeros(4, np.int64),
        scores=np.array([0.9, 0.8, 0.7, 0.6]),
        outcomes=np.array([TRUE_POSITIVE, FALSE_POSITIVE, NOT_COUNTED, TRUE_POSITIVE]),
        objects=np.array([[1.0, 1.0, 1.0]]),
    )
    weights = np.array([[1, 1, 1], [0, 2, 1], [3, 0, 0]], np.float32).T
    # Draw 1: precision 1 and 2/3 at recalls 1/3 and 2/3: 4 levels see 1, 3 see 2/3, 4 see 0.
    # Draw 2: two wrong, then right: precision 1/3 at recall 1/3: 4 levels of 11.
    # Draw 3: the first image alone, three times: all are found.
    step = [(1 + 2 / 3) / 3, 1 / 9, 1]
    np.testing.assert_allclose(run.values(weights), [step, [6 / 11, 4 / 33, 1], step])


def test_a_class_counts_where_a_draw_has_a_positive_of_it() -> None:
    labels = np.array([[1, -1], [-1, 1], [-1, -1]])
    run = WeightedAveragePrecision.from_scores(np.array([[2.0, 0], [1, 1], [0, 2]]), labels)
    weights = np.array([[1, 1, 1], [3, 0, 0], [0, 0, 3]], np.float32).T
    per_class, means = run.per_class(weights), run.values(weights)
    np.testing.assert_allclose(per_class[0], [[1, 1, np.nan], [1 / 2, np.nan, np.nan]])
    np.testing.assert_allclose(means[0], [3 / 4, 1, np.nan])
    assert run.rarest_images == 1


def test_a_class_with_objects_and_no_true_positive_scores_zero() -> None:
    none = np.zeros(0, np.int64)
    objects = np.array([[1.0, 0.0]])
    run = WeightedAveragePrecision.from_outcomes(none, none, np.zeros(0), none, objects)
    np.testing.assert_array_equal(run.values(np.eye(2)), [[0, np.nan]] * 3)


def test_no_class_has_no_score() -> None:
    run = WeightedAveragePrecision.from_scores(np.zeros((2, 0)), np.zeros((2, 0)))
    np.testing.assert_array_equal(run.values(np.eye(2)), np.full((3, 2), np.nan))


def test_pooled_runs_are_each_run_and_their_exchange() -> None:
    (first, labels), (second, _) = labelled_scores(0), labelled_scores(1)
    a, b = (WeightedAveragePrecision.from_scores(s, labels) for s in (first, second))
    pooled, ones = a.pooled(b), equal_weights(50)
    np.testing.assert_allclose(pooled.values(np.vstack([ones, 0 * ones])), a.values(ones))
    np.testing.assert_allclose(pooled.values(np.vstack([0 * ones, ones])), b.values(ones))
    weights = swap_weights(50, 20, numpy_generator(0, "swap"))
    exchanged = np.concatenate([weights[50:], weights[:50]])
    np.testing.assert_allclose(pooled.values(exchanged), b.pooled(a).values(weights))


def test_only_the_order_of_scores_matters_when_runs_are_pooled() -> None:
    rng = np.random.default_rng(5)
    labels = np.where(rng.random((40, 3)) < 0.3, 1, -1)
    first, second = rng.normal(size=(2, 40, 3))
    a, b, c = (
        WeightedAveragePrecision.from_scores(s, labels)
        for s in (first, second, 50 + 10 * np.exp(second))
    )
    weights = swap_weights(40, 10, numpy_generator(0, "swap"))
    np.testing.assert_array_equal(a.pooled(b).values(weights), a.pooled(c).values(weights))


@pytest.mark.shared_data
def test_known_scores_of_a_detector_on_voc2007_test(shared_data: Path) -> None:
    with gzip.open(shared_data / "eval" / "voc2007test_annots.json.gz", "rt") as file:
        annotations = json.load(file)
    number = {image_id: n for n, image_id in enumerate(annotations)}
    paths = sorted((shared_data / "eval" / "det" / "zengyian3").glob("*.txt.gz"))
    classes = [path.name.split("_")[-1].split(".")[0] for path in paths]
    rows = []
    for label, path in enumerate(paths):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            image_id, *values = line.split()
            rows.append((number[image_id], label, *map(float, values)))
    table = np.array(rows)
    places = table[:, :2].astype(np.int64).T
    found = [
        (n, classes.index(o["name"]), *o["bbox"], o["difficult"])
        for n, objects in enumerate(annotations.values())
        for o in objects
    ]
    objects = np.array(found, dtype=np.float64)
    corner = np.array([1.0, 1.0, 0.0, 0.0])
    run = WeightedAveragePrecision.from_detections(
        Detections(*places, table[:, 2], table[:, 3:] - corner),
        Objects(*objects[:, :2].astype(np.int64).T, objects[:, 2:6] - corner, objects[:, 6] > 0),
        len(classes),
        len(annotations),
    )
    _, eleven, area = run.values(equal_weights(len(annotations)))[:, 0]
    assert (f"{eleven:.6f}", f"{area:.6f}") == ("0.677483", "0.696757")
