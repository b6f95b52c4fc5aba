import numpy as np
import pytest
import torch

from cebench.models.box_coding import box_iou, encode_boxes
from cebench.models.roi_sampling import label_rois, network_rois, pyramid_rois, sample_rois

OBJECTS = np.array([[10, 10, 60, 60], [100, 100, 200, 180]], np.float32)
LABELS = np.array([4, 11])


def grid_of_proposals() -> np.ndarray:
    corners = np.array([[x, y] for x in range(0, 180, 6) for y in range(0, 180, 6)])
    sides = np.array([[50, 50], [90, 80]])[np.arange(len(corners)) % 2]
    return np.hstack([corners, corners + sides]).astype(np.float32)


def test_boxes_take_label_and_target_of_the_object_they_overlap_most() -> None:
    boxes = np.array([[12, 10, 62, 60], [100, 100, 200, 180], [0, 0, 30, 30]], np.float32)
    rois, overlaps = label_rois(boxes, OBJECTS, LABELS)
    assert rois.labels.tolist() == [5, 12, 0]  # label + 1; the third overlaps too little
    np.testing.assert_array_equal(rois.targets[:2], encode_boxes(boxes[:2], OBJECTS))
    assert not rois.targets[1:].any()
    # 48 x 50 of 2500 + 2500 - 2400 pixels; all; 20 x 20 of 2500 + 900 - 400.
    np.testing.assert_allclose(overlaps, [2400 / 2600, 1, 400 / 3000])


def test_sample_keeps_the_protocols_shares_and_intervals() -> None:
    rois = sample_rois(np.random.default_rng(0), grid_of_proposals(), OBJECTS, LABELS)
    overlaps = box_iou(rois.boxes, OBJECTS).max(axis=1)
    assert len(rois.boxes) == 64
    assert (rois.labels > 0).sum() == 16
    assert (rois.labels[:16] > 0).all()
    assert (overlaps[:16] >= 0.5).all()
    assert ((overlaps[16:] >= 0.1) & (overlaps[16:] < 0.5)).all()
    assert len(np.unique(rois.boxes, axis=0)) == 64  # drawn without replacement


def test_scarce_foreground_is_made_up_by_background_and_never_the_reverse() -> None:
    # Two objects and no proposal near: 2 foreground. 100 proposals of IoU 400/3000: background.
    near = np.tile(np.array([[0, 0, 30, 30]], np.float32), (100, 1))
    rois = sample_rois(np.random.default_rng(0), near, OBJECTS, LABELS)
    assert (rois.labels > 0).sum() == 2
    assert len(rois.labels) == 64
    # Only foreground, and proposals that overlap nothing: 16 of 32, and no backfill.
    good = np.concatenate([np.tile(OBJECTS, (15, 1)), [[300, 300, 330, 330]]]).astype(np.float32)
    assert len(sample_rois(np.random.default_rng(0), good, OBJECTS, LABELS).labels) == 16


def test_objects_themselves_are_candidates() -> None:
    rois = sample_rois(np.random.default_rng(0), np.zeros((0, 4), np.float32), OBJECTS, LABELS)
    assert sorted(rois.labels.tolist()) == [5, 12]
    assert not rois.targets.any()  # a box needs no correction towards itself


def test_sample_is_a_function_of_the_generator() -> None:
    first, again, other = (
        sample_rois(np.random.default_rng(seed), grid_of_proposals(), OBJECTS, LABELS)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.boxes, other.boxes)


def test_an_image_without_objects_yields_nothing() -> None:
    rois = sample_rois(
        np.random.default_rng(0),
        grid_of_proposals(),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int64),
    )
    assert (len(rois.boxes), len(rois.labels), len(rois.targets)) == (0, 0, 0)


def test_network_rois_scale_inclusive_corners() -> None:
    # Half-open (10, 20, 31, 41) is inclusive (10, 20, 30, 40): doubled (20, 40, 60, 80).
    box = np.array([[10, 20, 31, 41]], np.float32)
    rois = network_rois([box, np.zeros((0, 4), np.float32), box], [2.0, 1.0, 1.0])
    assert rois.tolist() == [[0, 20, 40, 61, 81], [2, 10, 20, 31, 41]]


def test_network_rois_need_a_scale_for_each_image() -> None:
    with pytest.raises(ValueError, match="zip"):
        network_rois([OBJECTS], [])


def test_a_region_goes_to_the_scale_where_its_area_is_closest_to_224_squared() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 0, 224, 224], [10, 20, 400, 320]], np.float32)
    rois = pyramid_rois(boxes, [0.5, 1.0, 2.0])
    # 100 px: 50, 100 or 200 a side, 200 is closest; 224 px at 1; 390 x 300 = 342 squared: at 0.5
    # it is 171 squared, 20,926 pixels off, at 1 it is 66,824 off.
    assert rois[:, 0].tolist() == [2, 1, 0]
    for level, scale in ((2, 2.0), (1, 1.0), (0, 0.5)):
        row = int((rois[:, 0] == level).nonzero())
        expected = network_rois([boxes[row : row + 1]], [scale])
        assert torch.equal(rois[row, 1:], expected[0, 1:])


def test_no_regions_have_no_scale() -> None:
    assert pyramid_rois(np.zeros((0, 4), np.float32), [1.0, 2.0]).shape == (0, 5)
