"""`segmentation`: FCN-32s on a VOC segmentation set, the third column of Table 2.

Protocol: shelhamer/fcn.berkeleyvision.org, voc-fcn-alexnet (net.py, solver.prototxt, score.py).
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.config import Recipe
from cebench.data.images import read_image, read_label_image
from cebench.data.voc import SEGMENTATION_CLASSES, voc_palette
from cebench.files import write_csv
from cebench.metrics.segmentation import (
    SegmentationScores,
    confusion_matrix,
    segmentation_scores,
)
from cebench.models.caffenet import preprocess
from cebench.models.fcn import FCN32s, segmentation_cross_entropy
from cebench.models.parameter_groups import caffe_parameter_groups
from cebench.pictures import plot_curves, save_sheet
from cebench.progress import progress
from cebench.randomness import numpy_generator, torch_seed
from cebench.training import require_finite, train
from cebench.weights import load_trunk

from .segmentation_data import (
    LabelledImages,
    SegmentationSet,
    TrainData,
    find_sets,
    fingerprint,
    load,
)
from .setting import Measurement, Outcome, Setting

logger = logging.getLogger("cebench")

NUM_CLASSES = len(SEGMENTATION_CLASSES)


class SegmentationRecipe(Recipe):
    """How FCN-32s is fine-tuned and scored (protocol ledger: segmentation)."""

    year: int = 2012
    """VOC year."""
    train_data: TrainData = "voc"
    """`voc`, or `sbd` for the Semantic Boundaries Dataset (benchmark_RELEASE), as in the paper."""
    train_set: str = "train"
    """Image set that is learned from, or the path of a list."""
    test_set: str = "val"
    """VOC image set that is scored, or the path of a list; seg11valid in the paper."""
    test_images: NonNegativeInt = 0
    """Images of the test set that are scored, evenly spaced in its list; 0: all."""
    short_side: NonNegativeInt = 0
    """Pixels of the shorter side that the network sees; 0: images as stored, as in the original.
    Labels are scored at their own size always."""
    steps: PositiveInt
    """Optimizer steps."""
    accumulate: PositiveInt = 20
    """Images per step, each in a pass of its own; the step takes the mean gradient."""
    learning_rate: PositiveFloat = 1e-4
    """Of SGD, constant; the score layer's bias learns twice as fast."""
    momentum: NonNegativeFloat = 0.9
    """Of SGD."""
    weight_decay: NonNegativeFloat = 5e-4
    """Of all weights and biases but the score layer's bias."""


class Segmentation:
    """Fine-tunes all layers, one image at a time."""

    def __init__(
        self,
        network: FCN32s,
        data: LabelledImages,
        recipe: SegmentationRecipe,
        mean: Sequence[float],
        seed: int,
        device: torch.device,
    ) -> None:
        self.network, self.mean, self.seed = network, mean, seed
        self.images = data.images.to(device)
        self.labels = [labels.to(device) for labels in data.labels_as_seen()]
        self.accumulate = recipe.accumulate
        self.sgd = torch.optim.SGD(
            _parameter_groups(network, recipe.learning_rate, recipe.weight_decay),
            momentum=recipe.momentum,
            fused=True,
        )
        self.modules: dict[str, nn.Module] = {"network": network}
        self.optimizers: dict[str, Optimizer] = {"sgd": self.sgd}

    def batch(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Images (1, 3, H, W) uint8 and labels (1, H, W), drawn uniformly with replacement."""
        generator = numpy_generator(self.seed, "images", step)
        drawn = generator.integers(len(self.images), size=self.accumulate).tolist()
        return [(as_batch(self.images.image(i)), self.labels[i].unsqueeze(0)) for i in drawn]

    def update(self, step: int, batch: list[tuple[Tensor, Tensor]]) -> Mapping[str, Tensor]:
        """One SGD step on the mean over the images of the loss per labelled pixel."""
        self.sgd.zero_grad(set_to_none=True)
        losses = []
        for image, labels in batch:
            scores = self.network(preprocess(image, self.mean))
            loss = segmentation_cross_entropy(scores, labels) / len(batch)
            loss.backward()
            losses.append(loss.detach())
        mean_loss = torch.stack(losses).sum()
        require_finite(step, loss=mean_loss)
        self.sgd.step()
        return {"loss": mean_loss}


def as_batch(image: Tensor) -> Tensor:
    """(H, W, 3) to (1, 3, H, W), a view."""
    return image.permute(2, 0, 1).unsqueeze(0)


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
    train_part, test_part = _sets(recipe, data)
    return {"train": train_part.photographs(), "test": test_part.photographs()}


def measure(recipe: SegmentationRecipe, setting: Setting) -> Outcome:
    """Fine-tune on the train set, label every pixel of the test images, score."""
    sets = _sets(recipe, setting.data)
    data_fingerprint = fingerprint(*sets)
    data, test = (load(part, recipe.short_side) for part in sets)
    generator = torch.Generator().manual_seed(torch_seed(setting.seed, "fcn"))
    network = FCN32s(NUM_CLASSES, generator)
    logger.info(f"{setting.weights.name}: {load_trunk(network.trunk, setting.weights)}")
    mean = setting.weights.sidecar.preprocessing.mean_rgb
    program = Segmentation(
        network.to(setting.device), data, recipe, mean, setting.seed, setting.device
    )
    train(
        program,
        setting.run,
        label="segmentation",
        steps=recipe.steps,
        seed=setting.seed,
        data_fingerprint=data_fingerprint,
        log_every=recipe.log_every,
        checkpoint_every=recipe.checkpoint_every,
    )
    plot_curves(
        setting.run.metrics(), ["loss"], setting.run.path / "curves.png", title="segmentation"
    )
    per_image = predict(network, test, mean, setting.device, setting.run.path / "predictions")
    scores = _score(per_image, test.origin.name, setting.run.path / "per_class.csv")
    save_samples(per_image, test, setting.run.path)
    values = {
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
        "frequency_weighted_iou": scores.frequency_weighted_iou,
    }
    measurements = [
        Measurement(metric=metric, value=value, count=len(test.labels), column="segmentation")
        for metric, value in values.items()
    ]
    return Outcome(measurements=measurements, data_fingerprint=data_fingerprint)


def predict(
    network: FCN32s,
    test: LabelledImages,
    mean: Sequence[float],
    device: torch.device,
    folder: Path,
) -> np.ndarray:
    """Label the images, write each as `folder`/ID.png and compare it with the truth.

    Returns:
        (N, 21, 21) int64, the confusion matrix of each image, rows the true class.
    """
    folder.mkdir(exist_ok=True)
    confusions = np.zeros((len(test.labels), NUM_CLASSES, NUM_CLASSES), dtype=np.int64)
    with progress("segmentation test", "images") as report:
        for index, truth in enumerate(test.labels):
            image = test.images.image(index).to(device)
            labels = label_image(network, image, mean, truth.shape)
            write_label_png(folder / f"{test.origin.ids[index]}.png", labels)
            confusions[index] = confusion_matrix(truth, labels, NUM_CLASSES)
            report(index + 1, len(test.labels))
    return confusions


def label_image(
    network: FCN32s, image: Tensor, mean: Sequence[float], shape: tuple[int, ...]
) -> np.ndarray:
    """The likeliest class of every pixel.

    Args:
        network: in evaluation mode.
        image: (H, W, 3) uint8 RGB.
        mean: the mean pixel, RGB, 0..255.
        shape: height and width of the result; scores of another size are resized bilinearly.

    Returns:
        (height, width) uint8, 0..20.
    """
    with torch.inference_mode():
        scores = network(preprocess(as_batch(image), mean))
        if scores.shape[-2:] != shape:
            scores = F.interpolate(scores, size=shape, mode="bilinear", align_corners=False)
        labels: np.ndarray = scores[0].argmax(0).to(torch.uint8).cpu().numpy()
    return labels


def write_label_png(path: Path, labels: np.ndarray) -> None:
    """Write (H, W) uint8 labels as a PNG with VOC's palette, as the devkit stores them."""
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    image.save(path, format="PNG")


def save_samples(per_image: np.ndarray, test: LabelledImages, run: Path) -> None:
    """Image, truth and prediction in VOC's colours for the best, median and worst image.

    Args:
        per_image: (N, 21, 21) confusion matrices; images rank by their mean IoU.
        test: the images.
        run: the run directory, which holds the predictions.
    """
    ious = np.array([segmentation_scores(confusion).mean_iou for confusion in per_image])
    ranked = [int(index) for index in np.argsort(-ious, kind="stable") if np.isfinite(ious[index])]
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    palette, ids, photographs = voc_palette(), test.origin.ids, test.origin.photographs()
    predictions = [run / "predictions" / f"{ids[index]}.png" for index in chosen.values()]
    (run / "samples").mkdir(exist_ok=True)
    save_sheet(
        {
            "image": [read_image(photographs[index]) for index in chosen.values()],
            "truth": [palette[test.labels[index]] for index in chosen.values()],
            "prediction": [palette[read_label_image(path)] for path in predictions],
        },
        run / "samples" / "segmentation.png",
        [
            f"{name}: {ids[index]}, mean IoU {ious[index]:.3f}, {_classes_of(per_image[index])}"
            for name, index in chosen.items()
        ],
    )


def _classes_of(confusion: np.ndarray) -> str:
    return ", ".join(SEGMENTATION_CLASSES[c] for c in np.flatnonzero(confusion.sum(axis=1)))


def _parameter_groups(
    network: FCN32s, learning_rate: float, weight_decay: float
) -> list[dict[str, object]]:
    """The original gives a bias twice the rate and no decay in its score layer only."""
    score_layer = network.score_fr
    others = [p for name, p in network.named_parameters() if not name.startswith("score_fr")]
    return [
        {"params": others, "lr": learning_rate, "weight_decay": weight_decay},
        *caffe_parameter_groups(
            score_layer.named_parameters(), learning_rate, weight_decay, decay_biases=False
        ),
    ]


def _score(per_image: np.ndarray, name: str, per_class: Path) -> SegmentationScores:
    """Scores of the whole set `name`, said beside those of no segmentation at all."""
    confusion = per_image.sum(axis=0)
    all_background = np.zeros_like(confusion)
    all_background[:, 0] = confusion.sum(axis=1)
    scores = segmentation_scores(confusion)
    logger.info(
        f"{name}: mean IoU {scores.mean_iou:.4f}; calling every pixel background scores "
        f"{segmentation_scores(all_background).mean_iou:.4f}"
    )
    columns = (confusion.sum(axis=1), scores.iou, scores.accuracy)
    lines = zip(SEGMENTATION_CLASSES, *columns, strict=True)
    write_csv(per_class, ("class", "pixels", "iou", "accuracy"), lines)
    return scores
