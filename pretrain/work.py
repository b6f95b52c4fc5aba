"""How much arithmetic a pretraining is, for its dry run.

The operations of a step are counted by torch's own counter on networks without memory ("meta").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cebench.models.inpainting_gan import Discriminator, InpaintingGenerator, predicted_side
from cebench.training.estimates import Work

from . import egomotion, imagenet, motion, reconstruction, relative_context
from .options.context_gan import ContextGanRecipe
from .options.egomotion import EgomotionRecipe
from .options.imagenet import ImagenetRecipe
from .options.initial_weights import SIDE, KmeansInitRecipe
from .options.motion import MotionRecipe
from .options.reconstruction import ReconstructionRecipe
from .options.relative_context import RelativeContextRecipe
from .run_context import Inputs

BYTES_PER_PIXEL = 400
"""Bytes by pixel of a batch that the backward pass needs: 300 to 450 were measured."""
PARAMETER_BYTES = 16
"""Weights, gradients and at most two moments."""
CLASSES = 1000
"""Classes of `imagenet`, whose folders are not counted for this: ImageNet's."""
ASPECT = 4 / 3
"""Width over height of photographs, more often than not."""
KMEANS_GFLOP, BALANCE_GFLOP = 5.7, 44.0
"""Cost of `kmeans-init` for one image: to draw the layers, and to balance them in five rounds."""


@dataclass(frozen=True)
class Step:
    """What one step keeps in memory."""

    networks: tuple[nn.Module, ...]
    squares: float
    """Images or patches that pass through them together."""
    side: int
    """Pixels of each."""
    more_bytes: float = 0

    @property
    def bytes(self) -> float:
        """Bytes of the parameters and of the values of one batch."""
        values = sum(p.numel() for network in self.networks for p in network.parameters())
        of_batch = self.squares * self.side**2 * BYTES_PER_PIXEL
        return values * PARAMETER_BYTES + of_batch + self.more_bytes


def work_of(method: str, recipe: Any, inputs: Inputs) -> Work:
    """The work of `method`; none of one that takes no step."""
    if method == "kmeans-init":
        return _kmeans_work(recipe, inputs)
    if method not in STEPS:
        return Work()
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        step = STEPS[method](recipe)
    return Work(
        gflop=recipe.steps * counter.get_total_flops() / 1e9,
        photographs=inputs.count if inputs.decoded_bytes else 0,
        images_bytes=inputs.decoded_bytes,
        network_bytes=step.bytes,
    )


def _kmeans_work(recipe: KmeansInitRecipe, inputs: Inputs) -> Work:
    """Only the images that are used are decoded; the largest layer of all is kept, no gradient."""
    images = min(inputs.count, recipe.steps * recipe.batch_size)
    balanced = recipe.batch_size if recipe.balance else 0
    share = images / max(inputs.count, 1)
    return Work(
        gflop=images * KMEANS_GFLOP + balanced * BALANCE_GFLOP,
        photographs=images if inputs.decoded_bytes else 0,
        images_bytes=inputs.decoded_bytes * share,
        network_bytes=images * SIDE**2 * BYTES_PER_PIXEL / 4,
    )


def _reconstruction_step(recipe: ReconstructionRecipe) -> Step:
    network = reconstruction.network_of(recipe)
    features = network.encode(_images(recipe.batch_size, recipe.side))
    network.predict(features, torch.empty(recipe.batch_size, 3, 1, 1)).sum().backward()
    return Step((network,), recipe.batch_size, recipe.side)


def _context_gan_step(recipe: ContextGanRecipe) -> Step:
    generator = InpaintingGenerator(recipe.side, recipe.region, recipe.bottleneck)
    networks: list[nn.Module] = [generator]
    prediction = generator(_images(recipe.batch_size, recipe.side))
    if recipe.objective == "l2":
        prediction.sum().backward()
    else:
        side = predicted_side(recipe.side, recipe.region)
        discriminator = Discriminator(side)
        networks.append(discriminator)
        of_real = discriminator(_images(recipe.batch_size, side)).sum()
        (of_real + discriminator(prediction.detach()).sum()).backward()
        discriminator.requires_grad_(False)
        discriminator(prediction).sum().backward()
    average = sum(p.numel() for p in generator.parameters()) if recipe.average_decay else 0
    return Step(tuple(networks), recipe.batch_size, recipe.side, more_bytes=4 * average)


def _imagenet_step(recipe: ImagenetRecipe) -> Step:
    network = imagenet.network_of(recipe, CLASSES)
    network(_images(recipe.batch_size, recipe.side)).sum().backward()
    return Step((network,), recipe.batch_size, recipe.side)


def _relative_context_step(recipe: RelativeContextRecipe) -> Step:
    """Grids of images of a mean size; an image of the least size has four patches."""
    network = relative_context.network_of(recipe)
    pixels = (recipe.fewest_pixels + recipe.most_pixels) / 2
    height = (pixels / ASPECT) ** 0.5
    grids = recipe.batch_size * recipe.grids_per_image
    patches, pairs = (
        round(grids * count)
        for count in recipe.layout.mean_patches_and_pairs(height, height * ASPECT)
    )
    index = torch.empty(pairs, dtype=torch.int64)
    network(_images(patches, recipe.patch_side), index, index).sum().backward()
    return Step((network,), patches, recipe.patch_side)


def _motion_step(recipe: MotionRecipe) -> Step:
    network = motion.network_of(recipe)
    network(_images(recipe.batch_size, recipe.side)).sum().backward()
    return Step((network,), recipe.batch_size, recipe.side)


def _egomotion_step(recipe: EgomotionRecipe) -> Step:
    network = egomotion.network_of(recipe, (recipe.turn_classes,) * 3)
    outputs = network(*(_images(recipe.batch_size, recipe.side) for _ in range(2)))
    (outputs if isinstance(outputs, Tensor) else torch.cat(outputs)).sum().backward()
    return Step((network,), 2 * recipe.batch_size, recipe.side)


def _images(count: int, side: int) -> Tensor:
    return torch.empty(count, 3, side, side)


STEPS: dict[str, Callable[[Any], Step]] = {
    "context": _reconstruction_step,
    "autoencoder": _reconstruction_step,
    "denoising-autoencoder": _reconstruction_step,
    "context-gan": _context_gan_step,
    "imagenet": _imagenet_step,
    "relative-context": _relative_context_step,
    "motion": _motion_step,
    "egomotion": _egomotion_step,
}
"""Method -> the forward and backward passes of a step, whose operations are counted."""
