"""`low-shot-svm`: linear classifiers from 1 to 96 positives per class, on one frozen layer.

Source: see `frozen_features`; the draws are those of create_voc_low_shot_samples.py.
"""

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.errors import InputError
from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.weighted_average_precision import DEFINITIONS
from cebench.progress import progress
from cebench.weights.files import Weights
from cebench.weights.loading import load_backbone

from ..frozen_features import check_features, learnable, read_images
from ..kernel_svm import TrainSpan
from ..labelled_images import data_fingerprint, find_images
from ..run_context import Outcome, RunContext
from ..support_vectors import Svms, best_cost, cross_validated_scores
from ..task import Task
from ..work import low_shot_svm_work
from .data import Drawn, products_of_layer, sample_draws
from .prediction import DrawnSvms, finished, predict, store, stored
from .recipe import LowShotSvmRecipe
from .report import measurements, scored_from, write_draws

logger = logging.getLogger("cebench")


def check_weights(recipe: LowShotSvmRecipe, weights: Weights) -> None:
    """InputError where the weights have no such layer, tokens, or crop of a library."""
    check_features(recipe, (recipe.layer,), weights)


def measure(recipe: LowShotSvmRecipe, run_context: RunContext) -> Outcome:
    """SVMs from few images; finished ones stand in predictions/<shots>-shot-draw-<draw>.csv."""
    weights, folder = run_context.weights, run_context.run.path
    backbone, proof = load_backbone(weights, recipe.pooling)
    logger.info(f"{weights.name}: {proof}")
    sets = read_images(recipe, run_context)
    _check_positives(recipe, sets.train.labels)
    missing = [shots for shots in recipe.shots if not finished(folder, shots, recipe.draws)]
    if missing:
        gram, test_gram = products_of_layer(backbone, sets, recipe, run_context)
        with progress("low-shot SVMs", "numbers of shots") as report:
            for done, shots in enumerate(missing, start=1):
                drawn = sample_draws(sets.train.labels, shots, recipe.draws, run_context.seed)
                svms = train(gram, sets.train.labels, drawn, recipe)
                scores = predict(svms, test_gram, recipe.draws)
                store(folder, shots, sets.test.ids, scores)
                report(done, len(missing))
    of_shots: dict[int, list[np.ndarray]] = {
        shots: stored(folder, shots, recipe.draws, sets.test.ids) for shots in recipe.shots
    }
    values = {shots: _score(draws, sets.test.labels) for shots, draws in of_shots.items()}
    write_draws(folder / "draws.csv", values)
    return Outcome(
        measurements=list(measurements(values, len(sets.test.ids))),
        scored_from=scored_from(of_shots, sets.test),
        data_fingerprint=sets.fingerprint,
    )


def train(
    gram: np.ndarray, labels: np.ndarray, drawn: Drawn, recipe: LowShotSvmRecipe
) -> list[DrawnSvms]:
    """The SVMs of all draws and classes; gram: (N, N) inner products; labels: (N, 20).

    One cost for all of them: the best by cross-validation on the drawn images (the benchmark
    itself takes the cost that is best on the test set).
    """
    problems = [
        (keys, rows, TrainSpan.of(gram[np.ix_(rows, rows)]), _signs(labels, drawn, keys, rows))
        for keys, rows in _grouped(drawn, len(gram))
    ]
    found = [
        cross_validated_scores(span, signs, recipe.costs, recipe.folds)
        for _, _, span, signs in problems
    ]
    of_all = np.concatenate(found, axis=1)
    defined = of_all[:, ~np.isnan(of_all).any(axis=0)]
    mean = defined.mean(axis=1) if defined.size else np.full(len(recipe.costs), np.nan)
    cost = best_cost(recipe.costs, mean)
    logger.info(f"{len(drawn)} classes and draws: cost {cost:.2g}")
    return [
        DrawnSvms(keys, rows, Svms.of(span, signs, np.full(len(keys), cost)))
        for keys, rows, span, signs in problems
    ]


def _grouped(drawn: Drawn, count: int) -> Iterator[tuple[list[tuple[int, int]], np.ndarray]]:
    """Draws and classes that are fitted together, with the images that they are fitted on.

    Large draws share the products of all images, small ones are faster among their own.
    """
    small = {key for key, rows in drawn.items() if 3 * len(rows) < count}
    yield from (([key], drawn[key]) for key in sorted(small))
    if large := [key for key in drawn if key not in small]:
        yield large, np.arange(count)


def _signs(
    labels: np.ndarray, drawn: Drawn, keys: Sequence[tuple[int, int]], rows: np.ndarray
) -> np.ndarray:
    """(len(rows), len(keys)): 1 or -1 of a drawn image, 0 of the others."""
    signs = np.zeros((len(labels), len(keys)), dtype=np.int8)
    for place, key in enumerate(keys):
        signs[drawn[key], place] = labels[drawn[key], key[1]]
    of_rows: np.ndarray = signs[rows]
    return of_rows


def _score(draws: Sequence[np.ndarray], labels: np.ndarray) -> dict[str, list[float]]:
    """Definition -> the mean average precision of each draw's scores (M, 20)."""
    found = [multilabel_scores(scores, labels) for scores in draws]
    return {name: [getattr(s, f"mean_ap_{name}") for s in found] for name in DEFINITIONS}


def _check_positives(recipe: LowShotSvmRecipe, labels: np.ndarray) -> None:
    if not learnable(labels):
        raise InputError(
            f"{recipe.train_set}: no class has images that show it and images that do not; "
            "nothing to learn"
        )
    positives = (labels == 1).sum(axis=0)
    few = [f"{c} {n}" for c, n in zip(VOC_CLASSES, positives, strict=True) if n < max(recipe.shots)]
    if few:
        logger.warning(
            f"{recipe.train_set}: fewer than {max(recipe.shots)} positives of {', '.join(few)}; "
            "all of them are taken"
        )


TASK = Task(
    find_images=find_images,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    work=low_shot_svm_work,
    table="low-shot",
    protocol="voc-low-shot-svm",
    protocol_version=3,
    any_backbone=True,
)
