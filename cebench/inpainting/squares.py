"""Images as Table 1 compares them: squares of 128 pixels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cebench.data.hole_kinds import TABLE_1_SIDE
from cebench.data.images import read_image
from cebench.data.resize import resize
from cebench.progress import progress

SIDE = TABLE_1_SIDE
"""Pixels; the aspect of an image is not kept, as in the authors' demo.lua."""


def load_squares(files: Sequence[Path], label: str) -> NDArray[np.uint8]:
    """(N, 128, 128, 3): each file, upright, resized by `cebench.data.resize` and rounded."""
    squares = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
    with progress(label, "images") as report:
        for i, path in enumerate(files):
            squares[i] = np.rint(resize(read_image(path), SIDE, SIDE))
            report(i + 1, len(files))
    return squares
