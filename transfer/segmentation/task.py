"""`segmentation`: FCN on a VOC segmentation set, the third column of Table 2.

Protocol: shelhamer/fcn.berkeleyvision.org, voc-fcn-alexnet (net.py, solver.prototxt, score.py).
"""

import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOID_LABEL
from cebench.devices import autocast, compiled
from cebench.models.caffenet import preprocess
from cebench.models.fcn import FCN, segmentation_cross_entropy
from cebench.models.parameter_groups import scale_rates
from cebench.plots.sheets import plot_curves
from cebench.randomness import torch_seed
from cebench.training.loop import Schedule, train
from cebench.weights.files import FC_TENSORS, load_trunk

from ..run_context import Measurement, Outcome, RunContext
from .data import (
    LabelledImages,
    SegmentationSet,
    as_batch,
    check_sides,
    find_sets,
    fingerprint,
    load,
    margin_of,
    sample_crops,
)
from .recipe import SegmentationRecipe, parameter_groups
from .report import Predictor, predict, report

logger = logging.getLogger("cebench")

Engine = Callable[
    [FCN, LabelledImages, LabelledImages, SegmentationRecipe, RunContext, str],
    tuple[np.ndarray, list[Measurement]],
]

FILLER_IMAGES = 32
"""Training images, evenly spaced, that `head_init=data` looks at, or fewer."""


class Segmentation:
    """Fine-tunes all layers."""

    def __init__(
        self,
        network: FCN,
        data: LabelledImages,
        recipe: SegmentationRecipe,
        mean: Sequence[float],
        seed: int,
        device: torch.device,
    ) -> None:
        self.network, self.recipe, self.mean, self.seed = network, recipe, mean, seed
        self.images = data.images_as_seen(device)
        self.labels = [labels.to(device) for labels in data.labels_as_seen()]
        groups = parameter_groups(network, recipe)
        self.sgd = torch.optim.SGD(groups, momentum=recipe.momentum, fused=True)
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimizers: dict[str, Optimizer] = {"sgd": self.sgd}
        self.loss = compiled(self._loss, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Mean-subtracted images (P, 3, H, W) and labels (P, H, W) uint8 of each pass."""
        crop, count = self.recipe.crop, self.recipe.images_per_pass
        drawn = sample_crops(
            self.images, self.labels, self.recipe.accumulate, crop, self.seed, step
        )
        return [self._stacked(drawn[i : i + count]) for i in range(0, len(drawn), count)]

    def _stacked(self, drawn: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        images = preprocess(torch.cat([as_batch(image) for image, _ in drawn]), self.mean)
        labels = torch.stack([labels for _, labels in drawn])
        margin = margin_of(labels.shape, self.recipe.size_multiple)
        return F.pad(images, margin), F.pad(labels, margin, value=VOID_LABEL)

    def update(self, step: int, batch: list[tuple[Tensor, Tensor]]) -> Mapping[str, Tensor]:
        """One SGD step on the mean over the images of the loss per labelled pixel."""
        if self.recipe.tenth_every:
            scale_rates(self.sgd, 0.1 ** (step // self.recipe.tenth_every))
        self._forget_gradients()
        losses = []
        for images, labels in batch:
            loss = self.loss(images, labels) / len(batch)
            loss.backward()
            losses.append(loss.detach().clone())
        self.sgd.step()
        return {"loss": torch.stack(losses).sum()}

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        with autocast(images.device, self.recipe.precision):
            scores = self.network(images)
        return segmentation_cross_entropy(scores, labels)

    def _forget_gradients(self) -> None:
        """A graph's gradients lie in memory that its next pass overwrites: sums need their own."""
        self.sgd.zero_grad(set_to_none=not self.recipe.cuda_graphs)
        if self.recipe.cuda_graphs:
            for parameter in self.network.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)


def _sets(recipe: SegmentationRecipe, data: Path) -> tuple[SegmentationSet, SegmentationSet]:
    return find_sets(
        data,
        recipe.year,
        recipe.train_data,
        recipe.train_set,
        recipe.test_set,
        recipe.test_images,
    )


def find_images(recipe: SegmentationRecipe, data: Path) -> dict[str, list[Path]]:
    """Photographs that `measure` would learn from and score."""
    train_part, test_part = sets = _sets(recipe, data)
    for part in sets:
        part.label_files()  # Names one that is absent.
    return {"train": train_part.photographs(), "test": test_part.photographs()}


def measure(recipe: SegmentationRecipe, run_context: RunContext) -> Outcome:
    """Fine-tune on the train set, label every pixel of the test images, score."""
    train_and_predict = _engine(recipe, run_context.engine)
    sets = _sets(recipe, run_context.data)
    data_fingerprint = fingerprint(*sets)
    data, test = (load(part, recipe.short_side) for part in sets)
    check_sides(data, recipe.crop)
    network = build(recipe, run_context, data)
    per_image, others = train_and_predict(
        network, data, test, recipe, run_context, data_fingerprint
    )
    return Outcome(
        measurements=[*report(per_image, test, run_context.run.path), *others],
        data_fingerprint=data_fingerprint,
    )


def _engine(recipe: SegmentationRecipe, name: str) -> Engine:
    """What trains the network and labels the test images; a mistake ends here, before any work."""
    if name == "native":
        return train_and_predict
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmcv warns of what its wheel without CUDA lacks.
        from . import engine_mmseg

    engine_mmseg.check_supported(recipe)
    return engine_mmseg.train_and_predict


def train_and_predict(
    network: FCN,
    data: LabelledImages,
    test: LabelledImages,
    recipe: SegmentationRecipe,
    run_context: RunContext,
    data_fingerprint: str,
) -> tuple[np.ndarray, list[Measurement]]:
    """Train `network` on `data`; confusion matrices (N, 21, 21) of `test`, and no other number."""
    run, mean = run_context.run, run_context.weights.sidecar.preprocessing.mean_rgb
    train(
        Segmentation(network, data, recipe, mean, run_context.seed, run_context.device),
        run,
        Schedule.of(
            recipe,
            label="segmentation",
            seed=run_context.seed,
            data_fingerprint=data_fingerprint,
        ),
    )
    plot_curves(run.metrics(), run.path / "curves.png", title="segmentation")
    predictor = Predictor(
        compiled(network, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs),
        mean,
        run_context.device,
        recipe.precision,
        recipe.size_multiple,
    )
    return predict(predictor, test, run.path / "predictions"), []


def build(recipe: SegmentationRecipe, run_context: RunContext, data: LabelledImages) -> FCN:
    """The weights' trunk under a head that is drawn from the seed, on the device."""
    generator = torch.Generator().manual_seed(torch_seed(run_context.seed, "fcn"))
    network = FCN(len(SEGMENTATION_CLASSES), recipe.stride, recipe.head_init, generator)
    logger.info(f"{run_context.weights.name}: {load_trunk(network.trunk, run_context.weights)}")
    if set(FC_TENSORS) & set(run_context.weights.tensors):
        logger.info("fc6 and fc7 of the weights are not used: segmentation draws them anew")
    network.to(run_context.device)
    if recipe.head_init == "data":
        mean, count = run_context.weights.sidecar.preprocessing.mean_rgb, len(data.images)
        chosen = range(0, count, -(-count // FILLER_IMAGES))
        images = (as_batch(data.images.image(i)).to(run_context.device) for i in chosen)
        with torch.no_grad():
            network.head.data_dependent_init(
                [network.trunk(preprocess(image, mean)) for image in images]
            )
    return network
