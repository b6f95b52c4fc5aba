"""`knn`: the classes of an image by its nearest neighbours in a frozen layer, VOC2007.

Nothing is trained: number of neighbours and temperature are chosen on the train set.
Source: see `votes`.
"""

import logging

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import write_scores_csv
from cebench.errors import InputError
from cebench.metrics.classification import classification_summary
from cebench.weights.loading import load_backbone

from ..frozen_features import check_layers, features_of_sets, predictions_file, read_squares
from ..labelled_images import TrainAndTest, find_images
from ..run_context import Outcome, RunContext
from ..task import Task
from .recipe import KnnRecipe
from .report import measurements, write_report
from .votes import Choice, best_choice, leave_one_out, votes

logger = logging.getLogger("cebench")


def measure(recipe: KnnRecipe, run_context: RunContext) -> Outcome:
    """Votes for each test image; they stand in predictions/<layer>.csv."""
    weights, folder = run_context.weights, run_context.run.path
    backbone, proof = load_backbone(weights)
    logger.info(f"{weights.name}: {proof}")
    check_layers([recipe.layer], backbone, weights.name)
    sets = read_squares(recipe, run_context)
    if len(sets.train.ids) < 2:
        raise InputError(f"{recipe.train_set}: leave-one-out needs two images; there is one")
    train, test = features_of_sets(backbone, sets, [recipe.layer], recipe, run_context)
    scores, chosen, found = predict(train[recipe.layer], test[recipe.layer], sets, recipe)
    write_scores_csv(predictions_file(folder, recipe.layer), sets.test.ids, scores)
    summary = classification_summary(scores, sets.test.labels, VOC_CLASSES)
    write_report(folder, summary, found)
    return Outcome(
        measurements=measurements(summary, chosen, found, len(sets.train.ids)),
        data_fingerprint=sets.fingerprint,
    )


def predict(
    train: np.ndarray, test: np.ndarray, sets: TrainAndTest, recipe: KnnRecipe
) -> tuple[np.ndarray, Choice, dict[Choice, float]]:
    """(M, 20) votes, how they were cast, and leave-one-out of all that there was to choose from.

    train: (N, D) and test: (M, D), rows of length 1.
    """
    labels = sets.train.labels
    found = leave_one_out(train @ train.T, labels, recipe.neighbours, recipe.temperatures)
    chosen = best_choice(found)
    logger.info(
        f"{chosen.neighbours} neighbours at temperature {chosen.temperature:g}: "
        f"{found[chosen]:.4f} by leave-one-out on the train set"
    )
    (scores,) = votes(test @ train.T, labels, [chosen.neighbours], chosen.temperature)
    return scores, chosen, found


TASK = Task(
    recipe=KnnRecipe,
    find_images=find_images,
    measure=measure,
    table="knn",
    protocol="voc-knn",
    protocol_version=1,
    any_backbone=True,
)
