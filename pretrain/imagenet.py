"""`imagenet`: supervised classification of whole images, the first row of Table 2.

Source: BVLC/caffe, models/bvlc_reference_caffenet (solver.prototxt, train_val.prototxt).
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.devices import autocast, compiled
from cebench.distributed import all_reduce_sum, backward_and_step, local_slice
from cebench.errors import InputError
from cebench.files import write_atomically
from cebench.models.caffenet import he_weights, preprocess
from cebench.models.classifier import CaffeNetClassifier
from cebench.models.parameter_groups import caffe_parameter_groups, scale_rates
from cebench.plots.sheets import plot_curves
from cebench.randomness import torch_seed
from cebench.training.loop import Schedule, train
from cebench.training.options import SgdOptions

from .crops import Crops
from .run_context import Pretrained, PretrainingRecipe, RunContext
from .sources import load_source

logger = logging.getLogger("cebench")

CROP_SIDE = 227
TEST_BATCH = 64


class ImagenetRecipe(PretrainingRecipe, SgdOptions):
    """How the classifier trains, by SGD (protocol ledger: ImageNet labels)."""

    tenth_every: PositiveInt
    """Steps after which the learning rate falls to a tenth."""
    short_side: int = Field(default=256, ge=CROP_SIDE)
    """Pixels of the shorter image side before a random 227 px crop."""
    init: Literal["caffenet", "he"] = "caffenet"
    """Initial weights; `he`: He's in the convolutions, biases 0, for few classes and steps."""
    held_out_images: PositiveInt
    """Images kept out of training, on whose central crops top-1 and top-5 are measured: at the end
    and at `samples_at`."""


@dataclass(frozen=True)
class Batch:
    """Images (N, 3, 227, 227) uint8 and their labels (N,) int64."""

    images: Tensor
    labels: Tensor


class ImagenetClassification:
    """Trains a classifier on the class folders of the images."""

    def __init__(
        self, crops: Crops, labels: np.ndarray, class_count: int, recipe: ImagenetRecipe
    ) -> None:
        generator = torch.Generator().manual_seed(torch_seed(crops.seed, "classifier"))
        network = CaffeNetClassifier(class_count, generator, "caffenet")
        if recipe.init == "he":
            he_weights(network.trunk, generator)
            nn.init.zeros_(network.fc6.bias)
            nn.init.zeros_(network.fc7.bias)
        self.network = network.to(crops.device).to(memory_format=torch.channels_last)
        self.modules: dict[str, nn.Module] = {"network": self.network}
        groups = caffe_parameter_groups(
            self.network.named_parameters(),
            recipe.learning_rate,
            recipe.weight_decay,
            decay_biases=False,
        )
        self.sgd = torch.optim.SGD(groups, momentum=recipe.momentum, fused=True)
        self.optimizers: dict[str, Optimizer] = {"sgd": self.sgd}
        self.crops, self.labels, self.recipe = crops, labels, recipe
        self.loss = compiled(self._loss, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)

    def batch(self, step: int) -> Batch:
        """Random 227 px crops, mirrored half of the time, and their labels."""
        count = self.recipe.batch_size
        index = self.crops.indices(step, count)[local_slice(count)]
        labels = torch.from_numpy(self.labels[index]).to(self.crops.device)
        return Batch(self.crops.batch(step, count), labels)

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One SGD step on the softmax cross-entropy."""
        loss = self.loss(batch.images, batch.labels)
        scale_rates(self.sgd, 0.1 ** (step // self.recipe.tenth_every))
        backward_and_step(loss, self.network, self.sgd)
        return {"loss": all_reduce_sum(loss).clone()}

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """This process's share of the whole batch's mean."""
        total_loss = F.cross_entropy(self.scores(images), labels, reduction="sum")
        return total_loss / self.recipe.batch_size

    def scores(self, images: Tensor) -> Tensor:
        """(N, 3, 227, 227) uint8 to raw scores (N, classes) float32."""
        pixels = preprocess(images).contiguous(memory_format=torch.channels_last)
        with autocast(images.device, self.recipe.precision):
            scores: Tensor = self.network(pixels)
        return scores.float()

    @torch.no_grad()
    def accuracy(self) -> dict[str, float]:
        """Top-1 and top-5 on the central crops of the held-out images, as fractions."""
        parts = np.array_split(self.crops.held_out, -(-len(self.crops.held_out) // TEST_BATCH))
        scores = torch.cat([self.scores(central_crops(self.crops, part)) for part in parts]).cpu()
        truth = torch.from_numpy(self.labels[self.crops.held_out])
        return {f"top{k}": top_k_accuracy(scores, truth, k) for k in (1, 5)}


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
    """The middle of the images `index`, not mirrored: (N, 3, 227, 227) uint8."""
    places = ((length[index] - CROP_SIDE) // 2 for length in (crops.heights, crops.widths))
    y0, x0 = (torch.from_numpy(place) for place in places)
    upright = torch.zeros(len(index), dtype=torch.bool)
    images = torch.from_numpy(index)
    return crops.images.integer_crops(images, y0, x0, upright, CROP_SIDE, crops.device)


def pretrain(recipe: ImagenetRecipe, run_context: RunContext) -> Pretrained:
    """Train on images sorted into class folders; leaves accuracy.json in the run directory."""
    source = load_source(
        run_context.data, run_context.exclude, recipe.voc_image_set, recipe.short_side
    )
    if source.labels is None or len(source.classes) < 2:
        raise InputError(
            "imagenet learns labels: every image of --data must lie in a class folder "
            "(DATA/CLASS/IMAGE), and there must be at least two classes"
        )
    crops = Crops(
        source.images, CROP_SIDE, recipe.held_out_images, run_context.seed, run_context.device
    )
    program = ImagenetClassification(crops, source.labels, len(source.classes), recipe)
    seconds = train(
        program,
        run_context.run,
        Schedule.of(
            recipe,
            label="imagenet",
            seed=run_context.seed,
            data_fingerprint=source.fingerprint,
            prefetch=crops.prefetch,
            samples_at={*recipe.samples_at, recipe.steps},
        ),
        save_samples=lambda step: _measure(program, step, source.classes, run_context),
    )
    plot_curves(run_context.run.metrics(), run_context.run.path / "curves.png", title="imagenet")
    return Pretrained(
        trunk=program.network.trunk.state_dict(),
        model=program.network.state_dict(),
        architecture="caffenet-classifier",
        images=len(crops.training),
        data_fingerprint=source.fingerprint,
        steps=recipe.steps,
        seconds=seconds,
    )


def _measure(
    program: ImagenetClassification, step: int, classes: tuple[str, ...], run_context: RunContext
) -> None:
    accuracy = program.accuracy()
    images = len(program.crops.held_out)
    logger.info(
        f"step {step}: top-1 {accuracy['top1']:.1%}, top-5 {accuracy['top5']:.1%} "
        f"of {images} held-out images"
    )
    values = {"step": step, "images": images, **accuracy, "classes": classes}
    path = run_context.run.path / "accuracy.json"
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())
