"""Time a training step of the context encoder against its plain form, alternated in one process.

Run: python benchmarks/context_step.py [--batch-size 16] [--threads 2]
The plain form is what one would write first: builtin LRN, builtin resize, a grouped convolution as
channel-wise layer, NCHW memory, default Adam. Both start from the same weights on the same batch,
and the first losses are compared.
"""

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from alternation import medians, print_ratios
from torch import Tensor, nn

from cebench.devices import Precision, autocast
from cebench.models.caffenet import IMAGENET_MEAN_RGB
from cebench.models.context_encoder import IMAGE_SIDE, ContextEncoder
from cebench.pretrain.reconstruction import ReconstructionLoss, visible_context

RATE = 3e-5


class PlainContextEncoder(nn.Module):
    """The same function, from torch's own parts."""

    def __init__(self, ours: ContextEncoder) -> None:
        super().__init__()
        trunk = ours.encoder
        norm = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
        self.encoder = nn.Sequential(
            _copy(trunk.conv1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5, **norm),
            _copy(trunk.conv2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5, **norm),
            _copy(trunk.conv3),
            nn.ReLU(),
            _copy(trunk.conv4),
            nn.ReLU(),
            _copy(trunk.conv5),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        self.channel_wise_fc = nn.Conv2d(256, 9216, 6, groups=256)
        with torch.no_grad():
            self.channel_wise_fc.weight.copy_(ours.channel_wise_fc.weight.reshape(9216, 1, 6, 6))
            self.channel_wise_fc.bias.copy_(ours.channel_wise_fc.bias.flatten())
        self.mixing = _copy(ours.mixing)
        self.up_convolutions = nn.ModuleList(_copy(layer) for layer in ours.up_convolutions)

    def forward(self, images: Tensor) -> Tensor:
        features = self.channel_wise_fc(self.encoder(images)).view(-1, 256, 6, 6)
        x = self.mixing(F.dropout(features, 0.5, self.training))
        for layer in self.up_convolutions[:-1]:
            x = F.relu(layer(x))
        x = self.up_convolutions[-1](x)
        return F.interpolate(x, (IMAGE_SIDE, IMAGE_SIDE), mode="bilinear", align_corners=False)


def _copy(layer: nn.Module) -> nn.Module:
    kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
    twin = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
    )
    twin.load_state_dict(layer.state_dict())
    return twin


def our_step(images: Tensor, holes: Tensor, precision: Precision) -> Callable[[], float]:
    """The program's step: cebench/pretrain/reconstruction.py."""
    network = ContextEncoder(generator=torch.Generator().manual_seed(0))
    network.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    criterion = ReconstructionLoss("l2", "missing")

    def step() -> float:
        with autocast(images.device, precision):
            prediction = network(visible_context(images, holes))
        loss = criterion(prediction.float(), images, holes)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return loss.item()

    return step


def plain_step(images: Tensor, holes: Tensor) -> Callable[[], float]:
    """The same step in plain terms."""
    network = PlainContextEncoder(ContextEncoder(generator=torch.Generator().manual_seed(0)))
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    mean = torch.tensor(IMAGENET_MEAN_RGB)[:, None, None]

    def step() -> float:
        context = (images.float() - mean).masked_fill(holes, 0)
        error = (network(context) - (images.float() / 127.5 - 1)).square()
        loss = (error * holes).sum() / (3 * holes.sum())
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    return step


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    side = IMAGE_SIDE
    images = torch.randint(0, 256, (options.batch_size, 3, side, side), dtype=torch.uint8)
    holes = torch.zeros(options.batch_size, 1, side, side, dtype=torch.bool)
    holes[..., 57:170, 57:170] = True
    ways = {
        "ours fp32": our_step(images, holes, "fp32"),
        "plain": plain_step(images, holes),
        "ours bf16": our_step(images, holes, "bf16"),
    }
    first = {name: way() for name, way in ways.items()}
    print("first losses:", ", ".join(f"{name} {loss:.5f}" for name, loss in first.items()))
    title = f"context step, {options.batch_size} images, {options.threads} threads"
    print_ratios(title, medians(ways))


if __name__ == "__main__":
    main()
