"""The kinds of holes that recipes name (section 3.3); imports no PyTorch."""

from typing import Literal

Mask = Literal["central", "random-block", "random-region", "noise"]
TABLE_1_SIDE = 128
"""Pixels of a side of Table 1's images."""
TABLE_1_ROWS = (36, 92)
"""Its hole: rows, and columns, from the one to before the other."""
BLOCK_SIDES = (0.10, 0.33)
"""Side of a random block, uniform, as a fraction of the image's side."""
