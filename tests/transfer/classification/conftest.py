from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data.voc.devkit import VOC_CLASSES


@pytest.fixture
def devkit(tiny_voc: Path) -> Path:
    """The tiny VOC2007 with one more image, 000004, that shows a dog; val = 000003 000004."""
    root = tiny_voc / "VOC2007"
    pixels = np.random.default_rng(4).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "JPEGImages" / "000004.jpg")
    lists = root / "ImageSets" / "Main"
    with (lists / "val.txt").open("a") as file:
        file.write("000004\n")
    for name in VOC_CLASSES:
        with (lists / f"{name}_val.txt").open("a") as file:
            file.write(f"000004 {1 if name == 'dog' else -1}\n")
    return tiny_voc
