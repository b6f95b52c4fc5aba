from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data.silhouettes import read_silhouettes, silhouette_bank
from cebench.data.voc.devkit import VocYear
from cebench.errors import InputError


def extent(shape: np.ndarray) -> tuple[int, int]:
    return int(shape.any(1).sum()), int(shape.any(0).sum())


def test_silhouettes_come_from_components_of_each_class(tiny_voc: Path) -> None:
    (shape,) = read_silhouettes(VocYear(tiny_voc, 2007), "train")
    assert extent(shape) == (20, 20)  # the dog, without its void frame
    assert shape[20:40, 10:30].all()


def test_silhouettes_come_from_object_masks_where_there_are_any(tiny_voc: Path) -> None:
    folder = tiny_voc / "VOC2007" / "SegmentationObject"
    folder.mkdir()
    objects = np.zeros((60, 80), np.uint8)
    objects[:10, :30], objects[10:40, 5:20], objects[50:] = 1, 2, 255
    objects[45, 45] = 3  # too small
    Image.fromarray(objects).save(folder / "000001.png")
    shapes = read_silhouettes(VocYear(tiny_voc, 2007), "train")
    assert [extent(shape) for shape in shapes] == [(10, 30), (30, 15)]


def test_in_the_bank_the_longer_side_is_128_in_the_middle_of_a_frame() -> None:
    wide = np.zeros((50, 90), bool)
    wide[10:20, 30:70] = True  # 10 x 40 becomes 32 x 128
    tall = np.ones((256, 64), bool)
    bank = silhouette_bank([wide, np.zeros((4, 4), bool), tall])
    assert bank.shape == (2, 130, 130)
    expected = np.zeros((2, 130, 130), np.uint8)
    expected[0, 49:81, 1:129] = 1
    expected[1, 1:129, 49:81] = 1
    np.testing.assert_array_equal(bank, expected)


def test_no_silhouettes_is_a_mistake() -> None:
    with pytest.raises(InputError, match="no object silhouettes"):
        silhouette_bank([np.zeros((4, 4), bool)])
