"""The context encoder for feature learning: the AlexNet variant of the paper's figure 9b."""

import math
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.backbones import CAFFENET, CAFFENET_POOL_FREE, build_trunk
from cebench.models.caffenet import POOL5_CHANNELS, POOL5_SIDE, he_weights
from cebench.models.sync_layers import Dropout

UP_CONVOLUTION_CHANNELS = (POOL5_CHANNELS, 128, 64, 64, 32, 3)
"""Channels before, between and after the five up-convolutions (figure 9b)."""

IMAGE_SIDE = 227
DECODED_SIDE = 161


class ChannelWiseFullyConnected(nn.Module):
    """Fully connects the positions of each feature map with each other, never two maps (3.1).

    m maps of n x n positions cost m * n^4 weights instead of the m^2 * n^4 of a full layer. Equal
    to a grouped convolution of kernel n with one group per map, the author's way of writing it
    (github.com/pathak22/context-encoder, issue 18), but one batched matrix product.

    Args:
        channels: number m of feature maps.
        positions: number n^2 of positions in a map.
        generator: source of the initial weights, N(0, 2 / positions); biases are 0.
    """

    def __init__(
        self, channels: int, positions: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, positions, positions))
        self.bias = nn.Parameter(torch.zeros(channels, positions))
        nn.init.normal_(self.weight, std=math.sqrt(2 / positions), generator=generator)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) with H * W = positions to the same shape.

        `weight[c, o, i]` leads from input position i of map c to its output position o.
        """
        maps = features.flatten(2)
        return (torch.einsum("nci,coi->nco", maps, self.weight) + self.bias).view(features.shape)


class BilinearResize(nn.Module):
    """Bilinear resize of square maps as two matrix products, deterministic on every device.

    Equal to `F.interpolate(mode="bilinear", align_corners=False)`. (N, C, from_side, from_side)
    to (N, C, to_side, to_side).
    """

    def __init__(self, from_side: int, to_side: int) -> None:
        super().__init__()
        centres = (torch.arange(to_side, dtype=torch.float64) + 0.5) * from_side / to_side - 0.5
        centres = centres.clamp(0, from_side - 1)
        distances = (centres[:, None] - torch.arange(from_side)).abs()
        self.weights: Tensor
        self.register_buffer("weights", (1 - distances).clamp(min=0).float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self.weights @ maps @ self.weights.T


class UpConvolution(nn.ConvTranspose2d):
    """A transposed convolution that stays in float32 where autocast would slow it down.

    On a CPU, torch 2.14 computes transposed convolutions of bfloat16 at a third of float32's speed.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not (input.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
            return super().forward(input, output_size)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float(), output_size)


class ContextEncoder(nn.Module):
    """Encoder, channel-wise layer and decoder; 3,921,155 parameters.

    The paper states the sizes 6, 11, 21, 41, 81, 161 and 227 in figure 9b, the ReLU after each
    up-convolution, the dropout on the channel-wise layer and the stride of the mixing convolution.
    It is silent on three things: the kernels (`up_kernel` of the up-convolutions, `mixing_kernel`
    of the mixing), the last activation (none here: pixels are of both signs) and the
    initialisation: zero biases and He's normal weights (variance 2 / fan-in behind a ReLU and
    1 / fan-in elsewhere), a tenth of that in the last layer, so that training begins near grey
    instead of with loud noise, whose suppression leaves the encoder's units zero on every image.

    Args:
        mixing_kernel: odd kernel of the convolution that mixes channels.
        encoder_init: "he" (`caffenet.he_weights`), or "caffenet", the reference net's fillers.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        up_kernel: odd kernel of the up-convolutions, from 3; sizes are the figure's with any.
        pooling: "max" as in CaffeNet, or "none", a `caffenet.PoolFreeTrunk`.
    """

    def __init__(
        self,
        mixing_kernel: int = 1,
        encoder_init: Literal["he", "caffenet"] = "he",
        generator: torch.Generator | None = None,
        up_kernel: int = 5,
        pooling: Literal["max", "none"] = "max",
    ) -> None:
        super().__init__()
        channels = UP_CONVOLUTION_CHANNELS
        self.encoder = build_trunk(CAFFENET if pooling == "max" else CAFFENET_POOL_FREE, generator)
        self.channel_wise_fc = ChannelWiseFullyConnected(channels[0], POOL5_SIDE**2, generator)
        self.dropout = Dropout(0.5)
        self.mixing = nn.Conv2d(channels[0], channels[0], mixing_kernel, padding=mixing_kernel // 2)
        self.up_convolutions = nn.ModuleList(
            UpConvolution(before, after, up_kernel, stride=2, padding=up_kernel // 2)
            for before, after in pairwise(channels)
        )
        self.resize = BilinearResize(DECODED_SIDE, IMAGE_SIDE)
        if encoder_init == "he":
            he_weights(self.encoder, generator)
        self._initialise_decoder(generator)

    def _initialise_decoder(self, generator: torch.Generator | None) -> None:
        layers = (self.mixing, *self.up_convolutions)
        # The channel-wise layer and the mixing convolution are linear; the last is shrunk tenfold.
        gains = (1, 1, 2, 2, 2, 2 / 100)
        for layer, gain in zip(layers, gains, strict=True):
            # With stride s, an output pixel of an up-convolution sees 1 / s^2 of the kernel.
            fan_in = layer.in_channels * math.prod(layer.kernel_size) / math.prod(layer.stride)
            nn.init.normal_(layer.weight, std=math.sqrt(gain / fan_in), generator=generator)
            nn.init.zeros_(layer.bias)

    def encode(self, images: Tensor) -> Tensor:
        """Images to the encoder's features, pool5: (N, 256, 6, 6)."""
        features: Tensor = self.encoder(images)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Encoder features to a prediction of the whole image: (N, 3, 227, 227)."""
        x: Tensor = self.mixing(self.dropout(self.channel_wise_fc(features)))
        *inner, last = self.up_convolutions
        for up_convolution in inner:
            x = F.relu(up_convolution(x))
        prediction: Tensor = self.resize(last(x))
        return prediction

    def forward(self, images: Tensor) -> Tensor:
        """Predict every pixel, the visible ones too; the loss chooses those that count.

        Args:
            images: (N, 3, 227, 227), RGB, as `caffenet.preprocess` returns them, missing pixels 0
                (the mean pixel).

        Returns:
            (N, 3, 227, 227), RGB, on the scale x / 127.5 - 1 of pixels x in 0..255; not clamped.
        """
        features = self.encode(images)
        return self.decode(features)
