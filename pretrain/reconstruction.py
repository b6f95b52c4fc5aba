"""Learning by reconstruction: what the context encoder and the autoencoder have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.config import Recipe
from cebench.data.ragged import RaggedImages
from cebench.models.caffenet import preprocess
from cebench.models.context_encoder import IMAGE_SIDE, ContextEncoder
from cebench.pictures import plot_curves, save_sheet
from cebench.randomness import EpochOrder, numpy_generator, torch_seed
from cebench.training import require_finite, train

from .setting import Pretrained, Setting
from .sources import load_source

Holes = Callable[[np.random.Generator, int], np.ndarray]
"""(generator, n) -> (n, 227, 227) bool, True = missing."""


class ReconstructionRecipe(Recipe):
    """How a reconstruction method trains (protocol ledger: feature learning)."""

    steps: PositiveInt
    """Optimizer steps."""
    batch_size: PositiveInt
    """Images per step; the paper does not state it."""
    learning_rate: PositiveFloat
    """Of Adam, constant."""
    loss: Literal["l2", "l1"] = "l2"
    """The paper says L2; the author later said that the AlexNet model used L1."""
    short_side: int = Field(default=256, ge=IMAGE_SIDE)
    """Pixels of the shorter image side before a random 227 px crop."""
    mixing_kernel: Literal[1, 3] = 1
    """Kernel of the stride-1 convolution behind the channel-wise layer; not stated."""
    encoder_init: Literal["he", "caffenet"] = "he"
    """Initial weights of the encoder; not stated. CaffeNet's fillers lose most units to Adam."""
    voc_image_set: str = "train"
    """Image set taken from a VOC year folder given as --data."""
    held_out_images: NonNegativeInt = 6
    """Images kept out of training, for the pictures in samples/."""


@dataclass(frozen=True)
class Batch:
    """Images (N, 3, 227, 227) uint8, and holes (N, 1, 227, 227) bool or None."""

    images: Tensor
    holes: Tensor | None


class Reconstruction:
    """Trains a ContextEncoder to restore images; `holes` says which pixels are taken away."""

    def __init__(
        self,
        images: RaggedImages,
        training: np.ndarray,
        holes: Holes | None,
        recipe: ReconstructionRecipe,
        seed: int,
        device: torch.device,
    ) -> None:
        generator = torch.Generator().manual_seed(torch_seed(seed, "context-encoder"))
        network = ContextEncoder(recipe.mixing_kernel, recipe.encoder_init, generator)
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self.adam = torch.optim.Adam(self.network.parameters(), lr=recipe.learning_rate, fused=True)
        self.optimizers: dict[str, Optimizer] = {"adam": self.adam}
        self.images, self.training, self.holes = images.to(device), training, holes
        self.batch_size, self.loss = recipe.batch_size, recipe.loss
        self.seed, self.device = seed, device
        self.order = EpochOrder(len(training), seed)

    def batch(self, step: int) -> Batch:
        """Random 227 px crops, mirrored half of the time, and their holes."""
        count = self.batch_size
        index = self.training[self.order.indices(step * count, count)]
        generator = numpy_generator(self.seed, "crop", step)
        crops = random_crops(self.images, index, generator)
        if self.holes is None:
            return Batch(crops, None)
        holes = self.holes(numpy_generator(self.seed, "holes", step), count)
        return Batch(crops, torch.from_numpy(holes).unsqueeze(1).to(self.device))

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One Adam step on the reconstruction loss."""
        loss = reconstruction_loss(self.network, batch, self.loss)
        require_finite(step, loss=loss)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        return {"loss": loss.detach()}


def reconstruction_loss(network: ContextEncoder, batch: Batch, kind: str) -> Tensor:
    """Equation 1 of the paper, normalised: the mean over the missing pixels of the error.

    Pixels are on the scale [-1, 1]. Without holes nothing is taken away and every pixel counts.
    """
    truth = batch.images.float() / 127.5 - 1
    context = visible_context(batch.images, batch.holes)
    error: Tensor = network(context) - truth
    error = error.square() if kind == "l2" else error.abs()
    if batch.holes is None:
        return error.mean()
    return (error * batch.holes).sum() / (3 * batch.holes.sum())


def visible_context(images: Tensor, holes: Tensor | None) -> Tensor:
    """The network's input: mean-subtracted pixels, 0 (the mean) where they are missing."""
    context = preprocess(images).contiguous(memory_format=torch.channels_last)
    return context if holes is None else context.masked_fill_(holes, 0)


def random_crops(images: RaggedImages, index: np.ndarray, generator: np.random.Generator) -> Tensor:
    """Uniformly placed 227 px crops of the images `index`, mirrored with probability 1/2."""
    heights, widths = images.heights.cpu().numpy()[index], images.widths.cpu().numpy()[index]
    y0 = torch.from_numpy(generator.integers(0, heights - IMAGE_SIDE + 1))
    x0 = torch.from_numpy(generator.integers(0, widths - IMAGE_SIDE + 1))
    flip = torch.from_numpy(generator.random(len(index)) < 0.5)
    return images.integer_crops(torch.from_numpy(index), y0, x0, flip, IMAGE_SIDE)


def pretrain_by_reconstruction(
    recipe: ReconstructionRecipe, setting: Setting, label: str, holes: Holes | None
) -> Pretrained:
    """Load the images, train, and leave samples/ and curves.png in the run directory."""
    source = load_source(setting.data, setting.exclude, recipe.voc_image_set, recipe.short_side)
    order = numpy_generator(setting.seed, "held-out").permutation(len(source.images))
    held_out = order[: min(recipe.held_out_images, len(order) - 1)]
    training = np.sort(order[len(held_out) :])
    program = Reconstruction(source.images, training, holes, recipe, setting.seed, setting.device)
    seconds = train(
        program,
        setting.run,
        label=label,
        steps=recipe.steps,
        seed=setting.seed,
        data_fingerprint=source.fingerprint,
        log_every=recipe.log_every,
        checkpoint_every=recipe.checkpoint_every,
    )
    plot_curves(setting.run.metrics(), ["loss"], setting.run.path / "curves.png", title=label)
    if len(held_out):
        _save_samples(program, held_out, recipe.steps, setting)
    return Pretrained(
        trunk=program.network.encoder.state_dict(),
        model=program.network.state_dict(),
        images=len(training),
        data_fingerprint=source.fingerprint,
        steps=recipe.steps,
        seconds=seconds,
    )


def _save_samples(
    program: Reconstruction, held_out: np.ndarray, step: int, setting: Setting
) -> None:
    """Context, prediction, composite and truth of the held-out images, one row each."""
    crops = random_crops(program.images, held_out, numpy_generator(setting.seed, "sample-crops"))
    holes = None
    context = crops.clone()
    if program.holes is not None:
        drawn = program.holes(numpy_generator(setting.seed, "sample-holes"), len(held_out))
        holes = torch.from_numpy(drawn).unsqueeze(1).to(program.device)
        context = context.masked_fill(holes, 127)
    with torch.no_grad():
        predicted = program.network(visible_context(crops, holes))
    prediction = ((predicted + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    composite = prediction if holes is None else torch.where(holes, prediction, crops)
    columns = {"context": context, "prediction": prediction, "composite": composite, "truth": crops}
    folder = setting.run.path / "samples"
    folder.mkdir(exist_ok=True)
    save_sheet(
        {name: images.permute(0, 2, 3, 1).cpu().numpy() for name, images in columns.items()},
        folder / f"step-{step:06d}.png",
    )
