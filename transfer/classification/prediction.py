"""From a trained classifier to the scores of a set: random crops of each image, pass by pass."""

import numpy as np
import torch

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.results import read_scores_csv, write_scores_csv
from cebench.devices import autocast
from cebench.errors import CebenchError
from cebench.models.classifier import Classifier
from cebench.progress import progress
from cebench.randomness import numpy_generator

from ..labelled_images import LabelledImages
from ..run_context import RunContext
from .data import crops_at, image_sizes, sample_places
from .recipe import ClassificationRecipe

TEST_BATCH = 32


def predict(
    network: Classifier,
    test: LabelledImages,
    recipe: ClassificationRecipe,
    run_context: RunContext,
) -> np.ndarray:
    """Raw scores of the random crops of each image, (crops, N, 20) float64.

    Their sums over the crops stand in predictions.csv.

    The crops of a pass over the images are a function of the seed and the number of the pass. A
    finished pass stands in predictions/crop-<number>.csv: a run that was broken off goes on behind
    it. CebenchError if the training left a network whose scores are not finite.
    """
    preprocessing = run_context.weights.sidecar.preprocessing
    images, sizes = test.images.to_if_fits(run_context.device), image_sizes(test.images)
    scores = np.empty((recipe.test_crops, len(images), len(VOC_CLASSES)))
    with torch.inference_mode(), progress("classification test", "crops") as report:
        for crop in range(recipe.test_crops):
            path = run_context.run.path / "predictions" / f"crop-{crop}.csv"
            if path.exists():
                scores[crop] = read_scores_csv(path, test.ids)
                continue
            generator = numpy_generator(run_context.seed, "test-crop", crop)
            places = sample_places(recipe, sizes, preprocessing.side, generator)
            for start in range(0, len(images), TEST_BATCH):
                rows = slice(start, min(start + TEST_BATCH, len(images)))
                index = np.arange(rows.start, rows.stop)
                pixels = crops_at(images, index, places.select(rows), preprocessing.side)
                with autocast(run_context.device, recipe.precision):
                    found = network(preprocessing(pixels.to(run_context.device)))
                scores[crop, rows] = found.float().cpu().numpy()
                report(crop * len(images) + rows.stop, recipe.test_crops * len(images))
            if not np.isfinite(scores[crop]).all():
                raise CebenchError(
                    "the trained network's scores are not finite; lower the learning rate"
                )
            write_scores_csv(path, test.ids, scores[crop])
    write_scores_csv(run_context.run.path / "predictions.csv", test.ids, scores.sum(axis=0))
    return scores
