"""`detection`: Fast R-CNN on Selective Search proposals, the second column of Table 2.

Protocol: rbgirshick/fast-rcnn (lib/fast_rcnn, lib/roi_data_layer, models/CaffeNet), by default with
fc6 and fc7 drawn anew and conv1 trained, because the trunk does not come from ImageNet labels.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.devices import autocast
from cebench.errors import InputError
from cebench.files import readable
from cebench.metrics.detection import detection_scores
from cebench.models.backbone import first_convolution
from cebench.models.backbone_fast_rcnn import BackboneFastRCNN, region_stride
from cebench.models.backbones import is_foreign, trunk_architecture
from cebench.models.box_coding import box_target_statistics
from cebench.models.fast_rcnn import FastRCNN, RegionNetwork, detection_losses
from cebench.models.parameter_groups import caffe_parameter_groups, scale_rates
from cebench.models.roi_sampling import LabelledRois, label_rois, network_rois, sample_rois
from cebench.plots.sheets import plot_curves
from cebench.randomness import EpochOrder, numpy_generator, torch_seed
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
from ..run_context import Outcome, RunContext
from ..task import Task
from ..work import detection_work
from .data import (
    FAST_RCNN_PIXELS,
    DetectionSet,
    data_fingerprint,
    find_images,
    flip_boxes,
    network_image,
    pixels_of,
    read_data,
    stack_images,
)
from .prediction import predict, store
from .recipe import DetectionRecipe
from .report import measurements, scored_from, write_report

logger = logging.getLogger("cebench")

INIT_BATCHES = 8
"""Batches of training regions that `head_init=data` looks at."""


class Batch(NamedTuple):
    """One step's images and regions, on the device."""

    images: Tensor
    """(N, 3, H, W), mean-subtracted, padded."""
    rois: Tensor
    """(R, 5) of `network_rois`."""
    labels: Tensor
    """(R,) int64, 0 background."""
    targets: Tensor
    """(R, 4) of `encode_boxes`."""


class Detection:
    """Fine-tunes Fast R-CNN on images and their mirror images."""

    def __init__(
        self,
        network: RegionNetwork,
        data: DetectionSet,
        proposals: Sequence[np.ndarray],
        recipe: DetectionRecipe,
        seed: int,
        device: torch.device,
        preprocessing: Preprocessing = FAST_RCNN_PIXELS,
    ) -> None:
        """proposals: per image of `data` (R, 4)."""
        self.network, self.data, self.proposals, self.recipe = network, data, proposals, recipe
        self.seed, self.device, self.preprocessing = seed, device, preprocessing
        self.objects = [
            (a.boxes[keep], a.labels[keep])
            for a in data.annotations
            for keep in [~a.difficult | recipe.train_difficult]
        ]
        self.statistics = target_statistics(proposals, self.objects)
        self.mean, self.std = (values.to(device) for values in self.statistics)
        first_convolution(network.trunk).requires_grad_(recipe.train_conv1)
        groups = caffe_parameter_groups(
            network.named_parameters(),
            recipe.learning_rate,
            recipe.weight_decay,
            decay_biases=False,
        )
        self.optimizer = build_optimizer(recipe, network, network.trunk, groups)
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimizers: dict[str, Optimizer] = {"optimizer": self.optimizer}
        self.order = EpochOrder(2 * len(data.ids), seed)

    def batch(self, step: int) -> Batch:
        """The step's images, each as it is or mirrored, and the regions drawn from each."""
        count = self.recipe.images_per_step
        images, scales, rois = [], [], []
        for place, number in enumerate(self.order.indices(step * count, count)):
            mirrored, index = divmod(int(number), len(self.data.ids))
            pixels = self.data.pixels(index)
            generator = numpy_generator(self.seed, "rois", step, place)
            side = self.recipe.scales[int(generator.integers(len(self.recipe.scales)))]
            rois.append(self._rois(index, pixels.shape[1] if mirrored else None, generator))
            pixels = pixels[:, ::-1] if mirrored else pixels
            image, scale = network_image(pixels, side, self.recipe.max_side, self.preprocessing)
            images.append(image)
            scales.append(scale)
        batch = Batch(
            stack_images(images),
            network_rois([one.boxes for one in rois], scales),
            torch.from_numpy(np.concatenate([one.labels for one in rois])),
            torch.from_numpy(np.concatenate([one.targets for one in rois])),
        )
        return Batch(*(tensor.to(self.device) for tensor in batch))

    def _rois(
        self, index: int, mirror_width: int | None, generator: np.random.Generator
    ) -> LabelledRois:
        boxes, labels = self.objects[index]
        proposals = self.proposals[index]
        if mirror_width is not None:
            boxes, proposals = flip_boxes(boxes, mirror_width), flip_boxes(proposals, mirror_width)
        return sample_rois(generator, proposals, boxes, labels, self.recipe.rois_per_image)

    def update(self, step: int, batch: Batch) -> Mapping[str, Tensor]:
        """One step on the sum of the two losses."""
        factor = self.recipe.rate_factor(step, self.recipe.steps)
        factor *= rate_after_drops(step, self.recipe.tenth_every, 0.1)
        scale_rates(self.optimizer, factor)
        with autocast(self.device, self.recipe.precision):
            scores, deltas = self.network(batch.images, batch.rois)
        class_loss, box_loss = detection_losses(
            scores, deltas, batch.labels, batch.targets, self.mean, self.std
        )
        self.optimizer.zero_grad(set_to_none=True)
        (class_loss + box_loss).backward()
        self.optimizer.step()
        return {
            "loss": (class_loss + box_loss).detach(),
            "class_loss": class_loss.detach(),
            "box_loss": box_loss.detach(),
        }


def target_statistics(
    proposals: Sequence[np.ndarray], objects: Sequence[tuple[np.ndarray, np.ndarray]]
) -> tuple[Tensor, Tensor]:
    """Mean and std (21, 4) of the regression targets over the set and its mirror images.

    All regions with an IoU of at least 0.5 count, the objects' own boxes among them.
    """
    labels, targets = [], []
    for of_image, (boxes, classes) in zip(proposals, objects, strict=True):
        rois, _ = label_rois(np.concatenate([boxes, of_image]), boxes, classes)
        labels.append(rois.labels[rois.labels > 0])
        targets.append(rois.targets[rois.labels > 0])
    once = np.concatenate(targets)
    mirrored = once * np.array([-1, 1, 1, 1], np.float32)  # only dx changes its sign
    mean, std = box_target_statistics(
        np.concatenate([once, mirrored]), np.tile(np.concatenate(labels), 2), len(VOC_CLASSES)
    )
    return torch.from_numpy(mean), torch.from_numpy(std)


def check_weights(recipe: DetectionRecipe, weights: Weights) -> None:
    """InputError where the weights have no map for regions, or no fc6 and fc7 to be taken."""
    backbone, _ = load_backbone(weights)
    region_stride(backbone.architecture, backbone.map_channels())
    if recipe.random_from == "drop7":
        check_fc6_and_fc7(backbone, weights)


def check_engine(
    recipe: DetectionRecipe, weights: Weights, engine: str, device: torch.device
) -> None:
    """InputError where detectron2 cannot compute the weights' network on the device."""
    if engine == "native":
        return
    if device.type == "cuda":
        raise InputError(
            "--engine detectron2: the gradient of its pooling is not repeatable on CUDA; add "
            "--device cpu"
        )
    if load_backbone(weights)[0].last_stage:
        raise InputError(
            "--engine detectron2: takes networks whose head is linear layers, not a last stage of "
            "convolutions (C4); use --engine native"
        )


def measure(recipe: DetectionRecipe, run_context: RunContext) -> Outcome:
    """Fine-tune on the train set, detect on the test set, score by both definitions of AP."""
    run = run_context.run
    data = read_data(recipe, run_context.data, run.path.parent)
    program = build(recipe, run_context, data.train, data.boxes(data.train))
    train(program, run, schedule(recipe, run_context, data.fingerprint))
    plot_curves(run.metrics(), run.path / "curves.png", title="detection")
    parts = run.checkpoints / "detections"
    keep_own_predictions(run, parts, program.network, data.fingerprint)
    detections = predict(
        program.network,
        data.test,
        data.boxes(data.test),
        program.statistics,
        scales=recipe.test_scales,
        max_side=recipe.test_max_side,
        caps=recipe.caps,
        precision=recipe.precision,
        device=run_context.device,
        parts=parts,
        preprocessing=program.preprocessing,
    )
    store(detections, data.test.ids, Path(recipe.test_set).stem, run.path)
    scores = detection_scores(detections, data.test.objects(), len(VOC_CLASSES))
    write_report(run.path, detections, data.test, scores, recipe.pictures)
    return Outcome(
        measurements=measurements(scores, len(data.test.ids)),
        scored_from=scored_from(detections, data.test),
        data_fingerprint=data.fingerprint,
        proposals=f"{readable(data.proposals.name)} {data.proposals.sha256}",
    )


def schedule(recipe: DetectionRecipe, run_context: RunContext, data_fingerprint: str) -> Schedule:
    """How long to train; on a GPU batches are prepared ahead."""
    return Schedule.of(
        recipe,
        label="detection",
        seed=run_context.seed,
        data_fingerprint=data_fingerprint,
        # A GPU's step is shorter than the decoding of its two photographs.
        prefetch=(os.cpu_count() or 1) if run_context.device.type == "cuda" else 0,
    )


def build(
    recipe: DetectionRecipe,
    run_context: RunContext,
    data: DetectionSet,
    proposals: Sequence[np.ndarray],
) -> Detection:
    """What trains the weights' trunk, on the device, under a head that is drawn from the seed.

    InputError where the weights do not fit the recipe, see `build_network`.
    """
    network = build_network(recipe, run_context).to(run_context.device)
    preprocessing = pixels_of(run_context.weights.sidecar)
    seed, device = run_context.seed, run_context.device
    program = Detection(network, data, proposals, recipe, seed, device, preprocessing)
    if recipe.head_init == "data" and network.hidden:
        network.data_dependent_init([program.batch(step)[:2] for step in range(INIT_BATCHES)])
    if run_context.engine == "native":
        return program
    from .engine_detectron2 import Detectron2FastRCNN

    theirs = Detectron2FastRCNN(network)
    return Detection(theirs, data, proposals, recipe, seed, device, preprocessing)


def build_network(recipe: DetectionRecipe, run_context: RunContext) -> FastRCNN | BackboneFastRCNN:
    """Fast R-CNN on the weights' trunk; fc6 and fc7 are theirs with `random_from=drop7`.

    Raises:
        InputError: the weights have no fc6 and fc7 that they should bring, or their network no map
            that regions could be pooled from.
    """
    weights, classes = run_context.weights, len(VOC_CLASSES)
    architecture = weights.sidecar.architecture
    generator = torch.Generator().manual_seed(torch_seed(run_context.seed, "fast-rcnn"))
    network: FastRCNN | BackboneFastRCNN
    if is_foreign(architecture):
        backbone, proof = load_backbone(weights)
        network = BackboneFastRCNN(
            backbone,
            classes,
            generator,
            recipe.head_init,
            recipe.roi_pooling,
            recipe.train_batch_norm,
        )
        has_own = bool(backbone.fully_connected)
    else:
        own = FastRCNN(
            classes,
            generator,
            recipe.conv1_padding,
            recipe.head_init,
            trunk_architecture(architecture),
            recipe.roi_pooling,
        )
        network, proof, has_own = own, load_trunk(own.trunk, weights), True
    logger.info(f"{weights.name}: {proof}")
    take_fc6_and_fc7(network.hidden if has_own else (), recipe.random_from, weights)
    return network


TASK = Task(
    find_images=find_images,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    check_engine=check_engine,
    work=detection_work,
    table="2",
    protocol="voc-fast-rcnn-selective-search",
    protocol_version=1,
    any_backbone=True,
)
