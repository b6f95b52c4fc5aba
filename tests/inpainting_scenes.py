"""Pictures of smooth noise and the hole of Table 1, for the tests of inpainting."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from cebench.inpainting.photo_holes import central_hole

HOLE = central_hole(128, 128)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """`count` pictures, 128 x 128 RGB bytes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (128, 128)) for image in coarse])


def gallery_and_test(data: Path) -> Path:
    """Write three pictures of noise each into the folders train and test of `data`."""
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        (data / part).mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(0, 256, (128, 128, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(data / part / f"{part}{number}.png")
    return data
