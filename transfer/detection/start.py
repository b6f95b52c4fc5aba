"""What is checked before PyTorch is imported, and whose code computes the task."""

from ..image_sets import check_main_lists
from .recipe import DetectionRecipe

RECIPE = DetectionRecipe
ENGINES = ("native", "detectron2")
check_data = check_main_lists
