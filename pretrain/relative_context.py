"""`relative-context`: where does one patch of an image lie from another (Doersch et al. 2015)?

Source: cdoersch/deepcontext, train.py.
"""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.patch_grids import PatchGrids, join_grids, sample_grids
from cebench.data.patch_treatments import (
    PATCH_RMS,
    drop_colours,
    project_out_green_magenta,
    reduce_and_enlarge,
    sample_reduced_sides,
    subtract_mean,
    unit_contrast,
)
from cebench.devices import autocast
from cebench.distributed import all_reduce_sum, backward_and_step, local_slice
from cebench.models.backbones import CAFFENET_WITHOUT_GROUPS
from cebench.models.caffenet import preprocess
from cebench.models.foldable import folded_state_dict
from cebench.models.parameter_groups import scale_rates
from cebench.models.patch_pairs import POSITIONS, PatchPairNetwork
from cebench.randomness import numpy_generator, torch_seed
from cebench.weights.files import Preprocessing

from .crops import Crops
from .held_out import store_accuracy
from .options.relative_context import RelativeContextRecipe
from .run_context import Pretrained, RunContext
from .sources import load_source
from .trunk_training import train_trunk

IMAGES_PER_TEST_BATCH = 8
STATISTICS_IMAGES = 256
"""Whose statistics are folded with `statistics=images`."""
TRANSFER_SIDE = 227
"""Pixels of the images that transfer shows a trunk."""


@dataclass(frozen=True)
class PairBatch:
    """Patches (M, 3, S, S) as the network sees them, and pairs of them, (P,) int64 each."""

    patches: Tensor
    first: Tensor
    second: Tensor
    labels: Tensor


class PairSampler:
    """Patches of images and their pairs, a function of seed and stream alone."""

    def __init__(self, crops: Crops, recipe: RelativeContextRecipe) -> None:
        self.crops, self.layout = crops, recipe.layout
        self.pixels = (recipe.fewest_pixels, recipe.most_pixels)
        self.grids_per_image, self.colours = recipe.grids_per_image, recipe.colours
        self.reduced_share = recipe.reduced_share

    def batch(self, index: np.ndarray, own: slice, stream: str, *counters: int) -> PairBatch:
        """The pairs of those of the images `index` (N,) that lie in the slice `own`."""
        positions, images = range(len(index))[own], index[own]
        generators = [numpy_generator(self.crops.seed, stream, *counters, n) for n in positions]
        parts = [self._grids(image, g) for image, g in zip(images, generators, strict=True)]
        counts, grids = [len(part.tops) for part in parts], join_grids(parts)
        sides = self._per_patch(self._reduced_sides, generators, counts)
        patches = reduce_and_enlarge(self._cut(np.repeat(images, counts), grids), sides)
        if self.colours == "dropping":
            kept = self._per_patch(lambda g, n: g.integers(0, 3, n), generators, counts)
            seeds = [
                torch_seed(self.crops.seed, f"{stream}-noise", *counters, n) for n in positions
            ]
            patches = drop_colours(patches, kept, self._noise(seeds, counts))
        else:
            projected = self.colours == "projection"
            patches = (project_out_green_magenta if projected else subtract_mean)(patches)
        tables = (grids.first, grids.second, grids.labels)
        pairs = (torch.from_numpy(table).to(self.crops.device) for table in tables)
        return PairBatch(unit_contrast(patches), *pairs)

    def _grids(self, image: int, generator: np.random.Generator) -> PatchGrids:
        height, width = int(self.crops.heights[image]), int(self.crops.widths[image])
        return sample_grids(
            height, width, self.grids_per_image, self.pixels, self.layout, generator
        )

    def _cut(self, images: np.ndarray, grids: PatchGrids) -> Tensor:
        """The patches (M, 3, S, S) float32, 0..255, sampled from the stored images."""
        scale = 1 / grids.scales
        upright = torch.zeros(len(images), dtype=torch.bool)
        index, x0, y0, step = map(
            torch.from_numpy, (images, grids.lefts * scale, grids.tops * scale, scale)
        )
        patches = self.crops.images.bilinear_crops(
            index, x0, y0, step, upright, self.layout.patch_side
        )
        return patches.to(self.crops.device)

    def _reduced_sides(self, generator: np.random.Generator, count: int) -> np.ndarray:
        return sample_reduced_sides(generator, count, self.layout.patch_side, self.reduced_share)

    def _per_patch(
        self,
        sample: Callable[[np.random.Generator, int], np.ndarray],
        generators: list[np.random.Generator],
        counts: list[int],
    ) -> Tensor:
        """(M,): what `sample` draws for the patches of each image."""
        parts = [sample(g, n) for g, n in zip(generators, counts, strict=True)]
        return torch.from_numpy(np.concatenate(parts)).to(self.crops.device)

    def _noise(self, seeds: list[int], counts: list[int]) -> Tensor:
        """(M, 3, S, S) uniform in [-0.5, 0.5], from a seed for each image."""
        device, side = self.crops.device, self.layout.patch_side
        noise = torch.empty(sum(counts), 3, side, side, device=device)
        for part, seed in zip(noise.split(counts), seeds, strict=True):
            part.uniform_(-0.5, 0.5, generator=torch.Generator(device).manual_seed(seed))
        return noise


class RelativeContext:
    """Trains a `PatchPairNetwork` to tell the positions of patches."""

    def __init__(self, crops: Crops, recipe: RelativeContextRecipe) -> None:
        generator = torch.Generator().manual_seed(torch_seed(crops.seed, "patch-pairs"))
        self.network = (
            network_of(recipe, generator).to(crops.device).to(memory_format=torch.channels_last)
        )
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self.optimizer = _optimizer(self.network, recipe)
        self.optimizers: dict[str, Optimizer] = {recipe.optimizer: self.optimizer}
        self.crops, self.recipe = crops, recipe
        self.pairs = PairSampler(crops, recipe)

    def batch(self, step: int) -> PairBatch:
        """All pairs of neighbours in the grids of this process's images."""
        count = self.recipe.batch_size
        index = self.crops.indices(step, count)
        return self.pairs.batch(index, local_slice(count), "grids", step)

    def update(self, step: int, batch: PairBatch) -> Mapping[str, Tensor]:
        """One step on the softmax cross-entropy; logs its mean and the share of pairs told."""
        scores = self.scores(batch)
        total_loss = F.cross_entropy(scores, batch.labels, reduction="sum")
        correct = (scores.detach().argmax(1) == batch.labels).sum()
        pairs = all_reduce_sum(torch.tensor(len(scores), device=scores.device))
        scale_rates(self.optimizer, self.recipe.rate_factor(step, self.recipe.steps))
        share = total_loss if self.recipe.loss == "sum" else total_loss / pairs
        backward_and_step(share, self.network, self.optimizer)
        sums = {"loss": total_loss, "accuracy": correct}
        return {name: all_reduce_sum(value) / pairs for name, value in sums.items()}

    def scores(self, batch: PairBatch) -> Tensor:
        """Raw scores (P, 8) float32."""
        patches = batch.patches.contiguous(memory_format=torch.channels_last)
        with autocast(patches.device, self.recipe.precision):
            scores: Tensor = self.network(patches, batch.first, batch.second)
        return scores.float()

    @torch.no_grad()
    def held_out_accuracy(self) -> tuple[float, int]:
        """Share of the held-out images' pairs that are told, and their number."""
        held_out, correct, asked = self.crops.held_out, 0, 0
        for start in range(0, len(held_out), IMAGES_PER_TEST_BATCH):
            part = held_out[start : start + IMAGES_PER_TEST_BATCH]
            batch = self.pairs.batch(part, slice(None), "held-out-grids", start)
            correct += int((self.scores(batch).argmax(1) == batch.labels).sum())
            asked += len(batch.labels)
        return correct / asked, asked


def network_of(
    recipe: RelativeContextRecipe, generator: torch.Generator | None = None
) -> PatchPairNetwork:
    """The network that `recipe` trains; see `PatchPairNetwork`."""
    return PatchPairNetwork(
        recipe.patch_side,
        recipe.units,
        generator,
        batch_norm=recipe.batch_norm,
        input_divisor=recipe.input_divisor,
    )


def _optimizer(network: nn.Module, recipe: RelativeContextRecipe) -> Optimizer:
    rate = recipe.learning_rate
    if recipe.optimizer == "adam":
        return torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    return torch.optim.SGD(network.parameters(), lr=rate, momentum=recipe.momentum, fused=True)


def pretrain(recipe: RelativeContextRecipe, run_context: RunContext) -> Pretrained:
    """Train on the images; leaves accuracy.json and a trunk without groups and normalisation."""
    source = load_source(
        run_context.data, run_context.exclude, recipe.voc_image_set, recipe.short_side
    )
    crops = Crops(
        source.images,
        recipe.patch_side,
        recipe.held_out_images,
        run_context.seed,
        run_context.device,
    )
    program = RelativeContext(crops, recipe)
    return train_trunk(
        program,
        recipe,
        run_context,
        label="relative-context",
        data_fingerprint=source.fingerprint,
        data_order=source.order,
        pretrained=partial(_pretrained, program, source.fingerprint),
        images=crops.first,
        measure=partial(_measure, program, run_context) if len(crops.held_out) else None,
        prefetch=crops.prefetch,
    )


def _pretrained(
    program: RelativeContext, data_fingerprint: str, steps: int, seconds: float
) -> Pretrained:
    network = program.network
    if program.recipe.statistics == "images":
        network = deepcopy(network)  # Training may go on after weights_at.
        network.set_statistics(whole_images(program.crops))
    return Pretrained(
        trunk=network.folded_trunk(),
        trunk_architecture=CAFFENET_WITHOUT_GROUPS,
        model=folded_state_dict(program.network),
        architecture="patch-pairs",
        preprocessing=Preprocessing(
            mean_rgb=(0.0, 0.0, 0.0), side=program.recipe.patch_side, contrast_rms=PATCH_RMS
        ),
        images=len(program.crops.training),
        data_fingerprint=data_fingerprint,
        steps=steps,
        seconds=seconds,
    )


def whole_images(crops: Crops) -> Iterator[Tensor]:
    """Central squares of STATISTICS_IMAGES images learned from, as transfer shows them.

    Yields: (N, 3, 227, 227) float32, the reference net's mean pixel subtracted.
    """
    count = len(crops.training)
    chosen = crops.training[np.linspace(0, count - 1, min(count, STATISTICS_IMAGES)).astype(int)]
    for start in range(0, len(chosen), IMAGES_PER_TEST_BATCH):
        index = chosen[start : start + IMAGES_PER_TEST_BATCH]
        height, width = crops.heights[index], crops.widths[index]
        side = np.minimum(height, width)
        places = ((width - side) / 2, (height - side) / 2, side / TRANSFER_SIDE)
        x0, y0, scale = (torch.from_numpy(place) for place in places)
        upright = torch.zeros(len(index), dtype=torch.bool)
        images = crops.images.bilinear_crops(
            torch.from_numpy(index), x0, y0, scale, upright, TRANSFER_SIDE
        )
        yield preprocess(images.to(crops.device))


def _measure(program: RelativeContext, run_context: RunContext, step: int) -> None:
    accuracy, pairs = program.held_out_accuracy()
    store_accuracy(
        run_context,
        step,
        {"accuracy": accuracy},
        {"accuracy": 1 / POSITIONS},
        images=len(program.crops.held_out),
        pairs=pairs,
    )
