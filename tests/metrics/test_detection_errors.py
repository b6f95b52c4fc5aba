import numpy as np

from cebench.metrics.detection import Detections, Objects
from cebench.metrics.detection_errors import KINDS, error_kinds

CAT, DOG, CAR = 0, 1, 2
SIMILAR = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
SQUARE, FAR = (0, 0, 10, 10), (50, 50, 60, 60)


def errors(*rows: tuple[int, int, float, tuple[int, ...]], truth: Objects) -> dict[int, list[str]]:
    """Kinds of each class, each as often as it was counted."""
    images, labels, scores, boxes = zip(*rows, strict=True)
    detections = Detections(
        np.array(images), np.array(labels), np.array(scores), np.array(boxes, np.float64)
    )
    counts = error_kinds(detections, truth, SIMILAR)
    assert counts.shape == (3, len(KINDS))
    return {
        label: [kind for kind, n in zip(KINDS, row, strict=True) for _ in range(n)]
        for label, row in enumerate(counts.tolist())
    }


def objects(*rows: tuple[int, int, tuple[int, ...], bool]) -> Objects:
    images, labels, boxes, difficult = zip(*rows, strict=True)
    return Objects(
        np.array(images), np.array(labels), np.array(boxes, np.float32), np.array(difficult)
    )


def test_every_kind_solved_by_hand() -> None:
    # Six dogs far away let six dogs be counted; the cat, the car and one dog share image 0.
    truth = objects(
        (0, DOG, SQUARE, False),
        (1, CAT, SQUARE, False),
        (2, CAR, SQUARE, False),
        *((9, DOG, FAR, False) for _ in range(5)),
    )
    found = errors(
        (0, DOG, 0.9, SQUARE),  # the dog
        (0, DOG, 0.8, (0, 0, 10, 9)),  # again
        (0, DOG, 0.7, (0, 0, 10, 3)),  # 30 of 100 pixels
        (1, DOG, 0.6, SQUARE),  # a cat is like a dog
        (2, DOG, 0.5, SQUARE),  # a car is not
        (3, DOG, 0.4, SQUARE),  # nothing there
        (3, DOG, 0.3, FAR),  # beyond the number of dogs
        truth=truth,
    )
    assert found == {CAT: [], DOG: list(KINDS), CAR: []}


def test_an_object_of_the_own_class_explains_before_a_similar_one() -> None:
    truth = objects((0, DOG, (0, 0, 10, 2), False), (0, CAT, SQUARE, False))
    # 20 of 100 pixels with the dog, all with the cat.
    assert errors((0, DOG, 0.9, SQUARE), truth=truth)[DOG] == ["location"]
    # 9 of 100 pixels are too few.
    truth = objects((0, DOG, (0, 0, 9, 1), False), (0, CAT, SQUARE, False))
    assert errors((0, DOG, 0.9, SQUARE), truth=truth)[DOG] == ["similar class"]


def test_detections_of_difficult_objects_are_passed_over() -> None:
    truth = objects((0, DOG, SQUARE, True), (1, DOG, SQUARE, False))
    found = errors((0, DOG, 0.9, SQUARE), (1, DOG, 0.8, SQUARE), truth=truth)
    assert found[DOG] == ["correct"]
