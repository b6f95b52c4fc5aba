"""The inpainting model of Table 1: a generator with a dense bottleneck, and its discriminator.

Layers as in pathak22/context-encoder, train.lua (`center`) and train_random.lua (`image`).
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.options import BOTTLENECK
from cebench.models.sync_layers import BatchNorm2d

PUBLISHED_FILL_RGB = (117, 104, 123)
"""What the released code puts into a hole before a network sees it, 0..255. It lists the mean of
BGR images, (104, 117, 123), in another order; its models need exactly this."""
FILL = tuple(value / 127.5 - 1 for value in PUBLISHED_FILL_RGB)
"""PUBLISHED_FILL_RGB on the scale [-1, 1] of the networks."""

CHANNELS = {64: (64, 128, 256, 512), 128: (64, 64, 128, 256, 512)}
"""Side of an image -> channels after each halving, down to 4 x 4."""
MAP_SIDE = 4


class MapToPoint(nn.Conv2d):
    """A 4 x 4 convolution of 4 x 4 maps without padding: one matrix product, since it has one
    output position. (N, C, 4, 4) to (N, out_channels, 1, 1).
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, MAP_SIDE, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        points: Tensor = F.linear(maps.flatten(1), self.weight.flatten(1))
        return points[..., None, None]


class PointToMap(nn.ConvTranspose2d):
    """A 4 x 4 transposed convolution of single points, likewise: the inverse of `MapToPoint` in
    shape. (N, C, 1, 1) to (N, out_channels, 4, 4).
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, MAP_SIDE, bias=False)

    def forward(self, points: Tensor, output_size: list[int] | None = None) -> Tensor:
        maps = points.flatten(1) @ self.weight.flatten(1)
        return maps.view(-1, *self.weight.shape[1:])


class InpaintingGenerator(nn.Module):
    """Predicts what is missing from an image; 71,124,544 parameters by default.

    No convolution has a bias: the released code zeroes all of them before every evaluation.

    Args:
        side: of the input in pixels, 128, or 64 where the whole image is predicted.
        region: what is predicted, the central 64 x 64 pixels of 128 or the whole image.
        bottleneck: units between encoder and decoder.
        generator: source of the initial weights (on the CPU); torch's global one if None.
    """

    def __init__(
        self,
        side: int = 128,
        region: Literal["center", "image"] = "center",
        bottleneck: int = BOTTLENECK,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.side, self.region = side, region
        down, up = CHANNELS[side], CHANNELS[predicted_side(side, region)]
        self.encoder = nn.Sequential(
            *_halvings(down), MapToPoint(down[-1], bottleneck), BatchNorm2d(bottleneck), _leaky()
        )
        self.decoder = nn.Sequential(
            PointToMap(bottleneck, up[-1]), BatchNorm2d(up[-1]), _relu(), *_doublings(up[::-1])
        )
        _initialise(self, generator)

    def encode(self, images: Tensor) -> Tensor:
        """Images as for `forward` to the bottleneck, (N, bottleneck, 1, 1)."""
        features: Tensor = self.encoder(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Predict the region, its visible pixels too.

        Args:
            images: (N, 3, side, side) RGB on [-1, 1], FILL where missing.

        Returns:
            (N, 3, P, P) RGB on [-1, 1] with P = `predicted_side(side, region)`.
        """
        prediction: Tensor = self.decoder(self.encode(images))
        return prediction


class Discriminator(nn.Module):
    """Tells real regions from predicted ones; 2,765,568 parameters at 64 px. No biases either.

    It sees the region alone, not its context (section 3.2).

    Args:
        side: of the region in pixels, 64 or 128.
        generator: source of the initial weights (on the CPU); torch's global one if None.
    """

    def __init__(self, side: int = 64, generator: torch.Generator | None = None) -> None:
        super().__init__()
        channels = CHANNELS[side]
        self.layers = nn.Sequential(*_halvings(channels), MapToPoint(channels[-1], 1))
        _initialise(self, generator)

    def forward(self, regions: Tensor) -> Tensor:
        """(N, 3, side, side) on [-1, 1] to (N,) logits: the sigmoid is part of the loss."""
        logits: Tensor = self.layers(regions)
        return logits.flatten()


def predicted_side(side: int, region: str) -> int:
    """Pixels of the predicted square: half of `side` at the centre, all of it otherwise."""
    return side // 2 if region == "center" else side


def central_square(images: Tensor, side: int) -> Tensor:
    """The middle `side` x `side` pixels of (..., H, W), a view."""
    top, left = ((length - side) // 2 for length in images.shape[-2:])
    return images[..., top : top + side, left : left + side]


def _halvings(channels: tuple[int, ...]) -> list[nn.Module]:
    """Strided 4 x 4 convolutions from RGB to maps of 4 x 4; all but the first are normalised."""
    layers: list[nn.Module] = [_down(3, channels[0]), _leaky()]
    for before, after in pairwise(channels):
        layers += [_down(before, after), BatchNorm2d(after), _leaky()]
    return layers


def _doublings(channels: tuple[int, ...]) -> list[nn.Module]:
    """Strided 4 x 4 transposed convolutions to RGB; all but the last are normalised."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [_up(before, after), BatchNorm2d(after), _relu()]
    return [*layers, _up(channels[-1], 3), nn.Tanh()]


def _down(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)


def _up(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(0.2, inplace=True)


def _relu() -> nn.ReLU:
    return nn.ReLU(inplace=True)


def _initialise(network: nn.Module, generator: torch.Generator | None) -> None:
    """train.lua: convolutions N(0, 0.02); normalisations N(1, 0.02) with bias 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, 0.02, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1, 0.02, generator=generator)
            nn.init.zeros_(layer.bias)
