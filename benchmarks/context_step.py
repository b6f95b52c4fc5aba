"""Time a training step of the context encoder against its plain form, alternated in one process.

Run: python benchmarks/context_step.py [--side 115] [--batch-size 64] [--threads 1]
     python benchmarks/context_step.py --side 227 --batch-size 16 --threads 2
The plain form is what one would write first: builtin LRN, builtin resize, a grouped convolution as
channel-wise layer, transposed convolutions, NCHW memory, default AdamW. Both are batch-normalised,
start from the same weights and see the same batches; their first losses differ by dropout.
`labels` is a step of the classifier of method imagenet, `convolutions` the convolutions of our step
alone, forward and backward: no step is faster. Times are the processor's, so that other programs on
the machine count less; batches are made within the step, from memory.
"""

import argparse
import math
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from cebench.config import Precision, load_recipe
from cebench.data.hole_masks import RandomBlocks
from cebench.data.store.ragged import RaggedImages
from cebench.devices import autocast, choose_device
from cebench.models.caffenet import IMAGENET_MEAN_RGB
from cebench.models.context_encoder import ContextEncoder
from cebench.models.foldable import FoldableConv2d, FoldableConvTranspose2d
from cebench.models.options import pool5_side
from cebench.pretrain.crops import Crops
from cebench.pretrain.imagenet import ImagenetClassification
from cebench.pretrain.options.imagenet import ImagenetRecipe
from cebench.pretrain.options.reconstruction import ContextRecipe
from cebench.pretrain.reconstruction import Batch, Reconstruction

ROUNDS = 5
aten = torch.ops.aten
CONVOLUTIONS = (aten.convolution.default, aten.convolution_backward.default)


class PlainContextEncoder(nn.Module):
    """The same function, from torch's own parts; takes pixels divided as conv1 divides them."""

    def __init__(self, ours: ContextEncoder) -> None:
        super().__init__()
        trunk, self.geometry, self.side = ours.encoder, ours.geometry, ours.side
        norm = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
        self.encoder = nn.Sequential(
            *_copy(trunk.conv1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5, **norm),
            *_copy(trunk.conv2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5, **norm),
            *_copy(trunk.conv3),
            nn.ReLU(),
            *_copy(trunk.conv4),
            nn.ReLU(),
            *_copy(trunk.conv5),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        n = pool5_side(self.side)
        self.channel_wise_fc = nn.Conv2d(256, 256 * n * n, n, groups=256)
        with torch.no_grad():
            weight = ours.channel_wise_fc.weight.reshape(256 * n * n, 1, n, n)
            self.channel_wise_fc.weight.copy_(weight)
            self.channel_wise_fc.bias.copy_(ours.channel_wise_fc.bias.flatten())
        self.mixing = nn.Conv2d(256, 256, 1)
        self.mixing.load_state_dict(ours.mixing.state_dict())
        self.up_convolutions = nn.ModuleList(
            nn.Sequential(*_copy(layer)) for layer in ours.up_convolutions
        )

    def forward(self, images: Tensor) -> Tensor:
        n = pool5_side(self.side)
        features = self.channel_wise_fc(self.encoder(images)).view(-1, 256, n, n)
        x = self.mixing(F.dropout(features, 0.5, self.training))
        for layer in self.up_convolutions[:-1]:
            x = F.relu(layer(x))
        x = self.up_convolutions[-1](x)
        if self.geometry.predicted_side != self.side:
            return x
        return F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False)


def _copy(layer: FoldableConv2d | FoldableConvTranspose2d) -> list[nn.Module]:
    kind = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
    twin = kind(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    own = {name: tensor for name, tensor in layer.state_dict().items() if "norm" not in name}
    twin.load_state_dict(own)
    return [twin] if layer.norm is None else [twin, nn.BatchNorm2d(layer.out_channels)]


def context_recipe(side: int, batch_size: int, precision: Precision) -> ContextRecipe:
    changes = (f"side={side}", f"batch_size={batch_size}", f"precision={precision}")
    sides = ("short_side=256",) if side == 227 else ()
    return load_recipe(
        ContextRecipe, "cebench.pretrain", "context", "small-block", (*changes, *sides)
    )[0]


def our_step(crops: Crops, recipe: ContextRecipe) -> Callable[[], float]:
    """The program's step with its batch: cebench/pretrain/reconstruction.py."""
    holes = RandomBlocks(recipe.side, recipe.block_sides)
    program = Reconstruction(crops, holes, "missing", recipe)
    program.network.train()
    steps = iter(range(recipe.steps))

    def step() -> float:
        number = next(steps)
        return program.update(number, program.batch(number))["loss"].item()

    return step


def plain_step(crops: Crops, recipe: ContextRecipe) -> Callable[[], float]:
    """The same step in plain terms."""
    program = Reconstruction(
        crops, RandomBlocks(recipe.side, recipe.block_sides), "missing", recipe
    )
    network = PlainContextEncoder(program.network)
    adam = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    steps = iter(range(recipe.steps))

    def step() -> float:
        loss = plain_loss(network, program.batch(next(steps)), recipe)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.item()

    return step


def plain_loss(network: PlainContextEncoder, batch: Batch, recipe: ContextRecipe) -> Tensor:
    assert batch.holes is not None
    mean = torch.tensor(IMAGENET_MEAN_RGB)[:, None, None]
    context = (batch.images.float() - mean).masked_fill(batch.holes, 0)
    visible = (~batch.holes).sum((2, 3), keepdim=True)
    base = (context.sum((2, 3), keepdim=True) / visible + mean) / 127.5 - 1
    with autocast(context.device, recipe.precision):
        prediction = network(context / recipe.input_divisor).float() + base
    size = prediction.shape[-2:]
    target = F.adaptive_avg_pool2d(batch.images.float() / 127.5 - 1, size)
    missing = F.adaptive_avg_pool2d(batch.holes.float(), size)
    return ((prediction - target).square() * missing).sum() / (3 * missing.sum())


class ConvolutionCalls(TorchDispatchMode):
    """Keeps what convolutions were called with, and calls them again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], object]] = []

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kept = partial(func, *args, **(kwargs or {}))
        if func in (
            torch.ops.aten.convolution.default,
            torch.ops.aten.convolution_backward.default,
        ):
            self.calls.append(kept)
        return kept()

    @torch.no_grad()
    def again(self) -> float:
        """The convolutions of a step, of which nothing is known afterwards."""
        for call in self.calls:
            call()
        return math.nan


def convolutions_of(step: Callable[[], float]) -> Callable[[], float]:
    """The convolutions of one step, forward and backward, without the rest."""
    with ConvolutionCalls() as recorded:
        step()
    return recorded.again


def labels_step(crops: Crops, recipe: ImagenetRecipe) -> Callable[[], float]:
    """The classifier's step with its batch: cebench/pretrain/imagenet.py."""
    labels = np.arange(len(crops.training)) % 200
    program = ImagenetClassification(crops, labels, 200, recipe)
    program.network.train()
    steps = iter(range(recipe.steps))

    def step() -> float:
        number = next(steps)
        return program.update(number, program.batch(number))["loss"].item()

    return step


def main() -> None:
    """Print a line for each way: images a second of processor time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, choices=(115, 227), default=115)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    choose_device("cpu")
    side, count = options.side, options.batch_size
    generator = np.random.default_rng(0)
    shape = (side * 256 // 227 + 1,) * 2
    images = [generator.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(400)]
    crops = Crops(RaggedImages.from_arrays(images), side, 0, 0, torch.device("cpu"))
    recipe = context_recipe(side, count, options.precision)
    ways = {"plain": plain_step(crops, recipe), "ours": our_step(crops, recipe)}
    ways["convolutions"] = convolutions_of(ways["ours"])
    if side == 115:
        changes = (f"batch_size={count}", f"precision={options.precision}")
        labels, _ = load_recipe(ImagenetRecipe, "cebench.pretrain", "imagenet", "small", changes)
        ways["labels"] = labels_step(crops, labels)
    first = {name: way() for name, way in ways.items()}
    shown = [f"{name} {loss:.5f}" for name, loss in first.items() if not math.isnan(loss)]
    print("first losses:", ", ".join(shown))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append((time.process_time() - began) / options.threads)
    for name, times in seconds.items():
        rate = count / median(times)
        print(f"{side} px, batch {count}, {options.precision}: {name:<12} {rate:6.0f} images/s")


if __name__ == "__main__":
    main()
