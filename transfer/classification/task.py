"""`classification`: VOC multi-label classification, the first column of Table 2.

Protocol: github.com/philkr/voc-classification (src/train_cls.py, src/solver.py) and the crop rule
of its Caffe branch (TransformationLayer).
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.devices import autocast
from cebench.errors import InputError
from cebench.metrics.classification import classification_summary
from cebench.models.backbone import Backbone
from cebench.models.classifier import Classifier, sigmoid_cross_entropy_sum
from cebench.models.parameter_groups import caffe_parameter_groups, scale_rates
from cebench.randomness import EpochOrder, numpy_generator, torch_seed
from cebench.training.loop import Schedule, train
from cebench.training.options import rate_after_drops
from cebench.weights.files import Preprocessing, Weights
from cebench.weights.loading import check_fc6_and_fc7, load_backbone, load_fc6_and_fc7

from ..fine_tuning import build_optimizer
from ..labelled_images import LabelledImages, data_fingerprint, find_images, read_sets
from ..run_context import Outcome, RunContext
from ..task import Task
from ..work import classification_work
from .data import crops_at, image_sizes, sample_places
from .prediction import predict
from .recipe import ClassificationRecipe
from .report import measurements, scored_from, write_report

logger = logging.getLogger("cebench")

INIT_BATCHES = 8
"""Batches of training crops that `head_init=data` looks at."""


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
        self.optimizer = build_optimizer(recipe, network, network.trunk, groups)
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimizers: dict[str, Optimizer] = {"optimizer": self.optimizer}
        self.images, self.sizes = data.images.to_if_fits(device), image_sizes(data.images)
        self.labels = torch.from_numpy(data.labels).to(device)
        self.order = EpochOrder(len(data.ids), seed)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops (N, 3, side, side), 0..255, and their labels (N, 20)."""
        count, side = self.recipe.batch_size, self.preprocessing.side
        index = self.order.indices(step * count, count)
        generator = numpy_generator(self.seed, "crop", step)
        places = sample_places(self.recipe, self.sizes[index], side, generator)
        crops = crops_at(self.images, index, places, side).to(self.device)
        return crops, self.labels[torch.from_numpy(index).to(self.device)]

    def update(self, step: int, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """One step on the summed cross-entropy."""
        crops, labels = batch
        with autocast(self.device, self.recipe.precision):
            scores = self.network(self.preprocessing(crops))
        loss = sigmoid_cross_entropy_sum(scores, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_gradients)
        factor = self.recipe.rate_factor(step, self.recipe.steps)
        factor *= rate_after_drops(step, self.recipe.halve_every, 0.5)
        scale_rates(self.optimizer, factor)
        self.optimizer.step()
        return {"loss": loss.detach()}


def build_classifier(
    backbone: Backbone, recipe: ClassificationRecipe, weights: Weights, seed: int
) -> Classifier:
    """The backbone with a newly drawn head, cut and frozen as the recipe says.

    fc6 and fc7 stand in it where the backbone's own network has them (AlexNet and VGG) and the
    classifier is not cut at pool5. InputError if the weights should bring them and do not.
    """
    between = _has_fc6_and_fc7(backbone, recipe)
    network = Classifier(
        backbone.trunk,
        backbone.features,
        len(VOC_CLASSES),
        fully_connected=between,
        generator=torch.Generator().manual_seed(torch_seed(seed, "classifier")),
        head_init=recipe.head_init,
    )
    if recipe.random_from == "drop7":
        load_fc6_and_fc7(network.fc6, network.fc7, weights)
    elif recipe.train_from == "fc8" and between:
        logger.warning("train_from=fc8 with random_from=pool5: fc6 and fc7 are random and stay so")
    network.train_only(recipe.train_from)
    network.to(memory_format=torch.channels_last)
    return network


def check_weights(recipe: ClassificationRecipe, weights: Weights) -> None:
    """InputError where the weights have no tokens, fc6 or fc7 that the recipe asks for."""
    backbone, _ = load_backbone(weights, recipe.pooling)
    if recipe.random_from == "drop7":
        check_fc6_and_fc7(backbone, weights)
    if recipe.head_init == "data" and not _has_fc6_and_fc7(backbone, recipe):
        raise InputError(
            f"{weights.name}: no fc6 and fc7 that head_init=data could scale stand between the "
            f"{weights.sidecar.architecture} and fc8; leave head_init out"
        )


def _has_fc6_and_fc7(backbone: Backbone, recipe: ClassificationRecipe) -> bool:
    """Whether they stand between the features and fc8."""
    return bool(backbone.fully_connected) and recipe.train_from != "pool5"


def build(
    network: Classifier, data: LabelledImages, recipe: ClassificationRecipe, run_context: RunContext
) -> Classification:
    """The program that trains `network`, its fc6 and fc7 scaled to the data if the recipe says."""
    preprocessing = run_context.weights.sidecar.preprocessing
    program = Classification(
        network, preprocessing, data, recipe, run_context.seed, run_context.device
    )
    if recipe.head_init == "data":
        crops = (program.batch(step)[0] for step in range(INIT_BATCHES))
        network.data_dependent_init([preprocessing(batch) for batch in crops])
    return program


def measure(recipe: ClassificationRecipe, run_context: RunContext) -> Outcome:
    """Fine-tune on the train set, score random crops of each test image."""
    run, weights, seed = run_context.run, run_context.weights, run_context.seed
    backbone, proof = load_backbone(weights, recipe.pooling)
    logger.info(f"{weights.name}: {proof}")
    network = build_classifier(backbone, recipe, weights, seed)
    sets = read_sets(recipe, run_context.data)
    program = build(network.to(run_context.device), sets.train, recipe, run_context)
    schedule = Schedule.of(
        recipe, label="classification", seed=seed, data_fingerprint=sets.fingerprint
    )
    train(program, run, schedule)
    scores = predict(network, sets.test, recipe, run_context)
    summaries = {
        "": classification_summary(scores.sum(axis=0), sets.test.labels, VOC_CLASSES),
        "_one_crop": classification_summary(scores[0], sets.test.labels, VOC_CLASSES),
    }
    write_report(run, sets.test, scores, summaries)
    return Outcome(
        measurements=measurements(summaries, recipe.column, len(sets.test.ids)),
        scored_from=scored_from(scores, sets.test, recipe.column),
        data_fingerprint=sets.fingerprint,
    )


TASK = Task(
    find_images=find_images,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    work=classification_work,
    table="2",
    protocol="voc-classification",
    protocol_version=2,
    any_backbone=True,
)
