"""What nearest neighbours are found by: cosines between one frozen layer of the images."""

import numpy as np

from cebench.models.backbone import Backbone

from ..frozen_features import features_of_sets
from ..labelled_images import TrainAndTest
from ..run_context import RunContext
from .recipe import KnnRecipe


def cosines_of_layer(
    backbone: Backbone, sets: TrainAndTest, recipe: KnnRecipe, run_context: RunContext
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines in the recipe's layer: of train images (N, N), of test with train images (M, N)."""
    train, test = features_of_sets(backbone, sets, [recipe.layer], recipe, run_context)
    seen = train[recipe.layer]
    return seen @ seen.T, test[recipe.layer] @ seen.T
