"""What recipes choose of networks: imports no PyTorch, so that they are checked without it."""

from typing import Literal

PIXEL_DEVIATION = 60
"""Standard deviation of natural images' pixels on the scale 0..255, roughly."""

BOTTLENECK = 4000

HeadInit = Literal["voc-classification", "caffenet", "he", "data"]
"""Initial fc6 and fc7 of a transfer: N(0, 0.01) with biases of 0.1 (philkr/voc-classification,
src/train_cls.py); N(0, 0.005) with biases of 1 (bvlc_reference_caffenet); He's normals without
biases; or these standardised on training images (`data_dependent_init`)."""

RandomFrom = Literal["pool5", "drop7"]
"""Last layer that a transfer takes from the weights: all behind it is drawn anew."""

Part = Literal["all", "fc6-8", "fc8", "pool5"]
"""What of a classifier is trained: everything, its three last layers, the last one, or the last one
alone on pool5, without fc6 and fc7 between."""

Pooling = Literal["network", "token", "mean", "both"]
"""What a transformer's features are: `network`, what its own classifier takes; the class `token`;
the `mean` of the patches' tokens; or `both`, one behind the other."""

Averaging = Literal["windows", "adaptive"]
"""`windows`: the benchmark's, which overlap, where it has some for the network; `adaptive`: windows
side by side for every network."""

RoiPooling = Literal["max", "align"]
"""`max`: Fast R-CNN's RoI pooling, its corners rounded; `align`: Mask R-CNN's RoIAlign."""

Stride = Literal[32, 16, 8]

BatchNormPlaces = Literal["none", "encoder", "encoder-decoder"]
"""Which parts of a context encoder are batch-normalised while it trains."""


PATCH_CONV1_PADDING = 5
"""Padding of conv1 in the network of patch pairs."""


def conv5_side(image_side: int, conv1_padding: int = 0) -> int:
    """Side of CaffeNet's conv5 on a square image: 227 to 13, by way of 55 and 27."""
    side = (image_side + 2 * conv1_padding - 11) // 4 + 1
    for _ in range(2):
        side = _pooled(side)
    return side


def pool5_side(image_side: int, conv1_padding: int = 0) -> int:
    """Side of CaffeNet's pool5 on a square image: 227 to 6, and 96 to 3 with conv1 padded by 5.

    ValueError where nothing is left of it.
    """
    side = _pooled(conv5_side(image_side, conv1_padding))
    if side < 1:
        raise ValueError(f"squares of {image_side} pixels are too small for the network")
    return side


def _pooled(side: int) -> int:
    """Side behind a pooling of 3 x 3 with stride 2, which Caffe rounds up."""
    return -(-(side - 3) // 2) + 1
