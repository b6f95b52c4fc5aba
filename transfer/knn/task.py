"""`knn`: the classes of an image by its nearest neighbours in a frozen layer, VOC2007.

Nothing is trained: number of neighbours and temperature are chosen on the train set.
Source: see `votes`.
"""

import logging

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.errors import InputError
from cebench.metrics.classification import classification_summary
from cebench.weights.files import Weights
from cebench.weights.loading import load_backbone

from ..frozen_features import check_features, read_images
from ..labelled_images import data_fingerprint, find_images
from ..linear_svm.report import scored_from
from ..run_context import Outcome, RunContext
from ..task import Task
from ..work import knn_work
from .data import cosines_of_layer
from .prediction import predict, store
from .recipe import KnnRecipe
from .report import COLUMN, measurements, write_report
from .votes import Choice, best_choice, leave_one_out

logger = logging.getLogger("cebench")


def check_weights(recipe: KnnRecipe, weights: Weights) -> None:
    """InputError where the weights have no such layer, tokens, or crop of a library."""
    check_features(recipe, (recipe.layer,), weights)


def measure(recipe: KnnRecipe, run_context: RunContext) -> Outcome:
    """Votes for each test image; they stand in predictions/<layer>.csv."""
    weights, folder = run_context.weights, run_context.run.path
    backbone, proof = load_backbone(weights, recipe.pooling)
    logger.info(f"{weights.name}: {proof}")
    sets = read_images(recipe, run_context)
    if len(sets.train.ids) < 2:
        raise InputError(f"{recipe.train_set}: leave-one-out needs two images; there is one")
    if max(recipe.neighbours) > len(sets.train.ids):
        logger.warning(
            f"neighbours={max(recipe.neighbours)}: {recipe.train_set} has {len(sets.train.ids)} "
            "images, and no more vote"
        )
    labels = sets.train.labels
    cosines, test_cosines = cosines_of_layer(backbone, sets, recipe, run_context)
    found = train(cosines, labels, recipe)
    chosen = best_choice(found)
    logger.info(f"{recipe.layer}: {chosen.neighbours} neighbours at {chosen.temperature:g}")
    scores = predict(test_cosines, labels, chosen)
    store(folder, recipe.layer, sets.test.ids, scores)
    summary = classification_summary(scores, sets.test.labels, VOC_CLASSES)
    write_report(folder, summary, found)
    return Outcome(
        measurements=measurements(summary, chosen, found, len(sets.train.ids)),
        scored_from=scored_from({COLUMN: scores}, sets.test),
        data_fingerprint=sets.fingerprint,
    )


def train(cosines: np.ndarray, labels: np.ndarray, recipe: KnnRecipe) -> dict[Choice, float]:
    """Leave-one-out scores of each choice; cosines: (N, N), labels: (N, 20)."""
    return leave_one_out(cosines, labels, recipe.neighbours, recipe.temperatures)


TASK = Task(
    find_images=find_images,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    work=knn_work,
    table="knn",
    protocol="voc-knn",
    protocol_version=1,
    any_backbone=True,
)
