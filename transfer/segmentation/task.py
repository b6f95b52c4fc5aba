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
from cebench.training.loop import train
from cebench.weights.files import FC_TENSORS, load_trunk

from ..setting import Measurement, Outcome, Setting
from .data import (
    LabelledImages,
    SegmentationSet,
    as_batch,
    draw,
    find_sets,
    fingerprint,
    load,
    margin_of,
    refuse_smaller,
)
from .recipe import SegmentationRecipe, parameter_groups
from .report import Predictor, predict, report

logger = logging.getLogger("cebench")

Engine = Callable[
    [FCN, LabelledImages, LabelledImages, SegmentationRecipe, Setting, str],
    tuple[np.ndarray, list[Measurement]],
]

FILLER_IMAGES = 32
"""Training images, evenly spaced, that `head_filler=data` looks at, or fewer."""


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
        drawn = draw(self.images, self.labels, self.recipe.accumulate, crop, self.seed, step)
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


def measure(recipe: SegmentationRecipe, setting: Setting) -> Outcome:
    """Fine-tune on the train set, label every pixel of the test images, score."""
    train_and_predict = _engine(recipe, setting.engine)
    sets = _sets(recipe, setting.data)
    data_fingerprint = fingerprint(*sets)
    data, test = (load(part, recipe.short_side) for part in sets)
    refuse_smaller(data, recipe.crop)
    network = build(recipe, setting, data)
    per_image, others = train_and_predict(network, data, test, recipe, setting, data_fingerprint)
    return Outcome(
        measurements=[*report(per_image, test, setting.run.path), *others],
        data_fingerprint=data_fingerprint,
    )


def _engine(recipe: SegmentationRecipe, name: str) -> Engine:
    """What trains the network and labels the test images; a mistake ends here, before any work."""
    if name == "native":
        return train_and_predict
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mmcv warns of what its wheel without CUDA lacks.
        from . import engine_mmseg

    engine_mmseg.refuse_unsupported(recipe)
    return engine_mmseg.train_and_predict


def train_and_predict(
    network: FCN,
    data: LabelledImages,
    test: LabelledImages,
    recipe: SegmentationRecipe,
    setting: Setting,
    data_fingerprint: str,
) -> tuple[np.ndarray, list[Measurement]]:
    """Train `network` on `data`; confusion matrices (N, 21, 21) of `test`, and no other number."""
    run, mean = setting.run, setting.weights.sidecar.preprocessing.mean_rgb
    train(
        Segmentation(network, data, recipe, mean, setting.seed, setting.device),
        run,
        label="segmentation",
        steps=recipe.steps,
        seed=setting.seed,
        data_fingerprint=data_fingerprint,
        log_every=recipe.log_every,
        checkpoint_every=recipe.checkpoint_every,
    )
    plot_curves(run.metrics(), run.path / "curves.png", title="segmentation")
    predictor = Predictor(
        compiled(network, compile=recipe.compile, cuda_graphs=recipe.cuda_graphs),
        mean,
        setting.device,
        recipe.precision,
        recipe.size_multiple,
    )
    return predict(predictor, test, run.path / "predictions"), []


def build(recipe: SegmentationRecipe, setting: Setting, data: LabelledImages) -> FCN:
    """The weights' trunk under a head that is drawn from the seed, on the device."""
    generator = torch.Generator().manual_seed(torch_seed(setting.seed, "fcn"))
    network = FCN(len(SEGMENTATION_CLASSES), recipe.stride, recipe.head_filler, generator)
    logger.info(f"{setting.weights.name}: {load_trunk(network.trunk, setting.weights)}")
    if set(FC_TENSORS) & set(setting.weights.tensors):
        logger.info("fc6 and fc7 of the weights are not used: segmentation draws them anew")
    network.to(setting.device)
    if recipe.head_filler == "data":
        mean, count = setting.weights.sidecar.preprocessing.mean_rgb, len(data.images)
        chosen = range(0, count, -(-count // FILLER_IMAGES))
        images = (as_batch(data.images.image(i)).to(setting.device) for i in chosen)
        with torch.no_grad():
            network.head.standardise([network.trunk(preprocess(image, mean)) for image in images])
    return network
