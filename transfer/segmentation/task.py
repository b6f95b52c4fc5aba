"""`segmentation`: FCN on a VOC segmentation set, the third column of Table 2.

Protocol: shelhamer/fcn.berkeleyvision.org, voc-fcn-alexnet (net.py, solver.prototxt, score.py).
"""

import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.voc.devkit import VOID_LABEL
from cebench.devices import autocast, compiled
from cebench.errors import InputError
from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.models.backbone_fcn import BackboneFCN, score_strides
from cebench.models.backbones import is_foreign, trunk_architecture
from cebench.models.fcn import FCN, SegmentationNetwork, segmentation_cross_entropy
from cebench.models.parameter_groups import scale_rates
from cebench.plots.sheets import plot_curves
from cebench.randomness import torch_seed
from cebench.training.loop import Schedule, train
from cebench.training.options import rate_after_drops
from cebench.weights.files import Preprocessing, Weights
from cebench.weights.loading import (
    check_fc6_and_fc7,
    load_backbone,
    load_trunk,
    take_fc6_and_fc7,
)

from ..fine_tuning import build_optimizer
from ..resumed_predictions import keep_own_predictions
from ..run_context import Measurement, Outcome, RunContext
from ..task import Task
from ..work import segmentation_work
from .data import (
    NUM_CLASSES,
    SegmentationData,
    SegmentationImages,
    as_batch,
    data_fingerprint,
    find_images,
    margin_of,
    network_pixels,
    read_data,
    sample_crops,
)
from .parameters import parameter_groups
from .prediction import Predictor, predict, stored
from .recipe import SegmentationRecipe
from .report import measurements, scored_from, write_report

logger = logging.getLogger("cebench")

Engine = Callable[[Any, SegmentationData, SegmentationRecipe, RunContext], Sequence[Measurement]]
"""Trains the network, leaves predictions/ID.png, and may measure something of its own."""

INIT_IMAGES = 32
"""Training images, evenly spaced, that `head_init=data` looks at, or fewer."""


class Segmentation:
    """Fine-tunes all layers."""

    def __init__(
        self,
        network: SegmentationNetwork,
        data: SegmentationImages,
        recipe: SegmentationRecipe,
        preprocessing: Preprocessing,
        seed: int,
        device: torch.device,
    ) -> None:
        self.network, self.recipe, self.seed = network, recipe, seed
        self.preprocessing = preprocessing
        self.images = data.images_as_seen(device)
        self.labels = [labels.to(device) for labels in data.labels_as_seen()]
        groups = parameter_groups(network, recipe)
        self.optimizer = build_optimizer(recipe, network, network.trunk, groups)
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimizers: dict[str, Optimizer] = {"optimizer": self.optimizer}
        self.loss = compiled(self._loss, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs)

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Images (P, 3, H, W) as the network sees them and labels (P, H, W) uint8 of each pass."""
        crop, count = self.recipe.crop, self.recipe.images_per_pass
        drawn = sample_crops(
            self.images, self.labels, self.recipe.accumulate, crop, self.seed, step
        )
        return [self._stacked(drawn[i : i + count]) for i in range(0, len(drawn), count)]

    def _stacked(self, drawn: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        images = network_pixels(
            torch.cat([as_batch(image) for image, _ in drawn]), self.preprocessing
        )
        labels = torch.stack([labels for _, labels in drawn])
        margin = margin_of(labels.shape, self.recipe.size_multiple)
        return F.pad(images, margin), F.pad(labels, margin, value=VOID_LABEL)

    def update(self, step: int, batch: list[tuple[Tensor, Tensor]]) -> Mapping[str, Tensor]:
        """One step on the mean over the images of the loss per labelled pixel."""
        factor = self.recipe.rate_factor(step, self.recipe.steps)
        factor *= rate_after_drops(step, self.recipe.tenth_every, 0.1)
        scale_rates(self.optimizer, factor)
        self._reset_gradients()
        losses = []
        for images, labels in batch:
            loss = self.loss(images, labels) / len(batch)
            loss.backward()
            losses.append(loss.detach().clone())
        self.optimizer.step()
        return {"loss": torch.stack(losses).sum()}

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        with autocast(images.device, self.recipe.precision):
            scores = self.network(images)
        return segmentation_cross_entropy(scores, labels)

    def _reset_gradients(self) -> None:
        """A graph's gradients lie in memory that its next pass overwrites: sums need their own."""
        self.optimizer.zero_grad(set_to_none=not self.recipe.cuda_graphs)
        if self.recipe.cuda_graphs:
            for parameter in self.network.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)


def check_weights(recipe: SegmentationRecipe, weights: Weights) -> None:
    """InputError where the weights have no map of the stride, or no fc6 and fc7 to be taken."""
    backbone, _ = load_backbone(weights)
    score_strides(backbone.architecture, [*backbone.map_channels()], recipe.stride)
    if recipe.random_from == "drop7":
        check_fc6_and_fc7(backbone, weights)


def check_engine(
    recipe: SegmentationRecipe, weights: Weights, engine: str, device: torch.device
) -> None:
    """InputError for options that mmsegmentation's runner is not given."""
    if engine == "native":
        return
    if recipe.precision != "fp32" or recipe.compile:
        raise InputError('--engine mmseg computes with precision="fp32" and compile=false only')
    if recipe.optimizer != "sgd" or recipe.warmup_steps or recipe.decay_from < 1:
        raise InputError('--engine mmseg trains with optimizer="sgd", without warm-up and decay')


def measure(recipe: SegmentationRecipe, run_context: RunContext) -> Outcome:
    """Fine-tune on the train set, label every pixel of the test images, score."""
    run = run_context.run
    train_and_predict = _engine(run_context.engine)
    data = read_data(recipe, run_context.data)
    network = build(recipe, run_context, data.train)
    others = train_and_predict(network, data, recipe, run_context)
    predictions = zip(data.test.labels, stored(data.test, run.path / "predictions"), strict=True)
    per_image = np.stack(
        [confusion_matrix(truth, labels, NUM_CLASSES) for truth, labels in predictions]
    )
    scores = segmentation_scores(per_image.sum(axis=0))
    write_report(run.path, per_image, data.test, scores)
    return Outcome(
        measurements=[*measurements(scores, len(per_image)), *others],
        scored_from=scored_from(per_image, data.test),
        data_fingerprint=data.fingerprint,
    )


def _engine(engine: str) -> Engine:
    """What trains the network and labels the test images; imported before any work is done."""
    if engine == "native":
        return train_and_predict
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmcv warns of what its wheel without CUDA lacks.
        from . import engine_mmseg

    return engine_mmseg.train_and_predict


def train_and_predict(
    network: SegmentationNetwork,
    data: SegmentationData,
    recipe: SegmentationRecipe,
    run_context: RunContext,
) -> list[Measurement]:
    """Train `network`, then leave a label image of each test image; measures nothing itself."""
    run, preprocessing = run_context.run, run_context.weights.sidecar.preprocessing
    seed, device = run_context.seed, run_context.device
    program = Segmentation(network, data.train, recipe, preprocessing, seed, device)
    schedule = Schedule.of(
        recipe, label="segmentation", seed=seed, data_fingerprint=data.fingerprint
    )
    train(program, run, schedule)
    plot_curves(run.metrics(), run.path / "curves.png", title="segmentation")
    predictor = Predictor(
        compiled(network, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs),
        preprocessing,
        device,
        recipe.precision,
        recipe.size_multiple,
    )
    keep_own_predictions(run, run.path / "predictions", network, data.fingerprint)
    predict(predictor, data.test, run.path / "predictions")
    return []


def build(
    recipe: SegmentationRecipe, run_context: RunContext, data: SegmentationImages
) -> SegmentationNetwork:
    """The weights' trunk under a head that is drawn from the seed, on the device.

    fc6 and fc7 are the weights' own with `random_from=drop7`; InputError if they have none.
    """
    network = _network(recipe, run_context).to(run_context.device)
    if recipe.head_init == "data" and network.hidden:
        preprocessing, count = run_context.weights.sidecar.preprocessing, len(data.images)
        chosen = range(0, count, -(-count // INIT_IMAGES))
        images = (as_batch(data.images.image(i)).to(run_context.device) for i in chosen)
        network.data_dependent_init(network_pixels(image, preprocessing) for image in images)
    return network


def _network(recipe: SegmentationRecipe, run_context: RunContext) -> SegmentationNetwork:
    weights = run_context.weights
    architecture = weights.sidecar.architecture
    generator = torch.Generator().manual_seed(torch_seed(run_context.seed, "fcn"))
    network: SegmentationNetwork
    if is_foreign(architecture):
        backbone, proof = load_backbone(weights)
        network = BackboneFCN(
            backbone,
            NUM_CLASSES,
            recipe.stride,
            recipe.head_init,
            generator,
            recipe.train_batch_norm,
        )
    else:
        own = trunk_architecture(architecture)
        network = fcn = FCN(NUM_CLASSES, recipe.stride, recipe.head_init, generator, own)
        proof = load_trunk(fcn.trunk, weights)
    logger.info(f"{weights.name}: {proof}")
    take_fc6_and_fc7(network.hidden, recipe.random_from, weights)
    return network


TASK = Task(
    find_images=find_images,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    check_engine=check_engine,
    work=segmentation_work,
    table="2",
    protocol="voc-fcn",
    protocol_version=1,
    any_backbone=True,
)
