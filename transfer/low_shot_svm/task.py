"""`low-shot-svm`: linear classifiers from 1 to 96 positives per class, on one frozen layer.

Source: see `frozen_features`; the draws are those of create_voc_low_shot_samples.py.
"""

import logging
from collections.abc import Sequence

import numpy as np
from sklearn.svm import LinearSVC

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.weighted_average_precision import DEFINITIONS
from cebench.progress import progress
from cebench.weights.loading import load_backbone

from ..frozen_features import best_cost, check_layers, cross_validated_scores, fit_svm
from ..labelled_images import find_images, read_sets
from ..run_context import Outcome, RunContext
from ..task import Task
from .data import features_of_layer, sample_draws
from .prediction import finished, predict, store, stored
from .recipe import LowShotSvmRecipe
from .report import measurements, scored_from, write_draws

logger = logging.getLogger("cebench")


def measure(recipe: LowShotSvmRecipe, run_context: RunContext) -> Outcome:
    """SVMs from few images; finished ones stand in predictions/<shots>-shot-draw-<draw>.csv."""
    weights, folder = run_context.weights, run_context.run.path
    backbone, proof = load_backbone(weights)
    logger.info(f"{weights.name}: {proof}")
    check_layers([recipe.layer], backbone, weights.name)
    side = max(recipe.short_side, weights.sidecar.preprocessing.side)
    sets = read_sets(recipe, run_context.data, side)
    run_context.run.check_data_fingerprint(sets.fingerprint)
    _warn_of_few_positives(recipe, sets.train.labels)
    missing = [shots for shots in recipe.shots if not finished(folder, shots, recipe.draws)]
    if missing:
        train_features, test_features = features_of_layer(backbone, sets, recipe, run_context)
        with progress("low-shot SVMs", "numbers of shots") as report:
            for done, shots in enumerate(missing, start=1):
                svms = train(train_features, sets.train.labels, shots, recipe, run_context.seed)
                scores = predict(svms, test_features, recipe.draws)
                store(folder, shots, sets.test.ids, scores)
                report(done, len(missing))
    of_shots = {shots: stored(folder, shots, recipe.draws, sets.test.ids) for shots in recipe.shots}
    values = {shots: _score(draws, sets.test.labels) for shots, draws in of_shots.items()}
    write_draws(folder / "draws.csv", values)
    return Outcome(
        measurements=list(measurements(values, len(sets.test.ids))),
        scored_from=scored_from(of_shots, sets.test),
        data_fingerprint=sets.fingerprint,
    )


def train(
    features: np.ndarray, labels: np.ndarray, shots: int, recipe: LowShotSvmRecipe, seed: int
) -> dict[tuple[int, int], LinearSVC]:
    """(draw, class) -> its SVM. features: (N, K); labels: (N, 20).

    One cost for all classes and draws: the best by cross-validation on the drawn images (the
    benchmark itself takes the cost that is best on the test set).
    """
    drawn = sample_draws(labels, shots, recipe.draws, seed)
    found = [
        cross_validated_scores(features[index], labels[index, c], recipe.costs, recipe.folds)
        for (_, c), index in drawn.items()
    ]
    defined = [scores for scores in found if not np.isnan(scores).any()]
    mean = np.mean(defined, axis=0) if defined else np.full(len(recipe.costs), np.nan)
    cost = best_cost(recipe.costs, mean)
    logger.info(f"{shots} shots: cost {cost:.2g}")
    return {
        (draw, c): fit_svm(features[index], labels[index, c], cost)
        for (draw, c), index in drawn.items()
    }


def _score(draws: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, list[float]]:
    """Definition -> the mean average precision of each draw's scores (M, 20)."""
    found = [multilabel_scores(scores, labels) for scores in draws]
    return {name: [getattr(s, f"mean_ap_{name}") for s in found] for name in DEFINITIONS}


def _warn_of_few_positives(recipe: LowShotSvmRecipe, labels: np.ndarray) -> None:
    positives = (labels == 1).sum(axis=0)
    few = [f"{c} {n}" for c, n in zip(VOC_CLASSES, positives, strict=True) if n < max(recipe.shots)]
    if few:
        logger.warning(
            f"{recipe.train_set}: fewer than {max(recipe.shots)} positives of {', '.join(few)}; "
            "all of them are taken"
        )


TASK = Task(
    recipe=LowShotSvmRecipe,
    find_images=find_images,
    measure=measure,
    table="low-shot",
    protocol="voc-low-shot-svm",
    protocol_version=2,
    any_backbone=True,
)
