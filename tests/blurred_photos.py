"""Small photographs of colours that flow into each other: files that pretraining reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def save_photos(folder: Path, sizes: Sequence[tuple[int, int]], colours: int = 4) -> Path:
    """Write 0.png, 1.png, ... of `sizes` (width, height) into the new `folder`; returns it.

    Each is a square of colours x colours random pixels, enlarged.
    """
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        coarse = generator.integers(0, 256, (colours, colours, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size).save(folder / f"{number}.png")
    return folder
