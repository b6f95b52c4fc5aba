"""What is checked before PyTorch is imported, and whose code computes the task."""

from ..image_sets import check_segmentation_lists
from .recipe import DenseProbeRecipe

RECIPE = DenseProbeRecipe
ENGINES = ("native",)
check_data = check_segmentation_lists
