"""What linear SVMs learn from: the frozen layers of each image, in as few numbers as there are."""

from collections.abc import Iterator, Sequence

import numpy as np

from cebench.models.backbones import Backbone

from ..frozen_features import features_of_sets, project_onto_train_span
from ..labelled_images import TrainAndTest
from ..run_context import RunContext
from .recipe import LinearSvmRecipe


def layers_of_sets(
    backbone: Backbone,
    sets: TrainAndTest,
    layers: Sequence[str],
    recipe: LinearSvmRecipe,
    run_context: RunContext,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each layer's name with its features of the train set (N, K) and of the test set (M, K).

    Both in coordinates of the span of the train set. All layers are computed at once; each is given
    away as it is yielded.
    """
    if not layers:
        return
    preprocessing = run_context.weights.sidecar.preprocessing
    train, test = features_of_sets(
        backbone, preprocessing, sets, layers, run_context.device, recipe.precision
    )
    for layer in layers:
        yield layer, *project_onto_train_span(train.pop(layer), test.pop(layer))
