"""`linear-svm`: linear classifiers on the frozen layers of a backbone, VOC2007.

Nothing is fine-tuned: what is measured is how much a linear classifier finds in conv1 .. pool5.
Source: see `frozen_features`.
"""

import logging
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv
from cebench.metrics.classification import classification_summary
from cebench.progress import progress
from cebench.training.options import PrecisionOptions
from cebench.weights.files import load_backbone

from ..run_context import Measurement, Outcome, RunContext
from .data import ImageSetsRecipe, TrainAndTest, find_images, read_sets
from .frozen_features import (
    COSTS,
    AllDifferent,
    best_cost,
    check_layers,
    cross_validated_scores,
    layer_features,
    learnable,
    project_onto_train_span,
    svm_scores,
)
from .report import measurements, write_per_class

__all__ = ["LinearSvmRecipe", "find_images", "measure"]

logger = logging.getLogger("cebench")


class LinearSvmRecipe(ImageSetsRecipe, PrecisionOptions):
    """Which layers, and how the SVMs are chosen (protocol ledger: linear classification)."""

    layers: Annotated[tuple[str, ...], AllDifferent] = ()
    """Of the backbone, such as conv4; all that it has if empty."""
    short_side: PositiveInt = 256
    """Images are resized to this shorter side; their central square is what the network sees."""
    costs: Annotated[tuple[PositiveFloat, ...], AllDifferent] = Field(COSTS, min_length=1)
    """From which each class takes its own, by cross-validation on the train set."""
    folds: int = Field(3, ge=2)
    """Of the cross-validation."""


def measure(recipe: LinearSvmRecipe, run_context: RunContext) -> Outcome:
    """An SVM per class and layer; a finished layer stands in predictions/<layer>.csv."""
    backbone, proof = load_backbone(run_context.weights)
    logger.info(f"{run_context.weights.name}: {proof}")
    layers = recipe.layers or backbone.layer_names
    check_layers(layers, backbone, run_context.weights.name)
    preprocessing = run_context.weights.sidecar.preprocessing
    sets = read_sets(recipe, run_context.data, max(recipe.short_side, preprocessing.side))
    run_context.run.check_data_fingerprint(sets.fingerprint)
    folder = run_context.run.path / "predictions"
    missing = [layer for layer in layers if not (folder / f"{layer}.csv").exists()]
    if missing:
        train, test = (
            layer_features(
                backbone,
                preprocessing,
                part.images,
                missing,
                run_context.device,
                recipe.precision,
                name,
            )
            for name, part in (("train features", sets.train), ("test features", sets.test))
        )
        for layer in missing:
            features = project_onto_train_span(train.pop(layer), test.pop(layer))
            scores = _scores(features, sets.train.labels, recipe, layer)
            write_scores_csv(folder / f"{layer}.csv", sets.test.ids, scores)
    found = {layer: _scored(folder / f"{layer}.csv", sets, layer) for layer in layers}
    write_per_class(run_context.run.path / "per_class.csv", {f"_{k}": v for k, v in found.items()})
    return Outcome(
        measurements=[m for layer in layers for m in _measured(layer, found[layer])],
        data_fingerprint=sets.fingerprint,
    )


def _scores(
    features: tuple[np.ndarray, np.ndarray], labels: np.ndarray, recipe: LinearSvmRecipe, layer: str
) -> np.ndarray:
    """(M, 20) scores of the test features; images that a class ignores do not train it."""
    train, test = features
    scores, costs = np.zeros((len(test), len(VOC_CLASSES))), {}
    classes = learnable(labels)
    with progress(f"SVMs on {layer}", "classes") as report:
        for done, c in enumerate(classes, start=1):
            counted = labels[:, c] != 0
            part, signs = train[counted], labels[counted, c]
            found = cross_validated_scores(part, signs, recipe.costs, recipe.folds)
            cost = best_cost(recipe.costs, found)
            scores[:, c], costs[VOC_CLASSES[c]] = svm_scores(part, signs, test, cost), cost
            report(done, len(classes))
    chosen = ", ".join(f"{name} {cost:.2g}" for name, cost in costs.items())
    logger.info(f"{layer}: costs chosen by cross-validation: {chosen}")
    return scores


def _scored(path: Path, sets: TrainAndTest, layer: str) -> dict[str, Any]:
    scores = read_scores_csv(path, sets.test.ids)
    summary = classification_summary(scores, sets.test.labels, VOC_CLASSES)
    logger.info(f"{layer}: mean_ap_area {summary['mean_ap_area']:.4f}")
    return summary


def _measured(layer: str, summary: dict[str, Any]) -> list[Measurement]:
    return measurements({"": summary}, layer, summary["images"])
