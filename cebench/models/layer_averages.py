"""Maps averaged to about 9,000 numbers, which linear classifiers of a network's layers take.

Source: Goyal et al., ICCV 2019 (arXiv:1905.01235), section 5.1, and
github.com/facebookresearch/fair_self_supervision_benchmark, self_supervision_benchmark/modeling
(supervised/caffenet_bvlc_supervised_finetune_linear.py, resnet_supervised_finetune_linear.py).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

VALUES = 9216
"""About how many numbers are left: those of CaffeNet's pool5."""


class Window(NamedTuple):
    """An average pooling of a square map."""

    map_side: int
    kernel: int
    stride: int
    padding: int = 0


_ALEXNET_WINDOWS = {
    "conv1": Window(55, 19, 4),
    "conv2": Window(27, 12, 3),
    "conv3": Window(13, 9, 1),
    "conv4": Window(13, 9, 1),
    "conv5": Window(13, 8, 1),
}
_RESNET50_WINDOWS = {
    "conv1": Window(112, 10, 10, 4),
    "conv2": Window(56, 16, 8),
    "conv3": Window(28, 13, 5),
    "conv4": Window(14, 8, 3),
    "conv5": Window(7, 6, 1),
}
_NO_WINDOWS: Mapping[str, Window] = {}


def windows_of(architecture: str) -> Mapping[str, Window]:
    """Layer -> the benchmark's window; empty for a network that it does not measure.

    A tag of timm, `timm/resnet50.a1_in1k`, says how a network was trained: its maps are the same.
    """
    if architecture.startswith("caffenet-trunk") or architecture == "torchvision/alexnet":
        return _ALEXNET_WINDOWS
    if architecture.partition(".")[0] in ("torchvision/resnet50", "timm/resnet50"):
        return _RESNET50_WINDOWS
    return _NO_WINDOWS


def averaged(values: Tensor, window: Window | None = None) -> Tensor:
    """Maps (N, C, h, w) averaged, as rows (N, D) float32; what is no map is only flattened.

    By `window` where the map has its side; else to the square of side round(sqrt(9216 / C)).
    """
    if values.ndim != 4:
        return values.flatten(1).float()
    if window and values.shape[2:] == (window.map_side, window.map_side):
        _, kernel, stride, padding = window
        pooled = F.avg_pool2d(values, kernel, stride, padding, count_include_pad=False)
    else:
        side = max(1, round((VALUES / values.shape[1]) ** 0.5))
        pooled = F.adaptive_avg_pool2d(values, min(side, *values.shape[2:]))
    return pooled.flatten(1).float()
