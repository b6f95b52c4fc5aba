"""Resizing of squares, by hand and against OpenCV and torch."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from cebench.data.resize import resize


def test_resize_averages_areas_and_interpolates() -> None:
    line = np.array([0, 3, 9], np.uint8).reshape(1, 3, 1)
    # Two of three: pixels of 1.5: (0 + 3/2) / 1.5 and (3/2 + 9) / 1.5.
    assert resize(line, 1, 2).ravel().tolist() == [1, 7]
    # Six of three: centres at -.25 (the border), .25, .75, 1.25, 1.75, 2.25 (the border).
    assert resize(line, 1, 6).ravel().tolist() == [0, 0.75, 2.25, 4.5, 7.5, 9]
    assert resize(line, 2, 1).ravel().tolist() == [4, 4]


def test_resize_equals_opencvs_area_and_torchs_bilinear() -> None:
    image = np.random.default_rng(0).random((227, 227, 3))
    expected = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resize(image, 128, 128), expected, atol=1e-12)
    batch = torch.from_numpy(image[None, :50, :40]).permute(0, 3, 1, 2)
    larger = F.interpolate(batch, (227, 150), mode="bilinear").permute(0, 2, 3, 1)
    np.testing.assert_allclose(resize(image[None, :50, :40], 227, 150), larger, atol=1e-12)
