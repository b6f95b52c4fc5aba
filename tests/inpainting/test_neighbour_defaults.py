"""Table 1's neighbours are found in one way unless a recipe says otherwise."""

import pytest

from cebench.config import load_recipe
from cebench.inpainting import hog
from cebench.transfer.inpainting.task import InpaintingRecipe


@pytest.mark.parametrize("name", ["smoke", "short", "paper"])
def test_features_by_cosine_hog_by_euclid_without_the_cells_of_the_hole(name: str) -> None:
    recipe, _ = load_recipe(InpaintingRecipe, "cebench.transfer", "inpainting", name)
    assert (recipe.features_distance, recipe.hog_distance) == ("cosine", "l2")
    assert (recipe.hog_cells, recipe.gallery_views) == ("dropped", "as-is")
    assert (hog.CELL, hog.ORIENTATIONS) == (8, 9)
