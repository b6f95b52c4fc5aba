from pathlib import Path

import numpy as np
import pytest

from cebench.data.voc.devkit import VOC_CLASSES, VocYear
from cebench.metrics.detection import Detections, Objects, detection_scores
from cebench.transfer.detection.data import read_set
from cebench.transfer.detection.pictures import found_overlap
from cebench.transfer.detection.report import similar_classes, write_report


def test_overlap_of_an_image_is_that_of_its_objects_with_their_class() -> None:
    square = (0.0, 0, 10, 10)
    truth = Objects(
        images=np.array([4, 4, 4]),
        labels=np.array([1, 2, 2]),
        boxes=np.array([square, square, (50, 50, 60, 60)], np.float32),
        difficult=np.array([False, False, True]),
    )
    found = Detections(
        images=np.array([4, 4]),
        labels=np.array([1, 3]),
        scores=np.array([0.5, 0.9]),
        boxes=np.array([(0, 0, 10, 6), square]),
    )
    # Object 1 by 60 of 100 pixels; object 2 by none of its class; the difficult one is left out.
    assert found_overlap(found, truth, 4, np.array([0, 1])) == pytest.approx(0.3)
    assert found_overlap(found, truth, 4, np.array([], int)) == 0
    assert np.isnan(found_overlap(found, truth, 5, np.array([], int)))


def test_a_set_without_any_detection_is_reported(devkit: Path, tmp_path: Path) -> None:
    voc = VocYear(devkit, 2007)
    test = read_set(voc, "test", voc.ids("test"))
    empty = np.zeros(0, np.int64)
    nothing = Detections(empty, empty, np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
    scores = detection_scores(nothing, test.objects(), len(VOC_CLASSES))
    assert scores.mean_ap_area == 0
    write_report(tmp_path, nothing, test, scores, 3)
    for name in ("precision_recall.png", "errors.png", "samples/detections.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_similar_classes_are_mutual_and_never_the_same() -> None:
    similar = similar_classes()
    assert (similar == similar.T).all()
    assert not similar.diagonal().any()
    named = {name: similar[VOC_CLASSES.index(name)] for name in ("bottle", "sofa", "bird")}
    assert not named["bottle"].any()
    assert {VOC_CLASSES[i] for i in np.flatnonzero(named["sofa"])} == {"chair", "diningtable"}
    assert named["bird"][VOC_CLASSES.index("aeroplane")]
