"""`classification`: VOC multi-label classification, the first column of Table 2.

Protocol: github.com/philkr/voc-classification (src/train_cls.py, src/solver.py) and the crop rule
of its Caffe branch (TransformationLayer).
"""

import logging
from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.config import TrainingRecipe
from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv
from cebench.devices import autocast
from cebench.errors import CebenchError, InputError
from cebench.models.backbones import Backbone
from cebench.models.classifier import (
    Classifier,
    HeadInit,
    Part,
    sigmoid_cross_entropy_sum,
)
from cebench.models.parameter_groups import caffe_parameter_groups, scale_rates
from cebench.progress import progress
from cebench.randomness import EpochOrder, numpy_generator, torch_seed
from cebench.training.loop import Schedule, train
from cebench.training.options import PrecisionOptions, SgdOptions
from cebench.weights.files import Preprocessing, Weights, fc6_and_fc7, load_backbone

from ..run_context import Outcome, RunContext
from .crops import CropRule, Places, crops_at, sample_by_area, sample_scaled
from .data import ImageSetsRecipe, LabelledImages, find_images, read_sets
from .report import measurements, write_report

__all__ = ["ClassificationRecipe", "find_images", "measure"]

logger = logging.getLogger("cebench")

SCALES = (0.5, 2.0)
"""The protocol's least and greatest number of source pixels per pixel of a crop."""
TEST_BATCH = 32


class ClassificationRecipe(ImageSetsRecipe, TrainingRecipe, SgdOptions, PrecisionOptions):
    """How the classifier is fine-tuned and scored (protocol ledger: classification)."""

    train_from: Part = "all"
    """What is trained: `all`, `fc6-8`, `fc8`, or `pool5`: fc8 alone, put directly on pool5."""
    random_from: Literal["pool5", "drop7"] = "pool5"
    """Which layers are drawn anew: fc6, fc7 and fc8, or fc8 alone (the weights bring fc6, fc7)."""
    head_init: HeadInit = "voc-classification"
    """How they are drawn: as the authors' code does, or as CaffeNet's reference does."""
    batch_size: PositiveInt = 16
    """Crops per step."""
    learning_rate: PositiveFloat = 1e-3
    """Of SGD at the first step; biases learn twice as fast."""
    halve_every: PositiveInt = 10_000
    """Steps after which the learning rate is halved."""
    weight_decay: NonNegativeFloat = 1e-6
    """Of weights and biases."""
    clip_gradients: PositiveFloat = 10.0
    """Greatest L2 norm of all gradients together."""
    crop_rule: CropRule = "scale"
    """`scale`: source pixels per pixel uniform; `area`: share of the image in 0.1 .. 0.5."""
    min_scale: PositiveFloat = SCALES[0]
    """Least number of source pixels per pixel of a crop."""
    max_scale: PositiveFloat = SCALES[1]
    """Greatest number of source pixels per pixel of a crop, where the image is large enough."""
    test_crops: PositiveInt = 10
    """Random crops per test image; their raw scores are added."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.min_scale > self.max_scale:
            raise ValueError(f"min_scale={self.min_scale:g} exceeds max_scale={self.max_scale:g}")
        if self.random_from == "drop7" and self.train_from == "pool5":
            raise ValueError(
                "train_from=pool5 has no fc6 and fc7 that random_from=drop7 could take from the "
                "weights; leave random_from out"
            )
        return self

    @property
    def column(self) -> str:
        """Where its numbers stand: only `all` is Table 2's."""
        return "classification" + ("" if self.train_from == "all" else f"_{self.train_from}")

    @property
    def variant(self) -> str:
        """What the protocol's name says of the options that make it another one."""
        usual_scales = self.crop_rule == "area" or (self.min_scale, self.max_scale) == SCALES
        parts = [
            super().variant,
            "" if self.train_from == "all" else self.train_from,
            "" if self.crop_rule == "scale" else f"{self.crop_rule}-rule",
            "" if usual_scales else f"scales-{self.min_scale:g}-{self.max_scale:g}",
            f"{self.test_crops}-crops",
        ]
        return "-".join(part for part in parts if part)

    def sample_places(self, sizes: np.ndarray, side: int, generator: np.random.Generator) -> Places:
        """A random crop of `side` pixels for each image of `sizes` (N, 2)."""
        if self.crop_rule == "area":
            return sample_by_area(sizes, side, generator)
        return sample_scaled(sizes, side, (self.min_scale, self.max_scale), generator)


class Classification:
    """Fine-tunes on random crops."""

    def __init__(
        self,
        network: Classifier,
        preprocessing: Preprocessing,
        data: LabelledImages,
        recipe: ClassificationRecipe,
        seed: int,
        device: torch.device,
    ) -> None:
        self.network, self.preprocessing, self.recipe = network, preprocessing, recipe
        self.seed, self.device = seed, device
        groups = caffe_parameter_groups(
            network.named_parameters(), recipe.learning_rate, recipe.weight_decay
        )
        self.sgd = torch.optim.SGD(groups, momentum=recipe.momentum, fused=True)
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimizers: dict[str, Optimizer] = {"sgd": self.sgd}
        self.images, self.sizes = data.images.to_if_fits(device), _sizes(data.images)
        self.labels = torch.from_numpy(data.labels).to(device)
        self.order = EpochOrder(len(data.ids), seed)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops (N, 3, side, side), 0..255, and their labels (N, 20)."""
        count, side = self.recipe.batch_size, self.preprocessing.side
        index = self.order.indices(step * count, count)
        generator = numpy_generator(self.seed, "crop", step)
        places = self.recipe.sample_places(self.sizes[index], side, generator)
        crops = crops_at(self.images, index, places, side).to(self.device)
        return crops, self.labels[torch.from_numpy(index).to(self.device)]

    def update(self, step: int, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """One SGD step on the summed cross-entropy."""
        crops, labels = batch
        with autocast(self.device, self.recipe.precision):
            scores = self.network(self.preprocessing(crops))
        loss = sigmoid_cross_entropy_sum(scores, labels)
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_gradients)
        scale_rates(self.sgd, 0.5 ** (step // self.recipe.halve_every))
        self.sgd.step()
        return {"loss": loss.detach()}


def build_classifier(
    backbone: Backbone, recipe: ClassificationRecipe, weights: Weights, seed: int
) -> Classifier:
    """The backbone with a fresh head, cut and frozen as the recipe says.

    fc6 and fc7 stand in it where the backbone's own network has them (AlexNet and VGG) and the
    classifier is not cut at pool5. InputError if the weights should bring them and do not.
    """
    if recipe.random_from == "drop7" and not backbone.fully_connected:
        raise InputError(
            f"{weights.name}: a {weights.sidecar.architecture} has no fc6 and fc7 that "
            "random_from=drop7 could take; leave random_from out"
        )
    between = bool(backbone.fully_connected) and recipe.train_from != "pool5"
    network = Classifier(
        backbone.trunk,
        backbone.features,
        len(VOC_CLASSES),
        fully_connected=between,
        generator=torch.Generator().manual_seed(torch_seed(seed, "classifier")),
        filler=recipe.head_init,
    )
    if recipe.random_from == "drop7":
        network.load_state_dict({**network.state_dict(), **fc6_and_fc7(weights)})
    elif recipe.train_from == "fc8" and between:
        logger.warning("train_from=fc8 with random_from=pool5: fc6 and fc7 are random and stay so")
    network.train_only(recipe.train_from)
    network.to(memory_format=torch.channels_last)
    return network


def measure(recipe: ClassificationRecipe, run_context: RunContext) -> Outcome:
    """Fine-tune on the train set, score random crops of each test image."""
    backbone, proof = load_backbone(run_context.weights)
    logger.info(f"{run_context.weights.name}: {proof}")
    network = build_classifier(backbone, recipe, run_context.weights, run_context.seed)
    sets = read_sets(recipe, run_context.data)
    preprocessing = run_context.weights.sidecar.preprocessing
    program = Classification(
        network.to(run_context.device),
        preprocessing,
        sets.train,
        recipe,
        run_context.seed,
        run_context.device,
    )
    train(
        program,
        run_context.run,
        Schedule.of(
            recipe,
            label="classification",
            seed=run_context.seed,
            data_fingerprint=sets.fingerprint,
        ),
    )
    scores = predict(network, preprocessing, sets.test, recipe, run_context)
    write_scores_csv(run_context.run.path / "predictions.csv", sets.test.ids, scores.sum(axis=0))
    summaries = write_report(run_context.run, sets.test, scores)
    return Outcome(
        measurements=measurements(summaries, recipe.column, len(sets.test.ids)),
        data_fingerprint=sets.fingerprint,
    )


def predict(
    network: Classifier,
    preprocessing: Preprocessing,
    test: LabelledImages,
    recipe: ClassificationRecipe,
    run_context: RunContext,
) -> np.ndarray:
    """Raw scores of the random crops of each image, (crops, N, 20) float64.

    The crops of a pass over the images are a function of the seed and the number of the pass. A
    finished pass stands in predictions/crop-<number>.csv: a run that was broken off goes on behind
    it. CebenchError if the training left a network whose scores are not finite.
    """
    images, sizes = test.images.to_if_fits(run_context.device), _sizes(test.images)
    scores = np.empty((recipe.test_crops, len(images), len(VOC_CLASSES)))
    with torch.inference_mode(), progress("classification test", "crops") as report:
        for crop in range(recipe.test_crops):
            path = run_context.run.path / "predictions" / f"crop-{crop}.csv"
            if path.exists():
                scores[crop] = read_scores_csv(path, test.ids)
                continue
            generator = numpy_generator(run_context.seed, "test-crop", crop)
            places = recipe.sample_places(sizes, preprocessing.side, generator)
            for start in range(0, len(images), TEST_BATCH):
                rows = slice(start, min(start + TEST_BATCH, len(images)))
                index = np.arange(rows.start, rows.stop)
                pixels = crops_at(images, index, places.of(rows), preprocessing.side)
                with autocast(run_context.device, recipe.precision):
                    found = network(preprocessing(pixels.to(run_context.device)))
                scores[crop, rows] = found.float().cpu().numpy()
                report(crop * len(images) + rows.stop, recipe.test_crops * len(images))
            if not np.isfinite(scores[crop]).all():
                raise CebenchError(
                    "the trained network's scores are not finite; lower the learning rate"
                )
            write_scores_csv(path, test.ids, scores[crop])
    return scores


def _sizes(images: RaggedImages) -> np.ndarray:
    """Heights and widths, (N, 2) int64."""
    return torch.stack([images.heights, images.widths], dim=1).cpu().numpy()
