"""Nearest images by their features: what is kept, what is damaged, what cannot tell."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inpainting_scenes import HOLE, pictures

from cebench.transfer.inpainting.data import InpaintingImages
from cebench.transfer.inpainting.features import Descriptor, nearest_images

CPU = torch.device("cpu")


def descriptor(describe: Callable[[np.ndarray], np.ndarray], **changes: Any) -> Descriptor:
    return Descriptor(label="means", describe=describe, identity="means", **changes)


def means(images: np.ndarray) -> np.ndarray:
    return images[:, ~HOLE].mean(axis=1).astype(np.float32)


def gallery_of(seed: int = 0) -> InpaintingImages:
    return InpaintingImages([], pictures(6, seed), ["a", "b"], pictures(2, seed=9), HOLE)


def test_features_are_kept_by_the_content_of_images_and_weights(tmp_path: Path) -> None:
    seen: list[int] = []

    def counted(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return means(images)

    first = nearest_images(descriptor(counted), gallery_of(), tmp_path, CPU)
    again = nearest_images(descriptor(counted), gallery_of(), tmp_path, CPU)
    np.testing.assert_array_equal(first, again)
    assert seen == [6, 2, 2]
    nearest_images(descriptor(counted), gallery_of(seed=1), tmp_path, CPU)
    other = dataclasses.replace(descriptor(counted), identity="of other weights")
    nearest_images(other, gallery_of(), tmp_path, CPU)
    assert seen == [6, 2, 2, 6, 2, 6, 2]
    assert len(list(tmp_path.glob("features-*.safetensors"))) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_features_are_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    first = nearest_images(descriptor(means), gallery_of(), tmp_path, CPU)
    (cache,) = tmp_path.glob("features-*.safetensors")
    whole = cache.read_bytes()
    flipped = whole[:-3] + bytes([whole[-3] ^ 64]) + whole[-2:]
    cache.write_bytes({"cut": whole[:-5], "flipped": flipped, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING, "cebench"):
        again = nearest_images(descriptor(means), gallery_of(), tmp_path, CPU)
    np.testing.assert_array_equal(first, again)
    assert "damaged" in caplog.text
    assert cache.read_bytes() == whole


def test_cosine_ignores_length_where_l2_does_not(tmp_path: Path) -> None:
    # From (1, 2): (2, 1.9) is nearer, (10, 20) has the same direction.
    known, wanted = np.array([[2, 1.9], [10, 20]], np.float32), np.array([[1, 2]], np.float32)
    images = InpaintingImages([], pictures(2), ["a"], pictures(1, seed=9), HOLE)
    for cosine, nearest in ((False, 0), (True, 1)):
        way = descriptor(
            lambda batch: known if len(batch) == 2 else wanted, cosine=cosine, kept=False
        )
        assert nearest_images(way, images, tmp_path, CPU)[0].tolist() == [nearest, 1 - nearest]


def test_a_dead_network_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cebench"):
        dead = descriptor(lambda images: np.ones((len(images), 5), np.float32))
        found = nearest_images(dead, gallery_of(), tmp_path, CPU)
    assert "means of all 6 gallery images are equal" in caplog.text
    assert found.tolist() == [[0, 1, 2, 3]] * 2
