"""CaffeNet up to pool5: the encoder that every row of Table 2 shares.

Source: BVLC/caffe, models/bvlc_reference_caffenet/train_val.prototxt. CaffeNet differs from
AlexNet in one thing only: it pools before it normalises.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.options import PIXEL_DEVIATION, HeadInit

IMAGENET_MEAN_RGB = (122.67892, 116.66877, 104.00699)
"""Mean pixel of ImageNet on the 0..255 scale; Caffe's (104.00699, 116.66877, 122.67892) is BGR."""


POOL5_CHANNELS = 256
POOL5_SIDE = 6
POOL5_FEATURES = POOL5_CHANNELS * POOL5_SIDE**2
FC_UNITS = 4096
"""Units of fc6 and of fc7."""


Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

TRUNK_TENSORS = tuple(f"conv{i}.{kind}" for i in range(1, 6) for kind in ("weight", "bias"))
"""Names of the trunk's tensors in its state dict and in every weights file."""


def preprocess(images: Tensor, mean: Sequence[float] = IMAGENET_MEAN_RGB) -> Tensor:
    """Pixels minus the mean pixel: a pixel equal to the mean becomes 0.

    Args:
        images: (N, 3, H, W), RGB, 0..255, uint8 or floating point; left as it is.
        mean: the mean pixel, RGB, 0..255.

    Returns:
        (N, 3, H, W) float32.
    """
    pixels = images.to(torch.float32, copy=True)
    for channel, value in enumerate(mean):
        pixels[:, channel] -= value
    return pixels


class LocalResponseNorm(nn.Module):
    """Divides by (1 + 1e-4 / 5 * sum of squares over 5 neighbouring channels) ** 0.75.

    Equal to `nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)`, as sums of channel slices and
    square roots, which takes a fraction of its time on a CPU. (N, C, H, W) to the same shape.
    """

    def forward(self, features: Tensor) -> Tensor:
        channels = features.shape[1]
        squares = F.pad(features.square(), (0, 0, 0, 0, 2, 2))
        pairs = squares[:, :-1] + squares[:, 1:]
        window = pairs[:, :channels] + pairs[:, 2 : channels + 2] + squares[:, 4:]
        inverse_root = (1 + 1e-4 / 5 * window).rsqrt()
        return features * (inverse_root * inverse_root.sqrt())


class CaffeNetTrunk(nn.Module):
    """conv1 to pool5 with grouped conv2, conv4 and conv5; 2,334,080 parameters (3,747,200 without).

    Caffe rounds pooled sizes up and drops a last window that starts beyond the padded image;
    `ceil_mode` is the same rule.

    Args:
        conv1_padding: 0 in the classification net, 5 in Fast R-CNN, 100 in FCN.
        pool_padding: padding of pool1 and pool2; 1 in Fast R-CNN.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        groups: whether conv2, conv4 and conv5 have two groups; not in Doersch et al.'s network.
    """

    def __init__(
        self,
        conv1_padding: int = 0,
        pool_padding: int = 0,
        generator: torch.Generator | None = None,
        groups: bool = True,
    ) -> None:
        super().__init__()
        count = 2 if groups else 1
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4, padding=conv1_padding)
        self.pool1: nn.Module = nn.MaxPool2d(3, 2, padding=pool_padding, ceil_mode=True)
        self.norm1 = LocalResponseNorm()
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=count)
        self.pool2: nn.Module = nn.MaxPool2d(3, 2, padding=pool_padding, ceil_mode=True)
        self.norm2 = LocalResponseNorm()
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=count)
        self.conv5 = nn.Conv2d(384, POOL5_CHANNELS, 3, padding=1, groups=count)
        self.pool5: nn.Module = nn.MaxPool2d(3, 2, ceil_mode=True)
        caffenet_fillers(self, generator)

    def feature_maps(self, images: Tensor) -> dict[int, Tensor]:
        """The last map of each stride: conv1 (4), conv2 (8), conv5 (16) after ReLU, and pool5 (32).

        (N, 3, H, W) of `preprocess` to (N, C, h, w) each, C = 96, 256, 256, 256. Positions depend
        on the paddings: in Fast R-CNN, with 5 and 1, value i of conv5 looks at pixel 16 i.
        """
        conv1 = F.relu(self.conv1(images))
        conv2 = F.relu(self.conv2(self.norm1(self.pool1(conv1))))
        conv5 = self.conv5_of(self.pool2(conv2))
        return {4: conv1, 8: conv2, 16: conv5, 32: self.pool5(conv5)}

    def pool1_and_pool2(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) of `preprocess` to pool1 (N, 96, h, w) and pool2 (N, 256, h, w)."""
        pool1: Tensor = self.pool1(F.relu(self.conv1(images)))
        return pool1, self.pool2(F.relu(self.conv2(self.norm1(pool1))))

    def conv5_of(self, pool2: Tensor) -> Tensor:
        """conv5 after its ReLU from pool2: (N, 256, h, w) both."""
        x = F.relu(self.conv3(self.norm2(pool2)))
        x = F.relu(self.conv4(x))
        return F.relu(self.conv5(x))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) of `preprocess` to pool5; (N, 3, 227, 227) to (N, 256, 6, 6)."""
        return self.feature_maps(images)[32]


class PoolFreeTrunk(CaffeNetTrunk):
    """The trunk with each pooling replaced by a convolution of its kernel and stride (section 4).

    227 px only, where no window overhangs; 3,597,280 parameters. The paper says nothing of an
    activation behind these convolutions: here a ReLU, as behind every other one.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__(generator=generator)
        pools = [nn.Conv2d(channels, channels, 3, stride=2) for channels in (96, 256, 256)]
        for pool in pools:
            gaussian_filler(pool, 0.01, 0, generator)
        self.pool1, self.pool2, self.pool5 = (nn.Sequential(pool, nn.ReLU()) for pool in pools)


def gaussian_filler(
    layer: nn.Conv2d | nn.Linear, std: float, bias: float, generator: torch.Generator | None
) -> None:
    """Caffe's "gaussian" and "constant" fillers: weights N(0, std), every bias `bias`."""
    nn.init.normal_(layer.weight, std=std, generator=generator)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)


def caffenet_fillers(trunk: CaffeNetTrunk, generator: torch.Generator | None) -> None:
    """The reference net's random initialisation of conv1 to conv5: the row "random Gaussian"."""
    gaussian_filler(trunk.conv1, 0.01, 0, generator)
    gaussian_filler(trunk.conv2, 0.01, 1, generator)
    gaussian_filler(trunk.conv3, 0.01, 0, generator)
    gaussian_filler(trunk.conv4, 0.01, 1, generator)
    gaussian_filler(trunk.conv5, 0.01, 1, generator)


def he_weights(trunk: CaffeNetTrunk, generator: torch.Generator | None) -> None:
    """He's initialisation of every convolution: variance 2 / fan-in, biases 0.

    conv1, which sees 0..255, is divided by PIXEL_DEVIATION. Responses then depend on the image
    from the first step on; with the reference fillers, their biases hide it for thousands.
    """
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            gaussian_filler(layer, math.sqrt(2 / layer.weight[0].numel()), 0, generator)
    with torch.no_grad():
        trunk.conv1.weight /= PIXEL_DEVIATION


def fill_fc6_and_fc7(
    fc6: nn.Conv2d | nn.Linear,
    fc7: nn.Conv2d | nn.Linear,
    init: HeadInit,
    generator: torch.Generator | None,
) -> None:
    """Draw fc6 and fc7 anew; `data_dependent_init` must follow for `data`."""
    for layer in (fc6, fc7):
        if init == "voc-classification":
            gaussian_filler(layer, 0.01, 0.1, generator)
        elif init == "caffenet":
            gaussian_filler(layer, 0.005, 1, generator)
        else:
            gaussian_filler(layer, math.sqrt(2 / layer.weight[0].numel()), 0, generator)


@torch.no_grad()
def data_dependent_init(
    layers: Sequence[Layer],
    inputs: Sequence[Tensor],
    compute: Callable[[Layer, Tensor], Tensor],
    mean_output: float = 0,
) -> None:
    """Scale and shift layers so that each unit has mean 0 and variance 1 before its ReLU.

    The first half of Krähenbühl et al., "Data-dependent Initializations" (ICLR 2016). Behind a
    random trunk pool5 is nearly constant (1.09, of which 0.12 varies): without it, one direction
    has nearly all of the gradient.

    Args:
        layers: one behind the other, with a ReLU between.
        inputs: of the first, from some training images, in one or several parts.
        compute: a layer's output, units along dimension 1.
        mean_output: another mean than 0.
    """
    for layer in layers:
        units = torch.cat([compute(layer, x).transpose(0, 1).flatten(1) for x in inputs], dim=1)
        deviation, mean = torch.std_mean(units, dim=1)
        deviation.clamp_(min=1e-6)  # A unit that never changes has none.
        layer.weight /= deviation.view(-1, *[1] * (layer.weight.dim() - 1))
        assert layer.bias is not None
        layer.bias.copy_((layer.bias - mean) / deviation + mean_output)
        inputs = [F.relu(compute(layer, x)) for x in inputs]
