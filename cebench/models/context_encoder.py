"""The context encoder for feature learning: the AlexNet variant of the paper's figure 9b."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.backbones import CAFFENET, CAFFENET_POOL_FREE, build_trunk
from cebench.models.caffenet import IMAGENET_MEAN_RGB, POOL5_CHANNELS, he_weights
from cebench.models.foldable import FoldableConvTranspose2d, make_trainable
from cebench.models.options import BatchNormPlaces, pool5_side
from cebench.models.sync_layers import Dropout

IMAGE_SIDE = 227
"""Side of the paper's images in pixels."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of a context encoder for images of one side; the trunk's tensors are the same."""

    channels: tuple[int, ...]
    """Before, between and after the up-convolutions."""
    decoded_side: int
    """Side of the last up-convolution's output in pixels: each takes n to 2 n - 1."""
    predicted_side: int
    """At which the prediction is compared with the image."""


GEOMETRIES = {
    227: Geometry((POOL5_CHANNELS, 128, 64, 64, 32, 3), 161, IMAGE_SIDE),
    115: Geometry((POOL5_CHANNELS, 128, 64, 64, 3), 33, 33),
}
"""Image side -> sizes. 227 is figure 9b; 115 is this project's, for a quarter of the work."""


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


class AreaResize(nn.Module):
    """Mean over the area that each target pixel covers, as two matrix products.

    (N, C, from_side, from_side) of any type to (N, C, to_side, to_side) float32.
    """

    def __init__(self, from_side: int, to_side: int) -> None:
        super().__init__()
        edges = torch.arange(to_side + 1, dtype=torch.float64)[:, None] * from_side / to_side
        covered = (edges - torch.arange(from_side)).clamp(0, 1)  # Of each pixel, left of an edge.
        weights = (covered[1:] - covered[:-1]) * to_side / from_side
        self.weights: Tensor
        self.register_buffer("weights", weights.float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self.weights @ maps.float() @ self.weights.T


class UpConvolution(FoldableConvTranspose2d):
    """A transposed convolution of stride 2, n to 2 n - 1 pixels.

    On a CPU in bfloat16 it is computed as one ordinary convolution whose channels are the four
    parities of the output's rows and columns, which torch 2.14 does several times as fast.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel, stride=2, padding=kernel // 2)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if input.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            output = self.as_convolution(input)
        else:
            output = super().forward(input, output_size)
        return output if self.norm is None else self.norm(output)

    def as_convolution(self, input: Tensor) -> Tensor:
        """What the transposed convolution computes, of kernel 3 or 5, without normalisation.

        An even output pixel 2 i takes every second tap of the flipped kernel over the inputs
        around i, an odd one 2 i + 1 the others.
        """
        taps = (self.kernel_size[0] + 1) // 2
        autocasting = torch.is_autocast_enabled("cpu")
        # One zero makes the two sets of taps of one length: before the kernel's 5, behind its 3.
        zero = (1, 0) if taps == 3 else (0, 1)
        weight = self.weight.to(torch.get_autocast_dtype("cpu")) if autocasting else self.weight
        kernel = F.pad(weight.flip(2, 3), (*zero, *zero))
        shape = (self.in_channels, self.out_channels, taps, 2, taps, 2)
        kernel = kernel.view(shape).flip(3, 5).permute(1, 3, 5, 0, 2, 4).flatten(0, 2)
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        if taps == 2:
            input = F.pad(input, (0, 1, 0, 1))
        parities = F.conv2d(input, kernel, bias, padding=1 if taps == 3 else 0)
        output = F.pixel_shuffle(parities, 2)[..., :-1, :-1]
        return output.contiguous(memory_format=torch.channels_last)


class ContextEncoder(nn.Module):
    """Encoder, channel-wise layer and decoder; 3,921,155 parameters at 227 px.

    The paper states the sizes 6, 11, 21, 41, 81, 161 and 227 in figure 9b, the ReLU after each
    up-convolution, the dropout on the channel-wise layer and the stride of the mixing convolution.
    It is silent on three things: the kernels (`up_kernel` of the up-convolutions, `mixing_kernel`
    of the mixing), the last activation (none here: pixels are of both signs) and the
    initialisation: zero biases and He's normal weights (variance 2 / fan-in behind a ReLU and
    1 / fan-in elsewhere), a tenth of that in the last layer, so that training begins near grey
    instead of with loud noise whose suppression kills the encoder's units.

    `cebench.models.foldable.folded_state_dict` fits a network without `batch_norm` and
    `input_divisor`, which is how weights files hold it.

    Args:
        mixing_kernel: odd kernel of the convolution that mixes channels.
        encoder_init: "he" (`caffenet.he_weights`), or "caffenet", the reference net's fillers.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        up_kernel: 3 or 5, kernel of the up-convolutions; sizes are the figure's with either.
        pooling: "max" as in CaffeNet, or "none", a `caffenet.PoolFreeTrunk`, at 227 px only.
        side: of the images in pixels, a key of `GEOMETRIES`.
        residual: what the decoder's output is added to: nothing, or the mean colour of the visible
            pixels.
        batch_norm: what is batch-normalised, before the ReLUs: see `BatchNormPlaces`.
        input_divisor: see `FoldableConv2d`; 1 leaves conv1 as it is.
    """

    def __init__(
        self,
        mixing_kernel: int = 1,
        encoder_init: Literal["he", "caffenet"] = "he",
        generator: torch.Generator | None = None,
        up_kernel: int = 5,
        pooling: Literal["max", "none"] = "max",
        *,
        side: int = IMAGE_SIDE,
        residual: Literal["none", "mean-colour"] = "none",
        batch_norm: BatchNormPlaces = "none",
        input_divisor: float = 1,
    ) -> None:
        super().__init__()
        self.side, self.residual, self.geometry = side, residual, GEOMETRIES[side]
        channels, positions = self.geometry.channels, pool5_side(side) ** 2
        self.encoder = build_trunk(CAFFENET if pooling == "max" else CAFFENET_POOL_FREE, generator)
        self.channel_wise_fc = ChannelWiseFullyConnected(channels[0], positions, generator)
        self.dropout = Dropout(0.5)
        self.mixing = nn.Conv2d(channels[0], channels[0], mixing_kernel, padding=mixing_kernel // 2)
        self.up_convolutions = nn.ModuleList(
            UpConvolution(before, after, up_kernel) for before, after in pairwise(channels)
        )
        self.resize = BilinearResize(self.geometry.decoded_side, side)
        if encoder_init == "he":
            he_weights(self.encoder, generator)
        self._initialise_decoder(generator)
        if batch_norm != "none" or input_divisor != 1:
            make_trainable(
                self.encoder, input_divisor=input_divisor, batch_norm=batch_norm != "none"
            )
        if batch_norm == "encoder-decoder":
            for layer in self.up_convolutions[:-1]:
                assert isinstance(layer, UpConvolution)
                layer.normalise()

    def _initialise_decoder(self, generator: torch.Generator | None) -> None:
        layers = (self.mixing, *self.up_convolutions)
        # The channel-wise layer and the mixing convolution are linear; the last is shrunk tenfold.
        gains = (1, 1, *[2] * (len(layers) - 3), 2 / 100)
        for layer, gain in zip(layers, gains, strict=True):
            # With stride s, an output pixel of an up-convolution sees 1 / s^2 of the kernel.
            fan_in = layer.in_channels * math.prod(layer.kernel_size) / math.prod(layer.stride)
            nn.init.normal_(layer.weight, std=math.sqrt(gain / fan_in), generator=generator)
            nn.init.zeros_(layer.bias)

    def encode(self, images: Tensor) -> Tensor:
        """Images to the encoder's features, pool5: (N, 256, 6, 6), at 115 px (N, 256, 3, 3)."""
        features: Tensor = self.encoder(images)
        return features

    def decode(self, features: Tensor) -> Tensor:
        """Encoder features to the last up-convolution's output: (N, 3, decoded, decoded)."""
        x: Tensor = self.mixing(self.dropout(self.channel_wise_fc(features)))
        *inner, last = self.up_convolutions
        for up_convolution in inner:
            x = F.relu(up_convolution(x))
        decoded: Tensor = last(x)
        return decoded

    def predict(self, features: Tensor, base: Tensor) -> Tensor:
        """Features to the prediction at the side at which it is compared with the image.

        base: (N, 3, 1, 1), the images' `visible_mean_colour`; counts with a `residual` only.
        """
        decoded = self.decode(features)
        if self.geometry.predicted_side == self.side:
            decoded = self.resize(decoded)
        return decoded + base if self.residual == "mean-colour" else decoded

    def forward(self, images: Tensor, holes: Tensor | None = None) -> Tensor:
        """Predict every pixel, the visible ones too; the loss chooses those that count.

        Args:
            images: (N, 3, side, side), RGB, as `caffenet.preprocess` returns them, missing pixels 0
                (the mean pixel).
            holes: (N, 1, side, side) or (side, side) bool, True = missing; None: nothing is. They
                count for the mean colour of a residual alone.

        Returns:
            (N, 3, side, side), RGB, on the scale x / 127.5 - 1 of pixels x in 0..255; not clamped.
        """
        base = visible_mean_colour(images, holes)
        prediction = self.predict(self.encode(images), base)
        return prediction if prediction.shape[-1] == self.side else self.resize(prediction)


def visible_mean_colour(
    context: Tensor, holes: Tensor | None, mean: Sequence[float] = IMAGENET_MEAN_RGB
) -> Tensor:
    """Mean colour of the visible pixels of each image on the scale [-1, 1]: (N, 3, 1, 1).

    Args:
        context: (N, 3, H, W), pixels minus `mean`, 0 where they are missing.
        holes: bool, True = missing, of a shape that broadcasts to (N, 1, H, W); None: nothing is.
        mean: the mean pixel, RGB, 0..255.
    """
    visible: Tensor | int = context[0, 0].numel()
    if holes is not None:
        visible = (visible - holes.sum((-2, -1), keepdim=True)).clamp(min=1)
    colour = context.sum((2, 3), keepdim=True) / visible
    pixel = torch.tensor(mean, device=context.device).view(3, 1, 1)
    return (colour + pixel) / 127.5 - 1
