"""Frozen features: what linear classifiers and nearest neighbours see of an image.

Source: Goyal, Mahajan, Gupta, Misra, ICCV 2019 (arXiv:1905.01235), section 5.1, and
github.com/facebookresearch/fair_self_supervision_benchmark (configs and tools/svm).
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cebench.config import Precision
from cebench.data.central_crop import resized_and_cropped
from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.devices import autocast
from cebench.errors import InputError
from cebench.models.backbone import Backbone, LibraryCrop
from cebench.models.options import Averaging
from cebench.progress import progress
from cebench.weights.files import Preprocessing, Weights
from cebench.weights.loading import load_backbone

from .labelled_images import TrainAndTest, read_sets
from .options import FrozenFeaturesRecipe
from .run_context import RunContext

logger = logging.getLogger("cebench")

BATCH = 32


def read_images(recipe: FrozenFeaturesRecipe, run_context: RunContext) -> TrainAndTest:
    """`read_sets` by the recipe's geometry, of one data set only in a run directory.

    InputError where no crop of a library is known for the weights.
    """
    side = run_context.weights.sidecar.preprocessing.side
    if recipe.geometry == "library":
        crop = _library_crop(run_context.weights)
        logger.info(f"{run_context.weights.name}: as its library evaluates it: {crop}")
        to_square = partial(resized_and_cropped, side=side, **asdict(crop))
        sets = read_sets(recipe, run_context.data, square=side, to_square=to_square)
    elif recipe.geometry == "squash":
        sets = read_sets(recipe, run_context.data, recipe.short_side, square=side)
    else:
        sets = read_sets(recipe, run_context.data, max(recipe.short_side, side))
    run_context.run.check_data_fingerprint(sets.fingerprint)
    return sets


def layer_features(
    backbone: Backbone,
    preprocessing: Preprocessing,
    images: RaggedImages,
    layers: Sequence[str],
    averaging: Averaging,
    device: torch.device,
    precision: Precision,
    label: str,
) -> dict[str, np.ndarray]:
    """The layers of each image's central square, (N, D) float32 rows of length 1.

    images: short sides at least `preprocessing.side`. InputError if a value is not finite.
    """
    backbone.trunk.eval().to(device).to(memory_format=torch.channels_last)
    side, count = preprocessing.side, len(images)
    parts: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    with torch.inference_mode(), progress(label, "images") as report:
        for start in range(0, count, BATCH):
            index = torch.arange(start, min(start + BATCH, count))
            y0 = torch.div(images.heights[index] - side, 2, rounding_mode="floor")
            x0 = torch.div(images.widths[index] - side, 2, rounding_mode="floor")
            flip = torch.zeros(len(index), dtype=torch.bool)
            squares = images.integer_crops(index, y0, x0, flip, side, device)
            pixels = preprocessing(squares)
            with autocast(device, precision):
                found = backbone.layer_values(pixels, tuple(layers), averaging)
            for layer, values in found.items():
                # The benchmark's (svm_helper.py: normalize_features).
                lengths = values.norm(dim=1, keepdim=True) + 1e-5
                parts[layer].append((values / lengths).cpu())
            report(int(index[-1]) + 1, count)
    features = {layer: torch.cat(part).numpy() for layer, part in parts.items()}
    for layer, rows in features.items():
        if not np.isfinite(rows).all():
            raise InputError(
                f"layer {layer}: has values that are not finite; look at the weights and at the "
                "pixels that their sidecar asks for"
            )
    return features


def features_of_sets(
    backbone: Backbone,
    sets: TrainAndTest,
    layers: Sequence[str],
    recipe: FrozenFeaturesRecipe,
    run_context: RunContext,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """`layer_features` of the train set and of the test set."""
    preprocessing = run_context.weights.sidecar.preprocessing
    device, precision, averaging = run_context.device, recipe.precision, recipe.averaging
    train, test = (
        layer_features(
            backbone, preprocessing, part.images, layers, averaging, device, precision, label
        )
        for label, part in (("train features", sets.train), ("test features", sets.test))
    )
    return train, test


def check_features(recipe: FrozenFeaturesRecipe, layers: Sequence[str], weights: Weights) -> None:
    """InputError where the weights have no such layers, tokens, or crop of a library."""
    backbone, _ = load_backbone(weights, recipe.pooling)
    for layer in layers:
        if layer not in backbone.layer_names:
            known = ", ".join(backbone.layer_names)
            raise InputError(f"{weights.name}: has no layer {layer!r}; it has {known}")
    if recipe.geometry == "library":
        _library_crop(weights)


def _library_crop(weights: Weights) -> LibraryCrop:
    crop = weights.sidecar.preprocessing.library_crop
    if crop is None:
        raise InputError(
            f"{weights.name}: states no resizing and crop of a library; import it again as "
            'timm/NAME or torchvision/NAME, or leave geometry="library" out'
        )
    return crop


def predictions_file(folder: Path, name: str) -> Path:
    """The file of a layer's or a draw's scores in the run directory `folder`."""
    return folder / "predictions" / f"{name}.csv"


def learnable(labels: np.ndarray) -> list[int]:
    """Classes that `labels` (N, 20) has positives and negatives of; the others score 0."""
    both = (labels == 1).any(axis=0) & (labels == -1).any(axis=0)
    return [c for c in range(len(VOC_CLASSES)) if both[c]]
