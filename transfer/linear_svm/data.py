"""What linear SVMs learn from: inner products of the frozen layers of the images."""

from collections.abc import Iterator, Sequence

import numpy as np

from cebench.models.backbone import Backbone

from ..frozen_features import features_of_sets
from ..labelled_images import TrainAndTest
from ..run_context import RunContext
from ..support_vectors import inner_products
from .recipe import LinearSvmRecipe


def layers_of_sets(
    backbone: Backbone,
    sets: TrainAndTest,
    layers: Sequence[str],
    recipe: LinearSvmRecipe,
    run_context: RunContext,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each layer's name with the inner products of the train images (N, N), and test (M, N).

    All layers are computed at once; each is given away as it is yielded.
    """
    if not layers:
        return
    train, test = features_of_sets(backbone, sets, layers, recipe, run_context)
    for layer in layers:
        seen = train.pop(layer)
        yield layer, inner_products(seen, seen), inner_products(test.pop(layer), seen)
