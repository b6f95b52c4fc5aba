"""What segmentation leaves: label images, scores, a table of classes and pictures."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cebench.data.voc.devkit import SEGMENTATION_CLASSES
from cebench.data.voc.palette import voc_palette
from cebench.devices import Precision, autocast
from cebench.files import write_csv
from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.models.caffenet import preprocess
from cebench.progress import progress

from ..run_context import Measurement
from .data import LabelledImages, as_batch, margin_of
from .pictures import save_confusion, save_samples

logger = logging.getLogger("cebench")

NUM_CLASSES = len(SEGMENTATION_CLASSES)


@dataclass(frozen=True)
class Predictor:
    """Labels images with a network."""

    network: Callable[[Tensor], Tensor]
    """In evaluation mode: mean-subtracted images (1, 3, H, W) to raw scores (1, 21, H, W)."""
    mean: Sequence[float]
    """The mean pixel, RGB, 0..255."""
    device: torch.device
    precision: Precision = "fp32"
    size_multiple: int = 1
    """Images are padded to a multiple of so many pixels; the scores are cut again."""

    @torch.no_grad()
    def scores(self, image: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Raw scores (21, *shape) of an image (H, W, 3) uint8, resized bilinearly to `shape`."""
        height, width = image.shape[:2]
        pixels = preprocess(as_batch(image.to(self.device)), self.mean)
        pixels = F.pad(pixels, margin_of(pixels.shape, self.size_multiple))
        with autocast(self.device, self.precision):
            scores = self.network(pixels)
        scores = scores.float()[..., :height, :width]
        if scores.shape[-2:] != shape:
            scores = F.interpolate(scores, size=shape, mode="bilinear", align_corners=False)
        return scores[0]

    def labels(self, image: Tensor, shape: tuple[int, ...]) -> np.ndarray:
        """The likeliest class of every pixel, `shape` uint8, 0..20."""
        labels: np.ndarray = self.scores(image, shape).argmax(0).to(torch.uint8).cpu().numpy()
        return labels


def predict(predictor: Predictor, test: LabelledImages, folder: Path) -> np.ndarray:
    """Label the images, write each as `folder`/ID.png and compare it with the truth.

    Returns:
        (N, 21, 21) int64, the confusion matrix of each image, rows the true class.
    """
    folder.mkdir(exist_ok=True)
    confusions = np.zeros((len(test.labels), NUM_CLASSES, NUM_CLASSES), dtype=np.int64)
    with progress("segmentation test", "images") as report_progress:
        for index, truth in enumerate(test.labels):
            labels = predictor.labels(test.images.image(index), truth.shape)
            write_label_png(folder / f"{test.origin.ids[index]}.png", labels)
            confusions[index] = confusion_matrix(truth, labels, NUM_CLASSES)
            report_progress(index + 1, len(test.labels))
    return confusions


def write_label_png(path: Path, labels: np.ndarray) -> None:
    """Write (H, W) uint8 labels as a PNG with VOC's palette, as the devkit stores them."""
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    image.save(path, format="PNG")


def report(per_image: np.ndarray, test: LabelledImages, run: Path) -> list[Measurement]:
    """Score the set, say it beside no segmentation at all, write per_class.csv and pictures.

    Args:
        per_image: (N, 21, 21) confusion matrices.
        test: the images.
        run: the run directory, which holds the predictions.
    """
    confusion = per_image.sum(axis=0)
    all_background = np.zeros_like(confusion)
    all_background[:, 0] = confusion.sum(axis=1)
    scores = segmentation_scores(confusion)
    logger.info(
        f"{test.origin.name}: mean IoU {scores.mean_iou:.4f}; calling every pixel background "
        f"scores {segmentation_scores(all_background).mean_iou:.4f}"
    )
    columns = (confusion.sum(axis=1), scores.iou, scores.accuracy)
    lines = zip(SEGMENTATION_CLASSES, *columns, strict=True)
    write_csv(run / "per_class.csv", ("class", "pixels", "iou", "accuracy"), lines)
    save_samples(per_image, test, run)
    save_confusion(confusion, run / "confusion.png", test.origin.name)
    values = {
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_accuracy": scores.mean_accuracy,
        "frequency_weighted_iou": scores.frequency_weighted_iou,
    }
    return [
        Measurement(metric=metric, value=value, count=len(test.labels), column="segmentation")
        for metric, value in values.items()
    ]
