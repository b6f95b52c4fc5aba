"""Pictures of smooth noise and the hole of Table 1, for the tests of inpainting."""

import cv2
import numpy as np

from cebench.inpainting.photo_holes import central_hole

HOLE = central_hole(128, 128)


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """`count` pictures, 128 x 128 RGB bytes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (128, 128)) for image in coarse])
