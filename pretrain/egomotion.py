"""`egomotion`: how did the camera move between two images (Agrawal et al. 2015)?

Source: pulkitag/learning-to-see-by-moving.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.fingerprint import fingerprint_files
from cebench.data.kitti import CameraClip
from cebench.data.store.ragged import load_ragged
from cebench.devices import autocast, compiled
from cebench.distributed import all_reduce_sum, backward_and_step, local_slice
from cebench.errors import InputError
from cebench.models.caffenet import preprocess
from cebench.models.egomotion import EgomotionNetwork, SlownessNetwork, contrastive_losses
from cebench.models.foldable import folded_state_dict, trunk_of
from cebench.models.parameter_groups import scale_rates
from cebench.progress import progress
from cebench.randomness import numpy_generator, torch_seed
from cebench.training.checkpoints import DataHashes
from cebench.training.options import rate_after_drops
from cebench.weights.files import Preprocessing

from .crops import Crops
from .egomotion_pairs import (
    FramePairs,
    Pairs,
    ViewPairs,
    check_far_frames,
    check_frame_sizes,
    find_clips,
    frames_and_files,
)
from .held_out import store_accuracy
from .options.egomotion import EgomotionRecipe
from .run_context import DataOptions, Inputs, Pretrained, RunContext
from .sources import inputs_of, load_source
from .trunk_training import optimizer_of, train_trunk

TEST_BATCH = 64
PAIRS_FOR_CHANCE = 10_000
"""Whose labels tell the most frequent class."""


@dataclass(frozen=True)
class Batch:
    """First and second images (N, 3, side, side), 0..255, and a class per label, (N, L) int64."""

    first: Tensor
    second: Tensor
    labels: Tensor


class Egomotion:
    """Trains a siamese network on pairs of images."""

    def __init__(
        self, pairs: Pairs, recipe: EgomotionRecipe, seed: int, device: torch.device
    ) -> None:
        generator = torch.Generator().manual_seed(torch_seed(seed, "egomotion"))
        self.network = network_of(recipe, pairs.class_counts, generator).to(device)
        self.network.to(memory_format=torch.channels_last)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self.optimizer = optimizer_of(recipe, self.network)
        self.optimizers: dict[str, Optimizer] = {recipe.optimizer: self.optimizer}
        self.pairs, self.recipe, self.seed, self.device = pairs, recipe, seed, device
        self.losses = compiled(self._losses, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)

    def batch(self, step: int) -> Batch:
        """This process's random pairs."""
        count = self.recipe.batch_size
        generator = numpy_generator(self.seed, "pairs", step)
        return self._batch(generator, count, local_slice(count), held_out=False)

    def some_images(self, count: int) -> Tensor:
        """First images of random pairs learned from: (count, 3, side, side), 0..255."""
        generator = numpy_generator(self.seed, "some-images")
        return self._batch(generator, count, slice(None), held_out=False).first

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One step on the sum of the labels' losses, which are logged one by one."""
        losses = self.losses(batch.first, batch.second, batch.labels)
        scale_rates(self.optimizer, self._rate_factor(step))
        backward_and_step(losses.sum(), self.network, self.optimizer)
        every = all_reduce_sum(losses).clone()
        return {"loss": every.sum(), **dict(zip(self.pairs.names, every, strict=True))}

    def _rate_factor(self, step: int) -> float:
        factor = self.recipe.rate_factor(step, self.recipe.steps)
        return factor * rate_after_drops(step, self.recipe.halve_every, 0.5)

    def _losses(self, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
        """(L,) this process's share of the mean over the batch."""
        outputs = self._outputs(first, second)
        if self.recipe.objective == "slowness":
            near = labels[:, 0] == 1
            sums = [contrastive_losses(outputs[0], near, self.recipe.margin).sum()]
        else:
            sums = [
                F.cross_entropy(scores, of_label, reduction="sum")
                for scores, of_label in zip(outputs, labels.unbind(1), strict=True)
            ]
        return torch.stack(sums) / self.recipe.batch_size

    def _outputs(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """Raw scores (N, classes) of each label, or of slowness the distance (N,)."""
        images = (
            preprocess(x).contiguous(memory_format=torch.channels_last) for x in (first, second)
        )
        with autocast(first.device, self.recipe.precision):
            outputs = self.network(*images)
        return [o.float() for o in (outputs if isinstance(outputs, list) else [outputs])]

    def _batch(
        self, generator: np.random.Generator, count: int, own: slice, *, held_out: bool
    ) -> Batch:
        drawn = self.pairs.draw(generator, count, held_out=held_out)
        labels = torch.from_numpy(drawn.labels[own]).to(self.device)
        return Batch(*drawn.images(own), labels)

    @torch.no_grad()
    def held_out_accuracy(self) -> tuple[dict[str, float], dict[str, float]]:
        """The share of held-out pairs told, per label, and that of the best constant answer.

        Of slowness: how often a near pair has the lesser distance than a far one; chance is 1/2.
        """
        answers, labels = [], []
        for number in range(-(-self.recipe.held_out_pairs // TEST_BATCH)):
            generator = numpy_generator(self.seed, "held-out-pairs", number)
            batch = self._batch(generator, TEST_BATCH, slice(None), held_out=True)
            outputs = self._outputs(batch.first, batch.second)
            slow = self.recipe.objective == "slowness"
            answers.append(torch.stack(outputs if slow else [o.argmax(1) for o in outputs], 1))
            labels.append(batch.labels)
        asked = slice(self.recipe.held_out_pairs)
        given, truth = torch.cat(answers)[asked].cpu(), torch.cat(labels)[asked].cpu()
        if self.recipe.objective == "slowness":
            return {"near": _ordered_share(given[:, 0], truth[:, 0] == 1)}, {"near": 0.5}
        told = (given == truth).double().mean(0).tolist()
        constant = (torch.from_numpy(self._most_frequent()) == truth).double().mean(0).tolist()
        names = self.pairs.names
        return dict(zip(names, told, strict=True)), dict(zip(names, constant, strict=True))

    def _most_frequent(self) -> np.ndarray:
        """(L,) the class that most training pairs have."""
        generator = numpy_generator(self.seed, "chance")
        labels = self.pairs.draw(generator, PAIRS_FOR_CHANCE, held_out=False).labels
        return np.array([np.bincount(column).argmax() for column in labels.T])


def _ordered_share(distances: Tensor, near: Tensor) -> float:
    """Share of (near, far) pairs of pairs with the near one's distance the lesser; ties half.

    Chance, 1/2, where all pairs are near or all are far.
    """
    if near.all() or not near.any():
        return 0.5
    apart = distances[~near][None] - distances[near][:, None]
    return ((apart > 0).double() + 0.5 * (apart == 0).double()).mean().item()


def network_of(
    recipe: EgomotionRecipe,
    class_counts: tuple[int, ...],
    generator: torch.Generator | None = None,
) -> nn.Module:
    """The network that `recipe` trains: `SlownessNetwork`, or `EgomotionNetwork` of the classes."""
    if recipe.objective == "slowness":
        return SlownessNetwork(
            init=recipe.init,
            batch_norm=recipe.batch_norm,
            input_divisor=recipe.input_divisor,
            generator=generator,
        )
    return EgomotionNetwork(
        class_counts,
        recipe.side,
        init=recipe.init,
        batch_norm=recipe.batch_norm,
        input_divisor=recipe.input_divisor,
        dropout=recipe.dropout,
        generator=generator,
    )


def load_pairs(recipe: EgomotionRecipe, run_context: RunContext) -> tuple[Pairs, DataHashes]:
    """The pairs of --data, and the hashes of the files that they come from."""
    if recipe.source == "single-images":
        return _view_pairs(recipe, run_context)
    return _frame_pairs(recipe, run_context)


def inputs(recipe: EgomotionRecipe, given: DataOptions) -> Inputs:
    """The frames and poses of KITTI, or the images."""
    if recipe.source == "single-images":
        found = inputs_of(recipe, given)
        _check_held_out(found.count - found.learned_from)
        return found
    root, training, held_out = _clips(recipe, given)
    frames, files = frames_and_files(root, training, held_out)
    return Inputs(
        files=files,
        count=len(frames),
        unit="frames",
        learned_from=sum(len(clip.frames) for clip in training),
        bytes=sum(file.stat().st_size for file in frames),
        # KITTI's frames are 3.3 times as wide as high.
        decoded_bytes=len(frames) * 10 * recipe.short_side**2,
        fingerprint=lambda: fingerprint_files(files, root),
    )


def _check_held_out(count: int) -> None:
    if not count:
        raise InputError("egomotion measures on held-out images: --data needs two or more")


def _clips(
    recipe: EgomotionRecipe, given: DataOptions
) -> tuple[Path, list[CameraClip], list[CameraClip]]:
    """`find_clips`; InputError where slowness would find no frames far apart, or sizes differ."""
    root, training, held_out = find_clips(given, recipe.held_out_share)
    check_frame_sizes([*training, *held_out], recipe.short_side)
    if recipe.objective == "slowness":
        for name, clips in (("learn from", training), ("hold out", held_out)):
            check_far_frames(clips, recipe.most_frames, f"--data {root}: of the clips to {name}")
    return root, training, held_out


def _frame_pairs(recipe: EgomotionRecipe, run_context: RunContext) -> tuple[Pairs, DataHashes]:
    root, training, held_out = _clips(recipe, run_context)
    frames, files = frames_and_files(root, training, held_out)
    with progress("reading frames", "frames") as report:
        images = load_ragged(frames, short_side=recipe.short_side, report=report)
    pairs = FramePairs(
        images,
        training,
        held_out,
        side=recipe.side,
        most_frames=recipe.most_frames,
        frame=recipe.frame,
        slow=recipe.objective == "slowness",
        device=run_context.device,
    )
    # Its names are those below the folder, which give the order.
    return pairs, DataHashes(fingerprint_files(files, root), order="")


def _view_pairs(recipe: EgomotionRecipe, run_context: RunContext) -> tuple[Pairs, DataHashes]:
    source = load_source(
        run_context.data, run_context.exclude, recipe.voc_image_set, recipe.short_side
    )
    crops = Crops(
        source.images, recipe.window, recipe.held_out_images, run_context.seed, run_context.device
    )
    _check_held_out(len(crops.held_out))
    pairs = ViewPairs(
        crops,
        side=recipe.side,
        most_shift=recipe.most_shift,
        most_turn=math.radians(recipe.most_turn_degrees),
        class_counts=(recipe.shift_classes, recipe.shift_classes, recipe.turn_classes),
    )
    return pairs, DataHashes(source.fingerprint, source.order)


def pretrain(recipe: EgomotionRecipe, run_context: RunContext) -> Pretrained:
    """Train on pairs of images; leaves accuracy.json in the run directory."""
    pairs, hashes = load_pairs(recipe, run_context)
    program = Egomotion(pairs, recipe, run_context.seed, run_context.device)

    def measure(step: int) -> None:
        accuracy, chance = program.held_out_accuracy()
        store_accuracy(run_context, step, accuracy, chance, pairs=recipe.held_out_pairs)

    return train_trunk(
        program,
        recipe,
        run_context,
        label="egomotion",
        data_fingerprint=hashes.fingerprint,
        data_order=hashes.order,
        pretrained=partial(_pretrained, program, hashes.fingerprint),
        images=program.some_images,
        measure=measure,
    )


def _pretrained(
    program: Egomotion, data_fingerprint: str, steps: int, seconds: float
) -> Pretrained:
    model = folded_state_dict(program.network)
    slow = program.recipe.objective == "slowness"
    return Pretrained(
        trunk=trunk_of(model),
        model=model,
        architecture="slowness" if slow else "egomotion",
        preprocessing=Preprocessing(side=program.recipe.side),
        images=program.pairs.count,
        data_fingerprint=data_fingerprint,
        steps=steps,
        seconds=seconds,
    )
