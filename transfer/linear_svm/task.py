"""`linear-svm`: linear classifiers on the frozen layers of a backbone, VOC2007.

Nothing is fine-tuned: what is measured is how much a linear classifier finds in conv1 .. pool5.
Source: see `frozen_features`.
"""

import logging

import numpy as np
from sklearn.svm import LinearSVC

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.metrics.classification import classification_summary
from cebench.progress import progress
from cebench.weights.loading import load_backbone

from ..frozen_features import best_cost, check_layers, cross_validated_scores, fit_svm, learnable
from ..labelled_images import find_images, read_sets
from ..run_context import Outcome, RunContext
from ..task import Task
from .data import layers_of_sets
from .prediction import predict, predictions_file, store, stored
from .recipe import LinearSvmRecipe
from .report import measurements, scored_from, write_report

logger = logging.getLogger("cebench")


def measure(recipe: LinearSvmRecipe, run_context: RunContext) -> Outcome:
    """An SVM per class and layer; a finished layer stands in predictions/<layer>.csv."""
    weights, folder = run_context.weights, run_context.run.path
    backbone, proof = load_backbone(weights)
    logger.info(f"{weights.name}: {proof}")
    layers = recipe.layers or backbone.layer_names
    check_layers(layers, backbone, weights.name)
    side = max(recipe.short_side, weights.sidecar.preprocessing.side)
    sets = read_sets(recipe, run_context.data, side)
    run_context.run.check_data_fingerprint(sets.fingerprint)
    missing = [layer for layer in layers if not predictions_file(folder, layer).exists()]
    for layer, train_features, test_features in layers_of_sets(
        backbone, sets, missing, recipe, run_context
    ):
        svms = train(train_features, sets.train.labels, recipe, layer)
        store(folder, layer, sets.test.ids, predict(svms, test_features))
    scores = stored(folder, layers, sets.test.ids)
    summaries = {
        layer: classification_summary(of_layer, sets.test.labels, VOC_CLASSES)
        for layer, of_layer in scores.items()
    }
    for layer, summary in summaries.items():
        logger.info(f"{layer}: mean_ap_area {summary['mean_ap_area']:.4f}")
    write_report(folder, summaries)
    return Outcome(
        measurements=measurements(summaries),
        scored_from=scored_from(scores, sets.test),
        data_fingerprint=sets.fingerprint,
    )


def train(
    features: np.ndarray, labels: np.ndarray, recipe: LinearSvmRecipe, layer: str
) -> dict[int, LinearSVC]:
    """The SVM of each class that can be learned, with its own cost by cross-validation.

    Images that a class ignores do not train it. features: (N, K); labels: (N, 20).
    """
    svms, costs = {}, {}
    classes = learnable(labels)
    with progress(f"SVMs on {layer}", "classes") as report:
        for done, c in enumerate(classes, start=1):
            counted = labels[:, c] != 0
            part, signs = features[counted], labels[counted, c]
            found = cross_validated_scores(part, signs, recipe.costs, recipe.folds)
            costs[VOC_CLASSES[c]] = best_cost(recipe.costs, found)
            svms[c] = fit_svm(part, signs, costs[VOC_CLASSES[c]])
            report(done, len(classes))
    chosen = ", ".join(f"{name} {cost:.2g}" for name, cost in costs.items())
    logger.info(f"{layer}: costs chosen by cross-validation: {chosen}")
    return svms


TASK = Task(
    recipe=LinearSvmRecipe,
    find_images=find_images,
    measure=measure,
    table="linear",
    protocol="voc-linear-svm",
    protocol_version=2,
    any_backbone=True,
)
