"""`linear-svm`: linear classifiers on the frozen layers of a backbone, VOC2007.

Nothing is fine-tuned: what is measured is how much a linear classifier finds in conv1 .. pool5.
Source: see `frozen_features`.
"""

import logging

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.metrics.classification import classification_summary
from cebench.progress import progress
from cebench.weights.files import Weights
from cebench.weights.loading import load_backbone

from ..frozen_features import check_features, learnable, predictions_file, read_images
from ..kernel_svm import TrainSpan
from ..labelled_images import data_fingerprint, find_images
from ..run_context import Outcome, RunContext
from ..support_vectors import Svms, best_cost, cross_validated_scores
from ..task import Task
from ..work import linear_svm_work
from .data import layers_of_sets
from .prediction import predict, store, stored
from .recipe import LinearSvmRecipe
from .report import measurements, scored_from, write_report

logger = logging.getLogger("cebench")


def check_weights(recipe: LinearSvmRecipe, weights: Weights) -> None:
    """InputError where the weights have no such layer, tokens, or crop of a library."""
    check_features(recipe, recipe.layers, weights)


def measure(recipe: LinearSvmRecipe, run_context: RunContext) -> Outcome:
    """An SVM per class and layer; a finished layer stands in predictions/<layer>.csv."""
    weights, folder = run_context.weights, run_context.run.path
    backbone, proof = load_backbone(weights, recipe.pooling)
    logger.info(f"{weights.name}: {proof}")
    layers = recipe.layers or backbone.layer_names
    sets = read_images(recipe, run_context)
    missing = [layer for layer in layers if not predictions_file(folder, layer).exists()]
    of_layers = layers_of_sets(backbone, sets, missing, recipe, run_context)
    with progress("SVMs", "layers") as report:
        for done, (layer, gram, test_gram) in enumerate(of_layers, start=1):
            svms = train(gram, sets.train.labels, recipe, layer)
            store(folder, layer, sets.test.ids, predict(*svms, test_gram))
            report(done, len(missing))
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
    gram: np.ndarray, labels: np.ndarray, recipe: LinearSvmRecipe, layer: str
) -> tuple[list[int], Svms]:
    """The classes that can be learned and their SVMs, each with its own cost.

    gram: (N, N) inner products; labels: (N, 20).
    """
    classes = learnable(labels)
    signs = labels[:, classes]
    if recipe.difficult == "absent":
        signs = np.where(signs == 1, 1, -1)
    span = TrainSpan.of(gram)
    found = cross_validated_scores(span, signs, recipe.costs, recipe.folds)
    chosen = [best_cost(recipe.costs, of_class) for of_class in found.T]
    said = ", ".join(
        f"{VOC_CLASSES[c]} {cost:.2g}" for c, cost in zip(classes, chosen, strict=True)
    )
    logger.info(f"{layer}: costs chosen by cross-validation: {said}")
    return classes, Svms.of(span, signs, np.array(chosen))


TASK = Task(
    find_images=find_images,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    work=linear_svm_work,
    table="linear",
    protocol="voc-linear-svm",
    protocol_version=3,
    any_backbone=True,
)
