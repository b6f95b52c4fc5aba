import cv2
import numpy as np
import pytest
import torch

from cebench.data.store.ragged import RaggedImages, squashed
from cebench.errors import InputError
from cebench.models.backbones import CAFFENET, build_backbone
from cebench.transfer.frozen_features import layer_features, learnable
from cebench.weights.files import Preprocessing


def test_classes_without_positives_or_negatives_cannot_be_learnt() -> None:
    labels = np.full((3, 20), -1, dtype=np.int8)
    labels[0, 4] = 1
    labels[:, 7] = 1
    labels[1, 9] = 0
    assert learnable(labels) == [4]


def test_features_are_of_the_central_square_and_of_length_one() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (230, 301, 3), dtype=np.uint8)
    images = RaggedImages.from_arrays([wide, wide[1:228, 37:264]])
    found = layer_features(
        build_backbone(CAFFENET),
        Preprocessing(),
        images,
        ["conv3", "pool5"],
        "adaptive",
        torch.device("cpu"),
        "fp32",
        "features",
    )
    assert {name: values.shape for name, values in found.items()} == {
        "conv3": (2, 9600),
        "pool5": (2, 9216),
    }
    for values in found.values():
        np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-4)
        np.testing.assert_allclose(values[0], values[1], atol=1e-6)


def test_a_layer_that_is_not_finite_is_named() -> None:
    backbone = build_backbone(CAFFENET)
    backbone.trunk.get_parameter("conv4.bias").data[3] = float("nan")
    images = RaggedImages.from_arrays([np.zeros((227, 227, 3), dtype=np.uint8)])
    layers, cpu = ["conv2", "conv4"], torch.device("cpu")
    with pytest.raises(InputError, match="layer conv4: has values that are not finite"):
        layer_features(
            backbone, Preprocessing(), images, layers, "windows", cpu, "fp32", "features"
        )


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (256, 400), (100, 80)])
def test_a_squashed_image_is_what_two_bilinear_resizes_leave(shape: tuple[int, int]) -> None:
    """First to the shorter side of 256, the other rounded down, then to the square."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    height, width = shape
    shorter = min(height, width)
    size = (int(width / shorter * 256), int(height / shorter * 256))
    expected = cv2.resize(cv2.resize(image.astype(np.float32), size), (227, 227))
    found = squashed(image, 256, 227)
    assert found.shape == (227, 227, 3)
    assert np.abs(found - expected).max() <= 0.5


def test_nothing_is_cut_off_a_squashed_image() -> None:
    image = np.zeros((100, 300, 3), dtype=np.uint8)
    image[:, :30] = 255
    image[:, -30:] = 255
    found = squashed(image, None, 100)[50, :, 0]
    assert found[:8].min() == found[-8:].min() == 255
    assert not found[12:-12].any()
