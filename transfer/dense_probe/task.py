"""`dense-probe`: a linear layer on frozen patch features, VOC2012 segmentation.

What users of DINO and its successors compare patch features by; nothing of the trunk is trained.
"""

import logging
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.models.dense_probe import DenseProbe, patch_loss
from cebench.models.parameter_groups import scale_rates
from cebench.randomness import EpochOrder
from cebench.training.loop import Schedule, train
from cebench.weights.files import Weights
from cebench.weights.loading import load_backbone

from ..resumed_predictions import keep_own_predictions
from ..run_context import Outcome, RunContext
from ..segmentation.data import NUM_CLASSES, data_fingerprint, find_labelled
from ..task import Task
from ..work import dense_probe_work
from .data import Patches, patches_of, read_data
from .prediction import predict, stored
from .recipe import DenseProbeRecipe
from .report import COLUMN, measurements, scored_from, write_report

logger = logging.getLogger("cebench")


class LinearProbe:
    """Trains the linear layer on patches drawn from all train images."""

    def __init__(
        self, probe: DenseProbe, patches: Patches, recipe: DenseProbeRecipe, seed: int
    ) -> None:
        self.probe, self.patches, self.recipe = probe, patches, recipe
        weight, bias = probe.linear.weight, probe.linear.bias
        groups = [
            {"params": [weight], "weight_decay": recipe.weight_decay},
            {"params": [bias], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        self.modules: dict[str, nn.Module] = {"linear": probe.linear}
        self.optimizers: dict[str, Optimizer] = {"adamw": self.optimizer}
        self.order = EpochOrder(len(patches.features), seed)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Features (P, C, 1, 1) and class shares (P, 21) of the step's patches."""
        count, device = self.recipe.patches_per_step, self.probe.mean.device
        index = torch.from_numpy(self.order.indices(step * count, count))
        features = self.patches.features[index].to(device).float()[:, :, None, None]
        return features, self.patches.shares[index].to(device)

    def update(self, step: int, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """One step on the cross-entropy of the patches' pixels."""
        features, shares = batch
        scale_rates(self.optimizer, self.recipe.rate_factor(step, self.recipe.steps))
        loss = patch_loss(self.probe.scores_of(features).flatten(1), shares)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}


def build(run_context: RunContext) -> DenseProbe:
    """The probe on the weights' trunk, on the device."""
    backbone, proof = load_backbone(run_context.weights)
    logger.info(f"{run_context.weights.name}: {proof}")
    return DenseProbe(backbone, NUM_CLASSES).to(run_context.device)


def check_weights(recipe: DenseProbeRecipe, weights: Weights) -> None:
    """InputError where the weights' network has no maps that are known."""
    DenseProbe(load_backbone(weights)[0], NUM_CLASSES)


def measure(recipe: DenseProbeRecipe, run_context: RunContext) -> Outcome:
    """Train the layer on the train set's patches, label every pixel of the test images, score."""
    run, seed = run_context.run, run_context.seed
    probe = build(run_context)
    data = read_data(recipe, run_context.data)
    patches = patches_of(probe, data.train, recipe, run_context)
    probe.standardise_by(patches.features)
    schedule = Schedule.of(recipe, label=COLUMN, seed=seed, data_fingerprint=data.fingerprint)
    train(LinearProbe(probe, patches, recipe, seed), run, schedule)
    keep_own_predictions(run, run.path / "predictions", probe, data.fingerprint)
    predict(probe, data.test, recipe, run_context)
    predictions = zip(data.test.labels, stored(data.test, run.path / "predictions"), strict=True)
    per_image = np.stack([confusion_matrix(*pair, NUM_CLASSES) for pair in predictions])
    scores = segmentation_scores(per_image.sum(axis=0))
    write_report(run, per_image, data.test, scores)
    return Outcome(
        measurements=measurements(scores, len(per_image), COLUMN),
        scored_from=scored_from(per_image, data.test, COLUMN),
        data_fingerprint=data.fingerprint,
    )


TASK = Task(
    find_images=find_labelled,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    work=dense_probe_work,
    table="dense-probe",
    protocol="voc-dense-probe",
    protocol_version=1,
    any_backbone=True,
)
