"""The fully convolutional CaffeNet, FCN-32s, 16s and 8s: the "Segmentation" column of Table 2.

Source: shelhamer/fcn.berkeleyvision.org, voc-fcn-alexnet/net.py, which exists as 32s only. 16s and
8s follow its voc-fcn16s and voc-fcn8s, which are VGG's: scores of the layers at stride 16 and 8,
for CaffeNet pool2 and pool1, are cropped and added to the deeper scores enlarged twofold.

Positions, by the arithmetic of pycaffe's coord_map: value i of a map looks at the pixel

    pool1 8 i - 91,  pool2 16 i - 83,  pool5 32 i - 67,  score_fr 32 i + 13.

A bilinear layer of kernel 2 s - 1 and stride s puts value i at s i + s - 1. VGG's kernels 2 s would
set pool2 half a pixel off (4.5), because CaffeNet's fc6 is even; the released 32s has kernel 63 for
stride 32 for the same reason. So all crops are whole pixels: 5 of pool2, 10 of pool1, and 18 of the
enlarged scores in all three nets.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.backbones import CAFFENET, TrunkArchitecture, build_trunk
from cebench.models.caffenet import (
    FC_UNITS,
    POOL5_CHANNELS,
    POOL5_SIDE,
    CaffeNetTrunk,
    data_dependent_init,
    fill_fc6_and_fc7,
)
from cebench.models.options import HeadInit, Stride

CONV1_PADDING = 100
CROP_OFFSET = 18
POOL1_OFFSET, POOL2_OFFSET = 10, 5


_UNFOLDED_POSITIONS = 160
"""fc6 at fewer positions than this is faster on a CPU as one matrix product, up to twofold."""


class SegmentationNetwork(nn.Module):
    """Images (N, 3, H, W) to raw scores (N, num_classes, H, W), by way of the trunk's maps."""

    trunk: nn.Module
    head: nn.Module
    """Those maps, height and width to scores of that size."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) as the weights' sidecar says to scores (N, num_classes, H, W)."""
        scores: Tensor = self.head(self.maps(images), *images.shape[-2:])
        return scores

    def maps(self, images: Tensor) -> Sequence[Tensor]:
        """What the head sees of images."""
        raise NotImplementedError

    @property
    def hidden(self) -> Sequence[nn.Conv2d]:
        """fc6 and fc7, which `data_dependent_init` scales; empty if there are none."""
        raise NotImplementedError

    def maps_before_fc6(self, images: Tensor) -> Tensor:
        """The maps that fc6 convolves."""
        raise NotImplementedError

    @torch.no_grad()
    def data_dependent_init(self, images: Iterable[Tensor]) -> None:
        """Standardise fc6 and fc7 on some training images, (N, 3, H, W) each."""
        maps = [self.maps_before_fc6(batch) for batch in images]
        data_dependent_init(self.hidden, maps, lambda layer, x: layer(x))


class FCN(SegmentationNetwork):
    """CaffeNet with its head as convolutions; 56,954,261 parameters for 21 classes at stride 32.

    The original's up-sampling layers are fixed bilinear filters and have no parameters here. Score
    layers start at zero, so the first prediction is uniform.

    Args:
        num_classes: number of classes, background included.
        stride: pixels between two of the finest scores.
        head_init: initial fc6 and fc7; `FCNHead.data_dependent_init` must follow for `data`.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        architecture: of the trunk.
    """

    trunk: CaffeNetTrunk
    head: "FCNHead"

    def __init__(
        self,
        num_classes: int = 21,
        stride: Stride = 32,
        head_init: HeadInit = "caffenet",
        generator: torch.Generator | None = None,
        architecture: TrunkArchitecture = CAFFENET,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.trunk = build_trunk(architecture, generator, conv1_padding=CONV1_PADDING)
        self.head = FCNHead(num_classes, stride, head_init, generator)

    @property
    def hidden(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """fc6 and fc7."""
        return self.head.fc6, self.head.fc7

    def maps_before_fc6(self, images: Tensor) -> Tensor:
        """pool5 (N, 256, h, w)."""
        pool5: Tensor = self.trunk(images)
        return pool5

    def data_dependent_init(self, images: Iterable[Tensor]) -> None:
        """Standardise fc6 and fc7 on some training images, (N, 3, H, W) each."""
        with torch.no_grad():
            self.head.data_dependent_init([self.maps_before_fc6(batch) for batch in images])

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pool1, pool2 and pool5 of (N, 3, H, W) of `caffenet.preprocess`."""
        pool1, pool2 = self.trunk.pool1_and_pool2(images)
        return pool1, pool2, self.trunk.pool5(self.trunk.conv5_of(pool2))


class FCNHead(nn.Module):
    """From the three pooled maps of a trunk with conv1 padded by 100 to scores of every pixel."""

    def __init__(
        self,
        num_classes: int,
        stride: Stride,
        head_init: HeadInit,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.fc6 = nn.Conv2d(POOL5_CHANNELS, FC_UNITS, POOL5_SIDE)
        self.fc7 = nn.Conv2d(FC_UNITS, FC_UNITS, 1)
        self.score_fr = zero_score_layer(FC_UNITS, num_classes)
        self.score_pool2 = zero_score_layer(256, num_classes) if stride <= 16 else None
        self.score_pool1 = zero_score_layer(96, num_classes) if stride <= 8 else None
        self.dropout = nn.Dropout(0.5)
        fill_fc6_and_fc7(self.fc6, self.fc7, head_init, generator)

    def data_dependent_init(self, pool5: Sequence[Tensor]) -> None:
        """Standardise fc6 and fc7 on the maps (N, 256, h, w) of some training images."""
        data_dependent_init((self.fc6, self.fc7), pool5, _convolve)

    def forward(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """pool1, pool2, pool5 of images `height` x `width` to (N, num_classes, height, width)."""
        pool1, pool2, pool5 = maps
        x = self.dropout(F.relu(_convolve(self.fc6, pool5)))
        x = self.dropout(F.relu(self.fc7(x)))
        scores, stride = self.score_fr(x), 32
        for layer, features, offset in (
            (self.score_pool2, pool2, POOL2_OFFSET),
            (self.score_pool1, pool1, POOL1_OFFSET),
        ):
            if layer is not None:
                rows, columns = (2 * side + 1 for side in scores.shape[-2:])
                skipped = features[..., offset : offset + rows, offset : offset + columns]
                scores = upscore(scores, 2, rows, columns, offset=0) + layer(skipped)
                stride //= 2
        return upscore(scores, stride, height, width, offset=CROP_OFFSET)


def upscore(scores: Tensor, stride: int, height: int, width: int, offset: int) -> Tensor:
    """Bilinear up-sampling and a crop: (N, C, h, w) to (N, C, height, width).

    Equal to the original's transposed convolution (kernel 2 stride - 1, the same filter for every
    class) cropped at `offset` on both axes. The filter is separable and here two matrix products,
    which are deterministic on every device. In float32 always.
    """
    device = scores.device
    rows = _upscore_weights(height, scores.shape[-2], stride, offset, device)
    columns = _upscore_weights(width, scores.shape[-1], stride, offset, device)
    with torch.autocast("cuda" if scores.is_cuda else "cpu", enabled=False):
        return rows @ scores.float() @ columns.T


def _upscore_weights(
    to_size: int, from_size: int, stride: int, offset: int, device: torch.device
) -> Tensor:
    """The triangle filter 1 - |i - (s - 1)| / s at each output pixel, (to_size, from_size)."""
    outputs = torch.arange(offset, offset + to_size, device=device)
    inputs = torch.arange(from_size, device=device)
    taps = outputs[:, None] - stride * inputs
    return (1 - (taps - (stride - 1)).abs() / stride).clamp(min=0)


def zero_score_layer(channels: int, num_classes: int) -> nn.Conv2d:
    """A score per class of each value of a map, 0 at first: every class is equally likely."""
    layer = nn.Conv2d(channels, num_classes, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _convolve(layer: nn.Conv2d, features: Tensor) -> Tensor:
    """`layer`, a convolution without stride or padding, in the faster of two equal ways."""
    rows, columns = (s - k + 1 for s, k in zip(features.shape[-2:], layer.kernel_size, strict=True))
    if not features.is_cpu or len(features) * rows * columns >= _UNFOLDED_POSITIONS:
        convolved: Tensor = layer(features)
        return convolved
    patches = F.unfold(features, layer.kernel_size).transpose(1, 2)
    outputs: Tensor = F.linear(patches, layer.weight.flatten(1), layer.bias)
    return outputs.transpose(1, 2).reshape(len(features), -1, rows, columns)


def segmentation_cross_entropy(scores: Tensor, labels: Tensor, void_label: int = 255) -> Tensor:
    """Mean over the images of the softmax cross-entropy per pixel that is not void.

    An image without such a pixel counts 0. Pixels are flattened first, because the loss over maps
    has no deterministic form on CUDA.

    Args:
        scores: (N, C, H, W) raw scores.
        labels: (N, H, W), any integer type, 0..C-1 or `void_label`.
        void_label: the label of pixels that do not count.

    Returns:
        A scalar.
    """
    pixels = scores.float().permute(0, 2, 3, 1).flatten(0, 2)
    targets = labels.flatten().long()
    losses = F.cross_entropy(pixels, targets, ignore_index=void_label, reduction="none")
    counts = (labels != void_label).flatten(1).sum(1).clamp(min=1)
    loss: Tensor = (losses.view(len(labels), -1).sum(1) / counts).mean()
    return loss
