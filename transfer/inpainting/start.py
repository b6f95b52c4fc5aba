"""What is checked before PyTorch is imported, and whose code computes the task."""

from pathlib import Path

from .folders import find_images
from .recipe import InpaintingRecipe

RECIPE = InpaintingRecipe
ENGINES = ("native",)


def check_data(data: Path, recipe: InpaintingRecipe) -> None:
    """InputError where a folder is absent, or a file of the test folder is in the gallery too."""
    find_images(data, recipe.gallery, recipe.test)
