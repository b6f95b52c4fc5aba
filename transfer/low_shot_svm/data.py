"""What low-shot SVMs learn from: one frozen layer of each image, and few images per class."""

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.models.backbone import Backbone
from cebench.randomness import numpy_generator

from ..frozen_features import features_of_sets, learnable
from ..labelled_images import TrainAndTest
from ..run_context import RunContext
from ..support_vectors import inner_products
from .recipe import LowShotSvmRecipe

Drawn = dict[tuple[int, int], np.ndarray]
"""(draw, class) -> indices of the train images, int64."""


def products_of_layer(
    backbone: Backbone, sets: TrainAndTest, recipe: LowShotSvmRecipe, run_context: RunContext
) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of the recipe's layer: of train images (N, N), of test and train (M, N)."""
    train, test = features_of_sets(backbone, sets, [recipe.layer], recipe, run_context)
    seen = train[recipe.layer]
    return inner_products(seen, seen), inner_products(test[recipe.layer], seen)


def sample_images(labels: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """Train images of one class: `shots` positives and 19 times as many negatives, int64.

    All of them where there are fewer. labels: (N,), 1, 0 (never drawn) and -1.
    """
    parts = []
    for sign, count in ((1, shots), (-1, (len(VOC_CLASSES) - 1) * shots)):
        known = np.flatnonzero(labels == sign)
        parts.append(generator.permutation(known)[:count])
    return np.sort(np.concatenate(parts))


def sample_draws(labels: np.ndarray, shots: int, draws: int, seed: int) -> Drawn:
    """The train images of every draw and of every class that `labels` (N, 20) can teach."""
    return {
        (draw, c): sample_images(
            labels[:, c], shots, numpy_generator(seed, "low-shot", shots, draw, c)
        )
        for draw in range(draws)
        for c in learnable(labels)
    }
