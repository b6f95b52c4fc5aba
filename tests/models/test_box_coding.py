import math

import numpy as np
import pytest
import torch

from cebench.models.box_coding import (
    box_iou,
    box_target_statistics,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    nms,
)


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.integers(0, 300, (count, 2))
    return np.hstack([corners, corners + rng.integers(2, 200, (count, 2))]).astype(np.float32)


def test_encoding_of_a_hand_solved_box() -> None:
    # Inclusive (10, 20, 30, 60) has sides 20, 40 and centre (20, 40); the object (12, 16, 52, 36)
    # has sides 40, 20 and centre (32, 26).
    box = np.array([[10, 20, 31, 61]], np.float32)
    target = np.array([[12, 16, 53, 37]], np.float32)
    expected = [12 / 20, -14 / 40, math.log(2), -math.log(2)]
    np.testing.assert_allclose(encode_boxes(box, target)[0], expected, rtol=1e-6)


def test_encoding_is_the_originals_in_inclusive_corners() -> None:
    rng = np.random.default_rng(0)
    boxes, targets = random_boxes(rng, 50), random_boxes(rng, 50)
    ex, gt = boxes - [0, 0, 1, 1], targets - [0, 0, 1, 1]
    ex_w, ex_h = ex[:, 2] - ex[:, 0] + 1e-14, ex[:, 3] - ex[:, 1] + 1e-14
    gt_w, gt_h = gt[:, 2] - gt[:, 0] + 1e-14, gt[:, 3] - gt[:, 1] + 1e-14
    dx = (gt[:, 0] + 0.5 * gt_w - ex[:, 0] - 0.5 * ex_w) / ex_w
    dy = (gt[:, 1] + 0.5 * gt_h - ex[:, 1] - 0.5 * ex_h) / ex_h
    original = np.stack([dx, dy, np.log(gt_w / ex_w), np.log(gt_h / ex_h)], axis=1)
    np.testing.assert_allclose(encode_boxes(boxes, targets), original, rtol=1e-5, atol=1e-6)


def test_decoding_inverts_encoding_and_normalisation() -> None:
    rng = np.random.default_rng(1)
    boxes, targets = random_boxes(rng, 30), random_boxes(rng, 30)
    mean, std = torch.tensor([[0.1, -0.2, 0.3, 0.0]] * 2), torch.tensor([[0.5, 2.0, 0.1, 1.0]] * 2)
    deltas = (torch.from_numpy(encode_boxes(boxes, targets)) - mean[0]) / std[0]
    wrong_class = torch.zeros_like(deltas)
    decoded = decode_boxes(
        torch.from_numpy(boxes), torch.cat([wrong_class, deltas], dim=1), mean, std
    )
    assert decoded.shape == (30, 2, 4)
    torch.testing.assert_close(decoded[:, 1], torch.from_numpy(targets), rtol=1e-4, atol=1e-3)


def test_zero_deltas_leave_a_box_where_it_is() -> None:
    box = torch.tensor([[5.0, 6.0, 25.0, 46.0]])
    decoded = decode_boxes(box, torch.zeros(1, 8), torch.zeros(2, 4), torch.ones(2, 4))
    assert decoded.tolist() == [[box[0].tolist()] * 2]


def test_one_pixel_wide_boxes_have_finite_targets() -> None:
    line = np.array([[10, 10, 11, 40]], np.float32)
    wide = np.array([[10, 10, 12, 40]], np.float32)
    assert np.abs(encode_boxes(line, wide)).max() < 2
    assert np.abs(encode_boxes(wide, line)).max() < 2


def test_iou_of_hand_solved_boxes() -> None:
    # 2 x 2 against: itself; one shifted by a pixel (2 of 6 pixels); one that only touches it.
    box = np.array([[0, 0, 2, 2]], np.float32)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2]], np.float32)
    np.testing.assert_allclose(box_iou(box, others), [[1, 1 / 3, 0]])


def test_empty_boxes_overlap_nothing() -> None:
    boxes = np.array([[3, 3, 3, 3], [0, 0, 4, 4]], np.float32)
    np.testing.assert_array_equal(box_iou(boxes, boxes), [[0, 0], [0, 1]])


def test_iou_is_the_originals_with_one_added_to_inclusive_sides() -> None:
    rng = np.random.default_rng(2)
    boxes, others = random_boxes(rng, 20), random_boxes(rng, 15)
    for r, (ax1, ay1, ax2, ay2) in enumerate(boxes - [0, 0, 1, 1]):
        for g, (bx1, by1, bx2, by2) in enumerate(others - [0, 0, 1, 1]):
            width = max(min(ax2, bx2) - max(ax1, bx1) + 1, 0)
            height = max(min(ay2, by2) - max(ay1, by1) + 1, 0)
            areas = (ax2 - ax1 + 1) * (ay2 - ay1 + 1) + (bx2 - bx1 + 1) * (by2 - by1 + 1)
            expected = width * height / (areas - width * height)
            assert box_iou(boxes, others)[r, g] == pytest.approx(expected)


def test_statistics_are_per_class_and_leave_the_background_out() -> None:
    targets = np.array([[9, 9, 9, 9], [1, 2, 0, 5], [3, 2, 0, 7], [4, 4, 4, 4]], np.float32)
    mean, std = box_target_statistics(targets, np.array([0, 2, 2, 1]), num_classes=3)
    np.testing.assert_array_equal(mean, [[0] * 4, [4] * 4, [2, 2, 0, 6], [0] * 4])
    # One sample, or a coordinate that never varies, has a spread of 0: divided by 1 instead.
    np.testing.assert_array_equal(std, [[1] * 4, [1] * 4, [1, 1, 1, 1], [1] * 4])
    _, std = box_target_statistics(2 * targets, np.array([0, 2, 2, 1]), num_classes=3)
    np.testing.assert_array_equal(std[2], [2, 1, 1, 2])


def test_clipping_keeps_a_pixel_of_every_box() -> None:
    boxes = torch.tensor(
        [[-5.0, -5, 400, 300], [10, 20, 30, 40], [350, 250, 360, 260], [-9, -9, -5, -5]]
    )
    clipped = clip_boxes(boxes, height=200, width=300)
    assert clipped.tolist() == [
        [0, 0, 300, 200],
        [10, 20, 30, 40],
        [299, 199, 300, 200],
        [0, 0, 1, 1],
    ]


def test_infinite_boxes_clip_to_the_image() -> None:
    infinity = math.inf
    boxes = torch.tensor([[-infinity, -infinity, infinity, infinity]])
    assert clip_boxes(boxes, height=20, width=30).tolist() == [[0, 0, 30, 20]]


def test_suppression_at_and_above_the_threshold() -> None:
    # 10 x 10 boxes shifted by 5, 4 and 10 pixels from the first: IoU 50/150, 60/140 and 0.
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [0, 4, 10, 14]])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.95])
    assert nms(boxes[[0, 1, 2]], scores[[0, 1, 2]], 0.3).tolist() == [0, 2]
    assert nms(boxes[[0, 1, 2]], scores[[0, 1, 2]], 0.4).tolist() == [0, 1, 2]
    assert nms(boxes[[0, 3]], scores[[0, 3]], 0.4).tolist() == [1]
    # Exactly at the threshold a box stays: 10 x 10 inside 20 x 10 is an IoU of 0.5.
    nested = torch.tensor([[0.0, 0, 20, 10], [0, 0, 10, 10]])
    assert nms(nested, scores[:2], 0.5).tolist() == [0, 1]
