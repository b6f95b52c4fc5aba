"""`low-shot-svm`: linear classifiers from 1 to 96 positives per class, on one frozen layer.

Source: see `frozen_features`; the draws are those of create_voc_low_shot_samples.py.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv
from cebench.files import write_csv
from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.bootstrap import DEFINITIONS
from cebench.progress import progress
from cebench.randomness import numpy_generator
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

__all__ = ["LowShotSvmRecipe", "find_images", "measure"]

logger = logging.getLogger("cebench")

SHOTS = (1, 2, 4, 8, 16, 32, 64, 96)


class LowShotSvmRecipe(ImageSetsRecipe, PrecisionOptions):
    """Which layer, how many positives, how many draws (protocol ledger: linear classification)."""

    layer: str = "pool5"
    """Of the backbone."""
    shots: Annotated[tuple[PositiveInt, ...], AllDifferent] = Field(SHOTS, min_length=1)
    """Positives per class; 19 times as many negatives are drawn with them."""
    draws: int = Field(5, ge=2)
    """Independent draws, of which mean and sample deviation are taken."""
    short_side: PositiveInt = 256
    """Images are resized to this shorter side; their central square is what the network sees."""
    costs: Annotated[tuple[PositiveFloat, ...], AllDifferent] = Field(COSTS, min_length=1)
    """From which each number of shots takes its own, by cross-validation on the drawn images."""
    folds: int = Field(3, ge=2)
    """Of the cross-validation; a single shot has none and takes the largest cost."""

    @property
    def variant(self) -> str:
        """Another layer is another protocol."""
        return "-".join(part for part in (self.layer, super().variant) if part)


def measure(recipe: LowShotSvmRecipe, run_context: RunContext) -> Outcome:
    """SVMs from few images; finished ones stand in predictions/<shots>-shot-draw-<draw>.csv."""
    backbone, proof = load_backbone(run_context.weights)
    logger.info(f"{run_context.weights.name}: {proof}")
    check_layers([recipe.layer], backbone, run_context.weights.name)
    preprocessing = run_context.weights.sidecar.preprocessing
    sets = read_sets(recipe, run_context.data, max(recipe.short_side, preprocessing.side))
    run_context.run.check_data_fingerprint(sets.fingerprint)
    _say_what_lacks(recipe, sets.train.labels)
    folder = run_context.run.path / "predictions"
    missing = [shots for shots in recipe.shots if not _finished(folder, shots, recipe.draws)]
    if missing:
        train, test = (
            layer_features(
                *(backbone, preprocessing, part.images, [recipe.layer]),
                *(run_context.device, recipe.precision, name),
            )[recipe.layer]
            for name, part in (("train features", sets.train), ("test features", sets.test))
        )
        features = project_onto_train_span(train, test)
        with progress("low-shot SVMs", "numbers of shots") as report:
            for done, shots in enumerate(missing, start=1):
                found = _scores_of_draws(
                    features, sets.train.labels, shots, recipe, run_context.seed
                )
                for draw, scores in enumerate(found):
                    write_scores_csv(_path(folder, shots, draw), sets.test.ids, scores)
                report(done, len(missing))
    values = {shots: _draws_scored(folder, shots, recipe.draws, sets) for shots in recipe.shots}
    _write_draws(run_context.run.path / "draws.csv", values)
    return Outcome(
        measurements=list(_measurements(values, len(sets.test.ids))),
        data_fingerprint=sets.fingerprint,
    )


def sample_images(labels: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """Train images of one class: `shots` positives and 19 times as many negatives, int64.

    All of them where there are fewer. labels: (N,), 1, 0 (never drawn) and -1.
    """
    parts = []
    for sign, count in ((1, shots), (-1, (len(VOC_CLASSES) - 1) * shots)):
        known = np.flatnonzero(labels == sign)
        parts.append(generator.permutation(known)[:count])
    return np.sort(np.concatenate(parts))


def _scores_of_draws(
    features: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    shots: int,
    recipe: LowShotSvmRecipe,
    seed: int,
) -> np.ndarray:
    """(draws, M, 20) scores of the test images.

    One cost for all classes and draws: the best by cross-validation on the drawn images (the
    benchmark itself takes the cost that is best on the test set).
    """
    train, test = features
    drawn = {
        (draw, c): sample_images(
            labels[:, c], shots, numpy_generator(seed, "low-shot", shots, draw, c)
        )
        for draw in range(recipe.draws)
        for c in learnable(labels)
    }
    found = [
        cross_validated_scores(train[index], labels[index, c], recipe.costs, recipe.folds)
        for (_, c), index in drawn.items()
    ]
    defined = [scores for scores in found if not np.isnan(scores).any()]
    mean = np.mean(defined, axis=0) if defined else np.full(len(recipe.costs), np.nan)
    cost = best_cost(recipe.costs, mean)
    logger.info(f"{shots} shots: cost {cost:.2g}")
    scores = np.zeros((recipe.draws, len(test), len(VOC_CLASSES)))
    for (draw, c), index in drawn.items():
        scores[draw, :, c] = svm_scores(train[index], labels[index, c], test, cost)
    return scores


def _say_what_lacks(recipe: LowShotSvmRecipe, labels: np.ndarray) -> None:
    positives = (labels == 1).sum(axis=0)
    few = [f"{c} {n}" for c, n in zip(VOC_CLASSES, positives, strict=True) if n < max(recipe.shots)]
    if few:
        logger.warning(
            f"{recipe.train_set}: fewer than {max(recipe.shots)} positives of {', '.join(few)}; "
            "all of them are taken"
        )


def _path(folder: Path, shots: int, draw: int) -> Path:
    return folder / f"{shots}-shot-draw-{draw}.csv"


def _finished(folder: Path, shots: int, draws: int) -> bool:
    return all(_path(folder, shots, draw).exists() for draw in range(draws))


def _draws_scored(
    folder: Path, shots: int, draws: int, sets: TrainAndTest
) -> dict[str, list[float]]:
    """Definition -> the mean average precision of each draw."""
    found = [
        multilabel_scores(read_scores_csv(_path(folder, shots, d), sets.test.ids), sets.test.labels)
        for d in range(draws)
    ]
    return {name: [getattr(s, f"mean_ap_{name}") for s in found] for name in DEFINITIONS}


def _measurements(
    values: Mapping[int, Mapping[str, list[float]]], images: int
) -> Iterator[Measurement]:
    for shots, draws in values.items():
        for name, found in draws.items():
            metric, column = f"mean_ap_{name}", f"shots_{shots}"
            mean, deviation = float(np.mean(found)), float(np.std(found, ddof=1))
            yield Measurement(
                metric=metric, value=mean, count=images, draws=len(found), column=column
            )
            yield Measurement(
                metric=f"{metric}_sd_over_draws",
                value=deviation,
                column=column,
                higher_is_better=False,
                count=images,
                draws=len(found),
            )


def _write_draws(path: Path, values: Mapping[int, Mapping[str, list[float]]]) -> None:
    header = ("shots", "draw", *(f"mean_ap_{name}" for name in DEFINITIONS))
    lines = [
        (shots, draw, *row)
        for shots, draws in values.items()
        for draw, row in enumerate(zip(*draws.values(), strict=True))
    ]
    write_csv(path, header, lines)
