"""`imagenet`: supervised classification of whole images, the first row of Table 2.

Source: BVLC/caffe, models/bvlc_reference_caffenet (solver.prototxt, train_val.prototxt).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.devices import autocast, compiled
from cebench.distributed import all_reduce_sum, backward_and_step, local_slice
from cebench.errors import InputError
from cebench.models.caffenet import FC_UNITS, POOL5_FEATURES, preprocess
from cebench.models.foldable import folded_state_dict, trunk_of
from cebench.models.label_network import LabelNetwork
from cebench.models.parameter_groups import scale_rates
from cebench.randomness import torch_seed
from cebench.training.options import rate_after_drops
from cebench.weights.files import FC_TENSORS, Preprocessing

from .crops import Crops
from .first_checks import NO_CLASSES
from .held_out import store_accuracy
from .options.imagenet import ImagenetRecipe
from .run_context import DataOptions, Inputs, Pretrained, RunContext
from .sources import Source, inputs_of, labels_of, load_source
from .trunk_training import optimizer_of, train_trunk

TEST_BATCH = 64


@dataclass(frozen=True)
class Batch:
    """Images (N, 3, side, side) uint8 and their labels (N,) int64."""

    images: Tensor
    labels: Tensor


class ImagenetClassification:
    """Trains a classifier on the class folders of the images."""

    def __init__(
        self, crops: Crops, labels: np.ndarray, class_count: int, recipe: ImagenetRecipe
    ) -> None:
        generator = torch.Generator().manual_seed(torch_seed(crops.seed, "classifier"))
        network = network_of(recipe, class_count, generator)
        self.network = network.to(crops.device).to(memory_format=torch.channels_last)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        self.optimizer = optimizer_of(recipe, self.network)
        self.optimizers: dict[str, Optimizer] = {recipe.optimizer: self.optimizer}
        self.crops, self.labels, self.recipe = crops, labels, recipe
        self.loss = compiled(self._loss, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)

    def batch(self, step: int) -> Batch:
        """Random crops, mirrored half of the time, and their labels."""
        count = self.recipe.batch_size
        index = self.crops.indices(step, count)[local_slice(count)]
        labels = torch.from_numpy(self.labels[index]).to(self.crops.device)
        return Batch(self.crops.batch(step, count), labels)

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One step on the softmax cross-entropy."""
        loss = self.loss(batch.images, batch.labels)
        scale_rates(self.optimizer, self._rate_factor(step))
        backward_and_step(loss, self.network, self.optimizer)
        return {"loss": all_reduce_sum(loss).clone()}

    def _rate_factor(self, step: int) -> float:
        factor = self.recipe.rate_factor(step, self.recipe.steps)
        return factor * rate_after_drops(step, self.recipe.tenth_every, 0.1)

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """This process's share of the whole batch's mean."""
        total_loss = F.cross_entropy(self.scores(images), labels, reduction="sum")
        return total_loss / self.recipe.batch_size

    def scores(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) uint8 to raw scores (N, classes) float32."""
        pixels = preprocess(images).contiguous(memory_format=torch.channels_last)
        with autocast(images.device, self.recipe.precision):
            scores: Tensor = self.network(pixels)
        return scores.float()

    @torch.no_grad()
    def accuracy(self) -> dict[str, float]:
        """Top-1 and top-5 on the central crops of the held-out images, as fractions."""
        parts = np.array_split(self.crops.held_out, -(-len(self.crops.held_out) // TEST_BATCH))
        scores = torch.cat([self.scores(central_crops(self.crops, part)) for part in parts]).cpu()
        return self._top_1_and_5(scores)

    def chance(self) -> dict[str, float]:
        """`accuracy` of an answer without looking: the most frequent classes learned from."""
        learned = self.labels[self.crops.training]
        counts = torch.from_numpy(np.bincount(learned, minlength=int(self.labels.max()) + 1))
        return self._top_1_and_5(counts.expand(len(self.crops.held_out), -1))

    def _top_1_and_5(self, scores: Tensor) -> dict[str, float]:
        truth = torch.from_numpy(self.labels[self.crops.held_out])
        return {f"top{k}": top_k_accuracy(scores, truth, k) for k in (1, 5)}


def network_of(
    recipe: ImagenetRecipe, class_count: int, generator: torch.Generator | None = None
) -> LabelNetwork:
    """The network that `recipe` trains; see `LabelNetwork`."""
    return LabelNetwork(
        class_count,
        generator,
        side=recipe.side,
        units=recipe.units,
        init=recipe.init,
        batch_norm=recipe.batch_norm,
        input_divisor=recipe.input_divisor,
    )


def top_k_accuracy(scores: Tensor, labels: Tensor, k: int) -> float:
    """Share of images whose class is among the `k` of highest score.

    Args:
        scores: (N, C); with fewer than `k` classes every image counts.
        labels: (N,) int64.
        k: how many guesses an image has.
    """
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return (best == labels[:, None]).any(1).double().mean().item()


def central_crops(crops: Crops, index: np.ndarray) -> Tensor:
    """The middle of the images `index`, not mirrored: (N, 3, side, side) uint8."""
    places = ((length[index] - crops.side) // 2 for length in (crops.heights, crops.widths))
    y0, x0 = (torch.from_numpy(place) for place in places)
    upright = torch.zeros(len(index), dtype=torch.bool)
    images = torch.from_numpy(index)
    return crops.images.integer_crops(images, y0, x0, upright, crops.side, crops.device)


def pretrain(recipe: ImagenetRecipe, run_context: RunContext) -> Pretrained:
    """Train on images sorted into class folders; leaves accuracy.json in the run directory."""
    source = load_source(
        run_context.data,
        run_context.exclude,
        recipe.voc_image_set,
        recipe.short_side,
        by_class=True,
    )
    labels = check_labels(source.labels, source.classes)
    crops = Crops(
        source.images, recipe.side, recipe.held_out_images, run_context.seed, run_context.device
    )
    program = ImagenetClassification(crops, labels, len(source.classes), recipe)
    return train_trunk(
        program,
        recipe,
        run_context,
        label="imagenet",
        data_fingerprint=source.fingerprint,
        data_order=source.order,
        pretrained=partial(_pretrained, program, source),
        images=crops.first,
        measure=partial(_measure, program, source.classes, run_context),
        prefetch=crops.prefetch,
    )


def inputs(recipe: ImagenetRecipe, given: DataOptions) -> Inputs:
    """The images in their class folders; InputError where the classes cannot be learned."""
    return inputs_of(
        recipe,
        given,
        by_class=True,
        check=lambda found: check_labels(*labels_of(found.categories)),
    )


def check_labels(labels: np.ndarray | None, classes: Sequence[str]) -> np.ndarray:
    """The label of each image, (N,) int64; InputError where they cannot be learned."""
    if labels is None or len(classes) < 2:
        raise InputError(NO_CLASSES)
    counts = np.bincount(labels)
    if counts.min() < 2:
        raise InputError(
            f"--data: class folder {classes[int(counts.argmin())]!r} has one image; a class "
            "needs two, one to learn from and one to measure; add images or remove the folder"
        )
    return labels


def _pretrained(
    program: ImagenetClassification, source: Source, steps: int, seconds: float
) -> Pretrained:
    model = folded_state_dict(program.network)
    return Pretrained(
        trunk={**trunk_of(model), **_caffes_fc(model)},
        model=model,
        architecture="caffenet-classifier",
        preprocessing=Preprocessing(side=program.recipe.side),
        images=len(program.crops.training),
        data_fingerprint=source.fingerprint,
        steps=steps,
        seconds=seconds,
    )


def _caffes_fc(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fc6 and fc7 where they have the reference net's shapes, for `random_from=drop7`."""
    fitting = model["fc6.weight"].shape == (FC_UNITS, POOL5_FEATURES)
    return {name: model[name] for name in FC_TENSORS} if fitting else {}


def _measure(
    program: ImagenetClassification, classes: tuple[str, ...], run_context: RunContext, step: int
) -> None:
    store_accuracy(
        run_context,
        step,
        program.accuracy(),
        program.chance(),
        images=len(program.crops.held_out),
        classes=classes,
    )
