"""`classification`: VOC multi-label classification, the first column of Table 2.

Protocol: github.com/philkr/voc-classification (src/train_cls.py, src/solver.py) and the crop rule
of its Caffe branch (TransformationLayer).
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.config import Recipe
from cebench.data.fingerprint import fingerprint_files
from cebench.data.ragged import RaggedImages, load_ragged
from cebench.data.voc import VOC_CLASSES, VocYear
from cebench.data.voc_results import write_scores_csv
from cebench.errors import InputError
from cebench.files import write_csv
from cebench.metrics.average_precision import MultilabelScores, multilabel_scores
from cebench.models.caffenet import preprocess
from cebench.models.classifier import CaffeNetClassifier, sigmoid_cross_entropy_sum
from cebench.models.parameter_groups import caffe_parameter_groups
from cebench.pictures import plot_curves
from cebench.progress import progress
from cebench.randomness import EpochOrder, numpy_generator, torch_seed
from cebench.training import require_finite, train
from cebench.weights import load_trunk

from .image_sets import photographs, refuse_shared
from .setting import Measurement, Outcome, Setting

logger = logging.getLogger("cebench")

CROP_SIDE = 227
TEST_BATCH = 32


class ClassificationRecipe(Recipe):
    """How the classifier is fine-tuned and scored (protocol ledger: classification)."""

    year: int = 2007
    """VOC year."""
    train_set: str
    """Image set that is learned from, or the path of a list."""
    test_set: str
    """Image set that is scored."""
    steps: PositiveInt
    """Optimizer steps."""
    batch_size: PositiveInt = 16
    """Crops per step."""
    learning_rate: PositiveFloat = 1e-3
    """Of SGD at the first step; biases learn twice as fast."""
    halve_every: PositiveInt = 10_000
    """Steps after which the learning rate is halved."""
    momentum: NonNegativeFloat = 0.9
    """Of SGD."""
    weight_decay: NonNegativeFloat = 1e-6
    """Of weights and biases."""
    clip_gradients: PositiveFloat = 10.0
    """Greatest L2 norm of all gradients together."""
    min_scale: PositiveFloat = 0.5
    """Least number of source pixels per pixel of a crop."""
    max_scale: PositiveFloat = 2.0
    """Greatest number of source pixels per pixel of a crop, where the image is large enough."""
    test_crops: PositiveInt = 10
    """Random crops per test image; their raw scores are added."""


@dataclass(frozen=True)
class LabelledImages:
    """One image set, decoded."""

    ids: list[str]
    images: RaggedImages
    labels: np.ndarray
    """(N, 20) int8: 1 present, 0 ignored (only difficult objects), -1 absent."""


class Classification:
    """Fine-tunes all layers on random crops."""

    def __init__(
        self,
        network: CaffeNetClassifier,
        data: LabelledImages,
        recipe: ClassificationRecipe,
        seed: int,
        device: torch.device,
    ) -> None:
        self.network, self.data, self.recipe = network, data, recipe
        self.seed, self.device = seed, device
        groups = caffe_parameter_groups(
            network.named_parameters(), recipe.learning_rate, recipe.weight_decay
        )
        self.sgd = torch.optim.SGD(groups, momentum=recipe.momentum, fused=True)
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimizers: dict[str, Optimizer] = {"sgd": self.sgd}
        self.labels = torch.from_numpy(data.labels).to(device)
        self.order = EpochOrder(len(data.ids), seed)
        self.first_rates = [group["lr"] for group in self.sgd.param_groups]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops (N, 3, 227, 227), 0..255, and their labels (N, 20)."""
        count = self.recipe.batch_size
        index = self.order.indices(step * count, count)
        generator = numpy_generator(self.seed, "crop", step)
        scales = (self.recipe.min_scale, self.recipe.max_scale)
        crops = random_scale_crops(self.data.images, index, scales, generator)
        return crops, self.labels[torch.from_numpy(index).to(self.device)]

    def update(self, step: int, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
        """One SGD step on the summed cross-entropy."""
        crops, labels = batch
        loss = sigmoid_cross_entropy_sum(self.network(preprocess(crops)), labels)
        require_finite(step, loss=loss)
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_gradients)
        for group, rate in zip(self.sgd.param_groups, self.first_rates, strict=True):
            group["lr"] = rate * 0.5 ** (step // self.recipe.halve_every)
        self.sgd.step()
        return {"loss": loss.detach()}


def random_scale_crops(
    images: RaggedImages,
    index: np.ndarray,
    scales: tuple[float, float],
    generator: np.random.Generator,
) -> Tensor:
    """Square crops of random scale, place and mirroring, (N, 3, 227, 227) float32, 0..255.

    The scale (source pixels per pixel of the crop) is uniform in `scales`, its upper end lowered
    to what the image holds; sampled bilinearly at points, without antialiasing, as the original
    does (philkr/caffe, branch future, transformation_layer.cpp).
    """
    heights, widths = images.heights.cpu().numpy()[index], images.widths.cpu().numpy()[index]
    largest = np.minimum(scales[1], np.minimum(heights, widths) / CROP_SIDE)
    smallest = np.minimum(scales[0], largest)
    scale = generator.uniform(smallest, largest)
    x0 = torch.from_numpy(generator.uniform(0, np.maximum(widths - CROP_SIDE * scale, 0)))
    y0 = torch.from_numpy(generator.uniform(0, np.maximum(heights - CROP_SIDE * scale, 0)))
    flip = torch.from_numpy(generator.random(len(index)) < 0.5)
    which, step = torch.from_numpy(index), torch.from_numpy(scale)
    return images.bilinear_crops(which, x0, y0, step, flip, CROP_SIDE)


def _ids(recipe: ClassificationRecipe, voc: VocYear) -> tuple[list[str], list[str]]:
    train_ids, test_ids = voc.ids(recipe.train_set), voc.ids(recipe.test_set)
    refuse_shared(train_ids, test_ids, (recipe.train_set, recipe.test_set))
    return train_ids, test_ids


def find_images(recipe: ClassificationRecipe, data: Path) -> dict[str, list[Path]]:
    """Photographs that `measure` would learn from and score."""
    voc = VocYear(data, recipe.year)
    train_ids, test_ids = _ids(recipe, voc)
    return {"train": photographs(voc, train_ids), "test": photographs(voc, test_ids)}


def measure(recipe: ClassificationRecipe, setting: Setting) -> Outcome:
    """Fine-tune on the train set, score 10 random crops of each test image."""
    voc = VocYear(setting.data, recipe.year)
    train_ids, test_ids = _ids(recipe, voc)
    data = _load(voc, recipe.train_set, train_ids, "reading train images")
    test = _load(voc, recipe.test_set, test_ids, "reading test images")
    if not (test.labels == 1).any():
        raise InputError(
            f"{recipe.test_set}: no image shows an object of any class; nothing to score"
        )
    generator = torch.Generator().manual_seed(torch_seed(setting.seed, "classifier"))
    network = CaffeNetClassifier(len(VOC_CLASSES), generator)
    logger.info(f"{setting.weights.name}: {load_trunk(network.trunk, setting.weights)}")
    program = Classification(network.to(setting.device), data, recipe, setting.seed, setting.device)
    fingerprint = _fingerprint(voc, data, test)
    train(
        program,
        setting.run,
        label="classification",
        steps=recipe.steps,
        seed=setting.seed,
        data_fingerprint=fingerprint,
        log_every=recipe.log_every,
        checkpoint_every=recipe.checkpoint_every,
    )
    scales = (recipe.min_scale, recipe.max_scale)
    scores = predict(network, test.images, recipe.test_crops, scales, setting)
    write_scores_csv(setting.run.path / "predictions.csv", test_ids, scores.sum(axis=0))
    all_crops = multilabel_scores(scores.sum(axis=0), test.labels)
    one_crop = multilabel_scores(scores[0], test.labels)
    _write_per_class(setting, all_crops)
    plot_curves(
        setting.run.metrics(), ["loss"], setting.run.path / "curves.png", title="classification"
    )
    values = {
        "mean_ap_sklearn": all_crops.mean_ap_sklearn,
        "mean_ap_voc07_11pt": all_crops.mean_ap_voc07_11pt,
        "mean_ap_area": all_crops.mean_ap_area,
        "mean_ap_sklearn_one_crop": one_crop.mean_ap_sklearn,
    }
    measurements = [
        Measurement(metric=metric, value=value, count=len(test_ids), column="classification")
        for metric, value in values.items()
    ]
    return Outcome(measurements=measurements, data_fingerprint=fingerprint)


def predict(
    network: CaffeNetClassifier,
    images: RaggedImages,
    crops: int,
    scales: tuple[float, float],
    setting: Setting,
) -> np.ndarray:
    """Raw scores of `crops` random crops per image, (crops, N, 20) float64.

    A crop is a function of the seed, the crop's number and the batch it falls into.
    """
    scores = np.empty((crops, len(images), len(VOC_CLASSES)))
    with torch.inference_mode(), progress("classification test", "crops") as report:
        for crop in range(crops):
            for start in range(0, len(images), TEST_BATCH):
                index = np.arange(start, min(start + TEST_BATCH, len(images)))
                generator = numpy_generator(setting.seed, "test-crop", crop, start)
                pixels = random_scale_crops(images, index, scales, generator)
                scores[crop, index] = network(preprocess(pixels)).cpu().numpy()
                report(crop * len(images) + int(index[-1]) + 1, crops * len(images))
    return scores


def _load(voc: VocYear, image_set: str, ids: list[str], label: str) -> LabelledImages:
    labels = voc.class_labels(image_set, ids)
    with progress(label, "images") as report:
        images = load_ragged(photographs(voc, ids), short_side=None, report=report)
    return LabelledImages(ids, images, labels)


def _fingerprint(voc: VocYear, data: LabelledImages, test: LabelledImages) -> str:
    """Hash of the images, their order in the lists, and the labels."""
    paths = photographs(voc, [*data.ids, *test.ids])
    digest = hashlib.sha256(fingerprint_files(paths, voc.root).encode())
    for part in (data, test):
        digest.update(" ".join(part.ids).encode() + part.labels.tobytes())
    return digest.hexdigest()


def _write_per_class(setting: Setting, scores: MultilabelScores) -> None:
    header = ("class", "positives", "ap_sklearn", "ap_voc07_11pt", "ap_area")
    columns = (scores.positives, scores.ap_sklearn, scores.ap_voc07_11pt, scores.ap_area)
    lines = zip(VOC_CLASSES, *columns, strict=True)
    write_csv(setting.run.path / "per_class.csv", header, lines)
