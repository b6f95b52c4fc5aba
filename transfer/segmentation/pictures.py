"""Pictures of a segmentation: images beside truth and prediction, and the confusion matrix."""

from pathlib import Path

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from cebench.data.images import read_image
from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOID_LABEL
from cebench.data.voc.label_images import read_label_image
from cebench.data.voc.palette import voc_palette
from cebench.metrics.segmentation import segmentation_scores
from cebench.plots.figures import save_figure
from cebench.plots.sheets import best_median_worst, enlarged, save_sheet

from .data import SegmentationImages

PICTURED_IMAGES = 9
SHOWN_SIDE = 400
"""Smaller images are enlarged to about this many pixels, so that their classes can be made out."""
_LINE, _SWATCH = 18, 12
_SMOOTH, _SHARP = Image.Resampling.BICUBIC, Image.Resampling.NEAREST


def save_samples(per_image: np.ndarray, test: SegmentationImages, run: Path) -> None:
    """Image, truth and prediction in VOC's colours for the best, median and worst images.

    Args:
        per_image: (N, 21, 21) confusion matrices; images rank by their mean IoU.
        test: the images.
        run: the run directory, which holds the predictions.
    """
    ious = np.array([segmentation_scores(confusion).mean_iou for confusion in per_image])
    palette, ids, photographs = voc_palette(), test.origin.ids, test.origin.photographs()
    chosen = best_median_worst(ious, PICTURED_IMAGES)
    guesses = [read_label_image(run / "predictions" / f"{ids[i]}.png") for _, i in chosen]
    truths = [test.labels[i] for _, i in chosen]
    (run / "samples").mkdir(exist_ok=True)
    save_sheet(
        {
            "image": [
                enlarged(read_image(photographs[i], upright=False), SHOWN_SIDE, _SMOOTH)
                for _, i in chosen
            ],
            "truth": [enlarged(palette[truth], SHOWN_SIDE, _SHARP) for truth in truths],
            "prediction": [enlarged(palette[guess], SHOWN_SIDE, _SHARP) for guess in guesses],
            "share of truth, prediction": [
                legend(*pair) for pair in zip(truths, guesses, strict=True)
            ],
        },
        run / "samples" / "segmentation.png",
        [f"{name}: {ids[i]}, mean IoU {ious[i]:.3f}" for name, i in chosen],
    )


def legend(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The colours and names of the classes in two label images, (H, W, 3) uint8.

    Each line says in how much of the image the class is: truth, then prediction, in percent.
    """
    pair = (truth, prediction)
    shares = [np.bincount(labels.ravel(), minlength=256) / labels.size for labels in pair]
    present = np.flatnonzero(shares[0] + shares[1]).tolist()
    font, palette = ImageFont.load_default(12), voc_palette()
    sheet = Image.new("RGB", (190, _LINE * len(present)), "white")
    draw = ImageDraw.Draw(sheet)
    for line, label in enumerate(present):
        y = line * _LINE + 2
        name = "void" if label == VOID_LABEL else SEGMENTATION_CLASSES[label]
        colour = tuple(palette[label].tolist())
        draw.rectangle((0, y, _SWATCH, y + _SWATCH), fill=colour, outline="black")
        draw.text((_SWATCH + 6, y - 1), name, fill="black", font=font)
        percent = " ".join(f"{100 * share[label]:4.0f}" for share in shares)
        draw.text((188, y - 1), f"{percent} %", fill="black", font=font, anchor="ra")
    return np.asarray(sheet)


def save_confusion(confusion: np.ndarray, path: Path, title: str) -> None:
    """Write a PNG: of each true class's pixels (a row), the percentage called each class.

    Args:
        confusion: (21, 21) counts of pixels, rows the true class.
        path: the picture.
        title: name of the image set.
    """
    pixels = confusion.sum(axis=1, keepdims=True)
    shares = np.divide(confusion, pixels, out=np.zeros(confusion.shape), where=pixels > 0)
    figure = Figure(figsize=(9.5, 8.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        colour = "white" if share > 0.4 else "black"
        text = f"{100 * share:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    places = range(len(SEGMENTATION_CLASSES))
    names = [
        name if count else f"({name})"
        for name, count in zip(SEGMENTATION_CLASSES, pixels[:, 0], strict=True)
    ]
    axes.set_xticks(places, SEGMENTATION_CLASSES, rotation=60, ha="right", fontsize=9)
    axes.set_yticks(places, names, fontsize=9)
    missing = "" if pixels.all() else " (in brackets: not in the set)"
    axes.set(xlabel="predicted", ylabel=f"true{missing}")
    axes.set_title(f"{title}: where each class's pixels went (%)")
    save_figure(figure, path)
