"""`inpainting`: predictions and their baselines, scored inside the central hole (Table 1)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cebench.errors import InputError
from cebench.inpainting.networks import Images, Inpainter, load_context_features, model_file
from cebench.inpainting.photo_holes import central_hole
from cebench.inpainting.squares import SIDE
from cebench.metrics.inpainting import InpaintingSums, inpainting_scores, inpainting_sums
from cebench.weights.files import Weights

from ..run_context import Outcome, RunContext
from ..task import Task
from ..work import inpainting_work
from .data import InpaintingImages, data_fingerprint, find_images, fingerprint, read_images
from .features import nearest_images
from .prediction import (
    describe_contexts,
    features_row,
    nearest_patches,
    predict,
    prediction_row,
    store,
)
from .recipe import InpaintingRecipe
from .report import measurements, scored_from, write_report


def measure(recipe: InpaintingRecipe, run_context: RunContext) -> Outcome:
    """Fill the hole of every test image in every way, and score each way; nothing is trained.

    The 8-bit images in predictions/ and targets/ are what is scored, so that
    `cebench score inpainting --hole center:56 --size 128` on them gives these very numbers.
    """
    folder, device = run_context.run.path, run_context.device
    network = load_context_features(run_context.weights, device)
    descriptors = describe_contexts(recipe, run_context, network, central_hole(SIDE, SIDE))
    gallery_files, test_files = find_images(recipe, run_context.data).values()
    images = read_images(gallery_files, test_files, recipe.gallery_views == "mirrored-too")
    neighbours = {
        row: nearest_images(descriptor, images, folder.parent, device)
        for row, descriptor in descriptors.items()
    }
    fillings = predict(recipe.rows, run_context, network, neighbours, images)
    sums = {row: sums_per_image(filling.images, images) for row, filling in fillings.items()}
    _check_errors(sums, images.stems)
    scores = {row: inpainting_scores(sum(found, InpaintingSums())) for row, found in sums.items()}
    filled = {row: filling.images for row, filling in fillings.items()}
    patches = {
        row: nearest_patches(batch, images, device)
        for row, batch in {**filled, "truth": images.targets}.items()
    }
    store(folder, images, fillings)
    write_report(folder, images, fillings, neighbours, sums, patches)
    sidecar, count = run_context.weights.sidecar, len(images.stems)
    of_weights = (prediction_row(sidecar), features_row(sidecar))
    return Outcome(
        measurements=[
            measurement
            for row, found in scores.items()
            for measurement in measurements(row, found, count, row in of_weights)
        ],
        scored_from=scored_from(sums, images),
        data_fingerprint=fingerprint(gallery_files, test_files, run_context.data),
    )


def sums_per_image(filled: Images, images: InpaintingImages) -> list[InpaintingSums]:
    """The sums that the scores are made of, of each filled test image."""

    def unit(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray(image[None].transpose(0, 3, 1, 2) / 255)

    pairs = zip(filled, images.targets, strict=True)
    return [inpainting_sums(unit(image), unit(true), images.hole[None]) for image, true in pairs]


def _check_errors(sums: Mapping[str, Sequence[InpaintingSums]], stems: Sequence[str]) -> None:
    """InputError if a filling is perfect: its PSNR is infinite, and no mean can be reported."""
    for row, images in sums.items():
        for stem, image in zip(stems, images, strict=True):
            if image.hole.squared == 0:
                raise InputError(
                    f"test image {stem}: {row} fills its hole without any error, so its PSNR is "
                    "infinite; remove the image from the test folder if it is blank or a copy"
                )


def check_weights(recipe: InpaintingRecipe, weights: Weights) -> None:
    """InputError if the weights do not load, or fill no holes where nothing else is asked for."""
    network = load_context_features(weights, torch.device("cpu"))
    if recipe.rows == ("prediction",) and not isinstance(network, Inpainter):
        raise InputError(
            f"{weights.name}: a {weights.sidecar.architecture} predicts no pixels; "
            """--set 'rows=["nn-features"]' pastes by its features"""
        )


TASK = Task(
    find_images=find_images,
    data_fingerprint=data_fingerprint,
    check_weights=check_weights,
    measure=measure,
    work=inpainting_work,
    table="1",
    protocol="central-hole-56-of-128",
    protocol_version=2,
    weights_file=model_file,
)
