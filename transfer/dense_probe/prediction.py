"""From a trained probe to label images, one PNG per image of the test set."""

from cebench.models.dense_probe import DenseProbe

from ..run_context import RunContext
from ..segmentation import prediction
from ..segmentation.data import SegmentationImages
from ..segmentation.prediction import Predictor, stored
from .recipe import DenseProbeRecipe

__all__ = ["predict", "stored"]


def predict(
    probe: DenseProbe,
    test: SegmentationImages,
    recipe: DenseProbeRecipe,
    run_context: RunContext,
) -> None:
    """Label the images at the size of their truth; they stand in predictions/ID.png."""
    preprocessing = run_context.weights.sidecar.preprocessing
    predictor = Predictor(probe, preprocessing, run_context.device, recipe.precision)
    prediction.predict(predictor, test, run_context.run.path / "predictions")
