"""The colours of VOC's label images."""

import numpy as np


def voc_palette() -> np.ndarray:
    """The devkit's colour of every label, (256, 3) uint8 RGB; row 255 is the void's cream.

    Bit k of a label's three lowest bits goes to bit 7 of R, G, B; the next three to bit 6; ...
    (`VOClabelcolormap` of the devkit).
    """
    labels = np.arange(256)
    palette = np.zeros((256, 3), dtype=np.uint8)
    for channel in range(3):
        for level in range(8):
            bit = labels >> (3 * level + channel) & 1
            palette[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return palette
