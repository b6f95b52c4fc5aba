"""`motion`: a patch and the same patch tracked through a clip look alike (Wang and Gupta 2015).

Source: xiaolonw/caffe-video_triplet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.fingerprint import fingerprint
from cebench.data.photos import Photo
from cebench.data.store.ragged import RaggedImages, load_ragged
from cebench.data.tracked_patches import read_pairs
from cebench.devices import autocast
from cebench.distributed import (
    all_reduce_sum,
    all_reduce_sum_with_grad,
    backward_and_step,
    local_slice,
    process_count,
)
from cebench.errors import InputError
from cebench.models.caffenet import preprocess
from cebench.models.foldable import folded_state_dict, trunk_of
from cebench.models.parameter_groups import scale_rates
from cebench.models.ranking import Mining, RankingNetwork, ranking_loss
from cebench.progress import progress
from cebench.randomness import EpochOrder, numpy_generator, torch_seed
from cebench.training.options import rate_after_drops
from cebench.weights.files import Preprocessing

from .first_checks import ONE_LIST
from .held_out import store_accuracy
from .options.motion import MotionRecipe
from .run_context import DataOptions, Inputs, Pretrained, RunContext
from .trunk_training import optimizer_of, train_trunk

TEST_BATCH = 64


@dataclass(frozen=True)
class Batch:
    """This process's images (2 n, 3, side, side) uint8, pair by pair, and all tracks (P,) int64."""

    images: Tensor
    tracks: Tensor


class Motion:
    """Trains a `RankingNetwork` on pairs of patches.

    Args:
        patches: 2 N square patches, pair by pair.
        tracks: (N,) int64, the track of each pair.
        recipe: how.
        seed: of the weights, the order and the mirroring.
        device: where it computes.
    """

    def __init__(
        self,
        patches: RaggedImages,
        tracks: np.ndarray,
        recipe: MotionRecipe,
        seed: int,
        device: torch.device,
    ) -> None:
        network = network_of(recipe, torch.Generator().manual_seed(torch_seed(seed, "ranking")))
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self.optimizer = optimizer_of(recipe, self.network)
        self.optimizers: dict[str, Optimizer] = {recipe.optimizer: self.optimizer}
        self.patches, self.tracks = patches.to_if_fits(device), tracks
        self.training = learned_count(recipe, len(tracks))
        self.held_out = np.arange(self.training, len(tracks))
        self.order = EpochOrder(self.training, seed)
        self.recipe, self.seed, self.device = recipe, seed, device

    def batch(self, step: int) -> Batch:
        """Pairs in a shuffled order, each image mirrored half of the time."""
        count = self.recipe.batch_size // 2
        pairs = self.order.indices(step * count, count)
        mirrored = numpy_generator(self.seed, "mirror", step).random((count, 2)) < 0.5
        own = local_slice(count)
        return Batch(self._images(pairs[own], mirrored[own]), self._tracks(pairs))

    def first_images(self, count: int) -> Tensor:
        """Images of the first pairs learned from: (N, 3, side, side) uint8, `count` at most."""
        pairs = np.arange(min(count // 2, self.training))
        return self._images(pairs, np.zeros((len(pairs), 2), dtype=np.bool_))

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One step on the ranking loss, of this process's pairs against the whole batch."""
        count = len(batch.tracks)
        priorities = torch.rand(2, count, 2 * count, device=self.device)
        descriptors = gathered(self._descriptors(batch.images))
        loss = ranking_loss(
            descriptors, local_slice(count), batch.tracks, self._mining(step), priorities
        )
        scale_rates(self.optimizer, self._rate_factor(step))
        backward_and_step(loss, self.network, self.optimizer)
        return {"loss": all_reduce_sum(loss).clone()}

    def _mining(self, step: int) -> Mining:
        recipe = self.recipe
        hard = 0 if step < recipe.random_steps else int(recipe.negatives * recipe.hard_share)
        return Mining(recipe.negatives, hard, recipe.margin)

    def _rate_factor(self, step: int) -> float:
        factor = self.recipe.rate_factor(step, self.recipe.steps)
        return factor * rate_after_drops(step, self.recipe.tenth_every, 0.1)

    def _descriptors(self, images: Tensor) -> Tensor:
        pixels = preprocess(images).contiguous(memory_format=torch.channels_last)
        with autocast(images.device, self.recipe.precision):
            descriptors: Tensor = self.network(pixels)
        return descriptors

    def _images(self, pairs: np.ndarray, mirrored: np.ndarray) -> Tensor:
        """(2 n, 3, side, side) uint8 of n pairs; `mirrored` (n, 2)."""
        index = torch.from_numpy((2 * pairs[:, None] + np.arange(2)).ravel())
        corner = torch.zeros_like(index)
        flip = torch.from_numpy(mirrored.ravel())
        return self.patches.integer_crops(
            index, corner, corner, flip, self.recipe.side, self.device
        )

    def _tracks(self, pairs: np.ndarray) -> Tensor:
        return torch.from_numpy(self.tracks[pairs]).to(self.device)

    @torch.no_grad()
    def held_out_accuracy(self) -> float:
        """Share of triplets with D(patch, its track) < D(patch, other track); ties count half."""
        upright = np.zeros((TEST_BATCH, 2), dtype=np.bool_)
        parts = [
            self._descriptors(self._images(part, upright[: len(part)]))
            for part in np.split(self.held_out, range(TEST_BATCH, len(self.held_out), TEST_BATCH))
        ]
        descriptors, tracks = torch.cat(parts), self._tracks(self.held_out)
        first, second = descriptors[0::2], descriptors[1::2]
        others = tracks[:, None] != tracks.repeat_interleave(2)
        gaps = (first * second).sum(1, keepdim=True) - first @ descriptors.T
        told = (gaps > 0).double() + 0.5 * (gaps == 0).double()
        return told[others].mean().item()


def network_of(recipe: MotionRecipe, generator: torch.Generator | None = None) -> RankingNetwork:
    """The network that `recipe` trains; see `RankingNetwork`."""
    return RankingNetwork(
        recipe.side,
        recipe.units,
        recipe.descriptor,
        init=recipe.init,
        batch_norm=recipe.batch_norm,
        input_divisor=recipe.input_divisor,
        generator=generator,
    )


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes in order, with gradients back to each; all have equally many."""
    if process_count() == 1:
        return rows
    whole = rows.new_zeros(len(rows) * process_count(), *rows.shape[1:])
    own = local_slice(len(whole))
    return all_reduce_sum_with_grad(torch.cat((whole[: own.start], rows, whole[own.stop :])))


def learned_count(recipe: MotionRecipe, pairs: int) -> int:
    """How many of `pairs` are learned from, the first ones: all but those held out."""
    return pairs - min(recipe.held_out_pairs, pairs // 2)


def find_patches(recipe: MotionRecipe, given: DataOptions) -> tuple[list[Path], np.ndarray]:
    """The files of --data pair by pair, and the track of each pair; InputError if too few."""
    if len(given.data) != 1:
        raise InputError(ONE_LIST)
    if given.exclude:
        raise InputError("--exclude: motion compares its patches with no photographs; leave it out")
    pairs, tracks = read_pairs(given.data[0])
    _check_tracks(tracks, learned_count(recipe, len(pairs)), given.data[0])
    return [file for pair in pairs for file in pair], tracks


def _check_tracks(tracks: np.ndarray, learned: int, place: Path) -> None:
    """InputError unless a patch has others of another track, in training and held out."""
    for name, part in (("learned from", tracks[:learned]), ("held out", tracks[learned:])):
        count = len(np.unique(part))
        if count < 2:
            raise InputError(
                f"--data {place}: {len(tracks)} pairs of {len(np.unique(tracks))} tracks, those "
                f"{name} of {count}; at least two are needed there: give more pairs, or another "
                "held_out_pairs"
            )


def inputs(recipe: MotionRecipe, given: DataOptions) -> Inputs:
    """The patches; InputError where they are too few, or one is absent."""
    files, tracks = find_patches(recipe, given)
    absent = [file for file in files if not file.is_file()]
    if absent:
        raise InputError(f"{absent[0]}: no such patch, but the list of --data names it")
    return Inputs(
        files=files,
        count=len(tracks),
        unit="pairs",
        learned_from=2 * learned_count(recipe, len(tracks)),
        bytes=sum(file.stat().st_size for file in files),
        decoded_bytes=len(files) * 3 * recipe.side**2,
        fingerprint=lambda: _fingerprint(files, tracks),
    )


def listed_files(given: DataOptions) -> list[Path]:
    """The patches that the list of --data names, none where it is a folder or gone."""
    lists = [place for place in given.data if place.is_file()]
    return [file for place in lists for pair in read_pairs(place)[0] for file in pair]


def _fingerprint(files: Sequence[Path], tracks: np.ndarray) -> str:
    """Hash of the patches with their pair and its track: other pairs of them are other data."""
    places = enumerate(zip(tracks.repeat(2), files, strict=True))
    names = [f"{number // 2} {track}/{file.name}" for number, (track, file) in places]
    return fingerprint(names, [Photo(file).sha256() for file in files])


def load_patches(
    recipe: MotionRecipe, run_context: RunContext
) -> tuple[RaggedImages, np.ndarray, str]:
    """The patches of --data pair by pair, the track of each pair, and the hash of the files."""
    files, tracks = find_patches(recipe, run_context)
    side = recipe.side

    def to_square(patch: np.ndarray) -> np.ndarray:
        return np.array(Image.fromarray(patch).resize((side, side), Image.Resampling.BILINEAR))

    with progress("reading patches", "patches") as report:
        patches = load_ragged(files, square=side, to_square=to_square, report=report)
    return patches, tracks, _fingerprint(files, tracks)


def pretrain(recipe: MotionRecipe, run_context: RunContext) -> Pretrained:
    """Train on tracked patches; leaves accuracy.json in the run directory."""
    patches, tracks, data_fingerprint = load_patches(recipe, run_context)
    program = Motion(patches, tracks, recipe, run_context.seed, run_context.device)

    def measure(step: int) -> None:
        accuracy, pairs = program.held_out_accuracy(), len(program.held_out)
        store_accuracy(run_context, step, {"triplets": accuracy}, {"triplets": 0.5}, pairs=pairs)

    return train_trunk(
        program,
        recipe,
        run_context,
        label="motion",
        data_fingerprint=data_fingerprint,
        pretrained=partial(_pretrained, program, data_fingerprint),
        images=program.first_images,
        measure=measure,
    )


def _pretrained(program: Motion, data_fingerprint: str, steps: int, seconds: float) -> Pretrained:
    model = folded_state_dict(program.network)
    return Pretrained(
        trunk=trunk_of(model),
        model=model,
        architecture="ranking",
        preprocessing=Preprocessing(side=program.recipe.side),
        images=2 * program.training,
        data_fingerprint=data_fingerprint,
        steps=steps,
        seconds=seconds,
    )
