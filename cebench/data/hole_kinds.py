"""The kinds of holes that recipes name (section 3.3); imports no PyTorch."""

from typing import Literal

Mask = Literal["central", "random-block", "random-region", "noise"]
BLOCK_SIDES = (0.10, 0.33)
"""Side of a random block, uniform, as a fraction of the image's side."""
