"""The fully convolutional CaffeNet, FCN-32s: the "Segmentation" column of Table 2.

Source: shelhamer/fcn.berkeleyvision.org, voc-fcn-alexnet/net.py.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.caffenet import (
    POOL5_CHANNELS,
    POOL5_SIDE,
    CaffeNetTrunk,
    fc6_fc7_fillers,
)

UPSCORE_STRIDE = 32
CROP_OFFSET = 18


class FCN32s(nn.Module):
    """CaffeNet with its head as convolutions; 56,954,261 parameters for 21 classes.

    The original's up-sampling layer is a fixed bilinear filter and has no parameters here. The
    score layer starts at zero, so the first prediction is uniform.

    Args:
        num_classes: number of classes, background included.
        generator: source of the initial weights (on the CPU); torch's global one if None.
    """

    def __init__(self, num_classes: int = 21, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.trunk = CaffeNetTrunk(conv1_padding=100, generator=generator)
        self.fc6 = nn.Conv2d(POOL5_CHANNELS, 4096, POOL5_SIDE)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.score_fr = nn.Conv2d(4096, num_classes, 1)
        self.dropout = nn.Dropout(0.5)
        fc6_fc7_fillers(self.fc6, self.fc7, generator)
        nn.init.zeros_(self.score_fr.weight)
        if self.score_fr.bias is not None:
            nn.init.zeros_(self.score_fr.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) of `caffenet.preprocess` to raw scores (N, num_classes, H, W)."""
        x = self.trunk(images)
        x = self.dropout(F.relu(self.fc6(x)))
        x = self.dropout(F.relu(self.fc7(x)))
        height, width = images.shape[-2:]
        return upscore(self.score_fr(x), height, width)


def upscore(scores: Tensor, height: int, width: int) -> Tensor:
    """Bilinear up-sampling by 32 and the crop to the image: (N, C, h, w) to (N, C, height, width).

    Equal to the original's transposed convolution (kernel 63, stride 32, the same filter for
    every class) cropped at offset 18 on both axes. The filter is separable and here two matrix
    products, which are deterministic on every device.
    """
    rows = _upscore_weights(height, scores.shape[-2], scores)
    columns = _upscore_weights(width, scores.shape[-1], scores)
    return rows @ scores @ columns.T


def _upscore_weights(to_size: int, from_size: int, like: Tensor) -> Tensor:
    """The triangle filter 1 - |i - 31| / 32 at each output pixel, (to_size, from_size)."""
    outputs = torch.arange(CROP_OFFSET, CROP_OFFSET + to_size, device=like.device)
    inputs = torch.arange(from_size, device=like.device)
    taps = outputs[:, None] - UPSCORE_STRIDE * inputs
    distances = (taps - (UPSCORE_STRIDE - 1)).abs().to(like.dtype)
    return (1 - distances / UPSCORE_STRIDE).clamp(min=0)


def segmentation_cross_entropy(scores: Tensor, labels: Tensor, void_label: int = 255) -> Tensor:
    """Softmax cross-entropy averaged over the pixels that are not void; 0 where all are void.

    Pixels are flattened first, because the loss over maps has no deterministic form on CUDA.

    Args:
        scores: (N, C, H, W) raw scores.
        labels: (N, H, W), any integer type, 0..C-1 or `void_label`.
        void_label: the label of pixels that do not count.

    Returns:
        A scalar.
    """
    pixels = scores.float().permute(0, 2, 3, 1).flatten(0, 2)
    targets = labels.flatten().long()
    total = F.cross_entropy(pixels, targets, ignore_index=void_label, reduction="sum")
    return total / (targets != void_label).sum().clamp(min=1)
