"""What is checked before PyTorch is imported, and whose code computes the task."""

from ..image_sets import check_main_lists
from .recipe import ClassificationRecipe

RECIPE = ClassificationRecipe
ENGINES = ("native",)
check_data = check_main_lists
