"""The crops that a method learns from, their holes, and the held-out crops that it is shown on."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cebench.config import Tier
from cebench.data.hole_masks import Holes
from cebench.data.store.ragged import RaggedImages
from cebench.distributed import is_main_process, local_slice
from cebench.plots.sheets import add_caption, save_sheet
from cebench.progress import untrained
from cebench.randomness import EpochOrder, numpy_generator

logger = logging.getLogger("cebench")

STEPS_TOGETHER = 16
"""Steps whose holes a GPU makes in one go."""


def held_out_count(asked: int, count: int) -> int:
    """How many of `count` images are held out where `asked` should be: at most half."""
    return min(asked, count // 2)


class Crops:
    """Uniformly placed square crops of a set of images, mirrored with probability 1/2.

    Args:
        images: at least `side` pixels high and wide.
        side: of a crop, in pixels.
        held_out: number of images never learned from, at most half; fewer are said in the log.
        seed: of the order, the crops and the choice of the held-out images.
        device: where the crops go, and the images if they fit.
        sizes: how often `images` holds each image, all of them in one size, then in the next; a
            crop is taken at one of them, drawn uniformly, a held-out one at the first.
    """

    def __init__(
        self,
        images: RaggedImages,
        side: int,
        held_out: int,
        seed: int,
        device: torch.device,
        sizes: int = 1,
    ) -> None:
        self.heights, self.widths = images.heights.cpu().numpy(), images.widths.cpu().numpy()
        self.images, self.side, self.seed, self.device = (
            images.to_if_fits(device),
            side,
            seed,
            device,
        )
        self.sizes, self.image_count = sizes, len(images) // sizes
        order = numpy_generator(seed, "held-out").permutation(self.image_count)
        self.held_out = order[: held_out_count(held_out, len(order))]
        if len(self.held_out) < held_out and is_main_process():
            logger.info(
                f"{len(self.held_out)} of {len(order)} images are held out, not "
                f"held_out_images={held_out}: at least half are learned from"
            )
        self.training = np.sort(order[len(self.held_out) :])
        self.order = EpochOrder(len(self.training), seed)

    @property
    def prefetch(self) -> int:
        """Threads that make batches ahead: some where images in host memory feed a GPU, else 0."""
        far = self.device.type == "cuda" and not self.images.pixels.is_cuda
        return min(8, os.cpu_count() or 1) if far else 0

    def indices(self, step: int, count: int) -> np.ndarray:
        """Which images the batch of a step shows, (count,) int64."""
        chosen: np.ndarray = self.training[self.order.indices(step * count, count)]
        return chosen

    def batch(self, step: int, count: int) -> Tensor:
        """This process's rows of the batch of a step: (N, 3, side, side) uint8."""
        index = self.indices(step, count)
        if self.sizes > 1:
            size = numpy_generator(self.seed, "size", step).integers(self.sizes, size=count)
            index = index + self.image_count * size
        generator = numpy_generator(self.seed, "crop", step)
        return self._crops(index, generator, local_slice(count))

    def samples(self) -> Tensor:
        """One crop of each held-out image, always the same: (N, 3, side, side) uint8."""
        generator = numpy_generator(self.seed, "sample-crops")
        return self._crops(self.held_out, generator, slice(None))

    def first(self, count: int) -> Tensor:
        """One crop of each of the first images learned from, the same in every process.

        Returns: (N, 3, side, side) uint8; N is `count`, or all images where they are fewer.
        """
        generator = numpy_generator(self.seed, "first-crops")
        return self._crops(self.training[:count], generator, slice(None))

    def _crops(self, index: np.ndarray, generator: np.random.Generator, own: slice) -> Tensor:
        y0 = generator.integers(0, self.heights[index] - self.side + 1)
        x0 = generator.integers(0, self.widths[index] - self.side + 1)
        flip = generator.random(len(index)) < 0.5
        image, top, left, mirrored = (torch.from_numpy(v[own]) for v in (index, y0, x0, flip))
        return self.images.integer_crops(image, top, left, mirrored, self.side, self.device)


class HoleBatches:
    """The holes of each step's batch.

    On a GPU those of STEPS_TOGETHER steps are made in one go: some hundred small kernels make a
    batch, and they take as long for one as for many.

    Args:
        holes: the kind.
        seed: of their random numbers, which belong to (seed, step) on every device.
        count: batch size of all processes together.
        device: where the holes go.
    """

    def __init__(self, holes: Holes, seed: int, count: int, device: torch.device) -> None:
        self.holes, self.seed, self.count, self.device = holes, seed, count, device
        self.together = STEPS_TOGETHER if device.type == "cuda" else 1
        # One attribute, replaced whole: batches are made ahead by several threads.
        self._newest: tuple[int, Tensor] = (-1, torch.empty(0))

    def batch(self, step: int) -> Tensor:
        """This process's rows of the holes of `step`: (N, 1, side, side) bool, True = missing."""
        wanted, place = divmod(step, self.together)
        group, made = self._newest
        if group != wanted:
            made = self._make(range(wanted * self.together, (wanted + 1) * self.together))
            self._newest = (wanted, made)
        return made[place]

    def _make(self, steps: range) -> Tensor:
        """(steps, N, 1, side, side) bool."""
        own, shape = local_slice(self.count), (self.count, *self.holes.sample_shape)
        generators = [numpy_generator(self.seed, "holes", step) for step in steps]
        uniforms = np.concatenate([g.random(shape, dtype=np.float32)[own] for g in generators])
        made = self.holes(torch.from_numpy(uniforms).to(self.device))
        return made.view(len(steps), -1, 1, *made.shape[1:])


def sample_holes(holes: Holes, seed: int, count: int, device: torch.device) -> Tensor:
    """The holes of the held-out crops, always the same: (N, 1, side, side) bool."""
    generator = numpy_generator(seed, "sample-holes")
    uniforms = generator.random((count, *holes.sample_shape), dtype=np.float32)
    return holes(torch.from_numpy(uniforms).to(device)).unsqueeze(1)


def unit_scale(images: Tensor) -> Tensor:
    """Pixels 0..255 on [-1, 1]: what the networks predict."""
    return images.float() / 127.5 - 1


def byte_scale(predictions: Tensor) -> Tensor:
    """[-1, 1] to pixels 0..255, rounded and clamped: uint8."""
    return ((predictions + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def save_samples(run: Path, step: int, columns: Mapping[str, Tensor], tier: Tier) -> None:
    """Write samples/step-NNNNNN.png: named columns of (N, 3, side, side) uint8, a row an image.

    tier: of the recipe; a picture of a smoke run says that it is untrained.
    """
    folder = run / "samples"
    folder.mkdir(exist_ok=True)
    pictures = {
        name: list(crops.permute(0, 2, 3, 1).cpu().numpy()) for name, crops in columns.items()
    }
    path = folder / f"step-{step:06d}.png"
    save_sheet(pictures, path)
    if tier == "smoke":
        add_caption(path, untrained(step))
