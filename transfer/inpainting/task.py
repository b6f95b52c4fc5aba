"""Inpainting (Table 1): predictions and their baselines, scored inside the central hole."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from cebench.config import Recipe
from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import write_png
from cebench.errors import InputError
from cebench.inpainting.networks import (
    ContextFeatures,
    Hole,
    Images,
    Inpainter,
    load_context_features,
    model_file,
)
from cebench.metrics.inpainting import InpaintingSums, inpainting_scores, inpainting_sums
from cebench.weights.files import load_weights

from ..run_context import Measurement, Outcome, RunContext
from .data import InpaintingImages, central_hole, images_in, read_images
from .features import Descriptor, nearest_images
from .report import save_fillings, save_retrieval, write_memorisation, write_table
from .rows import (
    Filling,
    Row,
    features_of,
    features_row,
    fill_classically,
    hog_of,
    nearest_patches,
    paste_nearest,
    pixels_of,
    predict,
    prediction_row,
)

ALL_ROWS: tuple[Row, ...] = get_args(Row)


class InpaintingRecipe(Recipe):
    """What is compared; nothing is trained here."""

    # The images are part of the data's fingerprint; each row has its numbers from itself alone.
    excluded_from_hash: ClassVar[frozenset[str]] = Recipe.excluded_from_hash | {
        "gallery",
        "test",
        "rows",
        "retrieval_weights",
    }

    gallery: str = "train"
    """Subfolder of --data whose images the nearest-neighbour rows paste from."""
    test: str = "test"
    """Subfolder of --data whose images are filled and scored."""
    rows: tuple[Row, ...] = Field(default=ALL_ROWS, min_length=1)
    """Ways to fill the hole; weights without a decoder leave `prediction` out."""
    gallery_views: Literal["as-is", "mirrored-too"] = "as-is"
    """Whether the mirror image of each gallery image may be pasted too."""
    features_layer: str = ""
    """What `nn-features` compares: `bottleneck` of a generator, `pool5` or `channel-wise` of a
    context encoder, `pool5` of a trunk; empty: the first named."""
    features_distance: Literal["cosine", "l2"] = "cosine"
    """How `nn-features` compares."""
    hog_cells: Literal["dropped", "filled"] = "dropped"
    """Whether `nn-hog` leaves cells that touch the hole out, or fills them with the mean colour."""
    hog_distance: Literal["cosine", "l2"] = "l2"
    """How `nn-hog` compares."""
    retrieval_weights: str = ""
    """Another weights file or run directory whose neighbours samples/retrieval.png shows too."""

    @field_validator("rows")
    @classmethod
    def _rows_once(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        if len(set(rows)) < len(rows):
            raise ValueError("a row is named twice")
        return rows


def find_images(recipe: InpaintingRecipe, data: Path) -> dict[str, list[Path]]:
    """Images that `measure` would search and fill."""
    return {
        "gallery": images_in(data, recipe.gallery, "gallery"),
        "test": images_in(data, recipe.test, "test"),
    }


def measure(recipe: InpaintingRecipe, run_context: RunContext) -> Outcome:
    """Fill the hole of every test image in every way, and score each way.

    The 8-bit images in predictions/ and targets/ are what is scored, so that
    `cebench score inpainting --hole center:56 --size 128` on them gives these very numbers.
    """
    network = load_context_features(run_context.weights, run_context.device)
    descriptors = describe_contexts(recipe, run_context, network, central_hole())
    gallery_files, test_files = find_images(recipe, run_context.data).values()
    images = read_images(gallery_files, test_files, recipe.gallery_views == "mirrored-too")
    neighbours = {
        row: nearest_images(descriptor, images, run_context.run.path.parent, run_context.device)
        for row, descriptor in descriptors.items()
    }
    fillings = fill_every_way(recipe.rows, run_context, network, neighbours, images)
    sums = {row: _sums_per_image(f.images, images) for row, f in fillings.items()}
    _require_errors(sums, images.stems)
    _write(run_context, images, fillings, neighbours, sums)
    sidecar = run_context.weights.sidecar
    of_weights = (prediction_row(sidecar), features_row(sidecar))
    return Outcome(
        measurements=[m for row in sums for m in _measurements(row, sums[row], row in of_weights)],
        data_fingerprint=fingerprint_files([*gallery_files, *test_files], run_context.data),
    )


def describe_contexts(
    recipe: InpaintingRecipe, run_context: RunContext, network: ContextFeatures, hole: Hole
) -> dict[str, Descriptor]:
    """Row that pastes, or `nn-features-` of the other weights, -> its way to describe contexts."""
    weights, device, distance = run_context.weights, run_context.device, recipe.features_distance
    found = {}
    if "nn-features" in recipe.rows:
        layer = recipe.features_layer
        found[features_row(weights.sidecar)] = features_of(
            network, weights, hole, layer, distance, device
        )
    if "nn-hog" in recipe.rows:
        found["nn-hog"] = hog_of(hole, recipe.hog_cells, recipe.hog_distance)
    if "nn-pixels" in recipe.rows:
        found["nn-pixels"] = pixels_of(hole)
    if recipe.retrieval_weights:
        other = load_weights(model_file(Path(recipe.retrieval_weights)))
        trunk = load_context_features(other, device)
        found.setdefault(
            features_row(other.sidecar), features_of(trunk, other, hole, "", distance, device)
        )
    return found


def fill_every_way(
    rows: Sequence[Row],
    run_context: RunContext,
    network: ContextFeatures,
    neighbours: Mapping[str, NDArray[np.int64]],
    images: InpaintingImages,
) -> dict[str, Filling]:
    """Row of Table 1 -> the test images filled its way; what is in their hole never matters."""
    sidecar = run_context.weights.sidecar
    fillings = {}
    for row in rows:
        if row == "prediction":
            if isinstance(network, Inpainter):
                name = prediction_row(sidecar)
                fillings[name] = predict(network, name, images)
        elif row in ("nn-features", "nn-hog", "nn-pixels"):
            name = features_row(sidecar) if row == "nn-features" else row
            fillings[name] = paste_nearest(neighbours[name], images)
        else:
            fillings[row] = fill_classically(row, images, run_context.seed)
    if not fillings:
        raise InputError(
            f"{run_context.weights.name}: a {sidecar.architecture} predicts no pixels; "
            """--set 'rows=["nn-features"]' pastes by its features"""
        )
    return fillings


def _write(
    run_context: RunContext,
    images: InpaintingImages,
    fillings: Mapping[str, Filling],
    neighbours: Mapping[str, NDArray[np.int64]],
    sums: Mapping[str, Sequence[InpaintingSums]],
) -> None:
    """Everything that a run leaves beside its numbers."""
    folder = run_context.run.path
    for i, stem in enumerate(images.stems):
        write_png(folder / "targets" / f"{stem}.png", images.targets[i])
        for row, filling in fillings.items():
            write_png(folder / "predictions" / row / f"{stem}.png", filling.images[i])
    filled = {row: filling.images for row, filling in fillings.items()}
    patches = {
        row: nearest_patches(batch, images, run_context.device)
        for row, batch in {**filled, "truth": images.targets}.items()
    }
    write_table(folder / "per_image.csv", images, fillings, sums, patches)
    write_memorisation(folder / "memorisation.json", patches)
    samples = folder / "samples"
    samples.mkdir(exist_ok=True)
    save_fillings(samples / "inpainting.png", images, fillings, sums)
    if neighbours:
        save_retrieval(samples / "retrieval.png", images, neighbours)


def _sums_per_image(filled: Images, images: InpaintingImages) -> list[InpaintingSums]:
    def unit(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray(image[None].transpose(0, 3, 1, 2) / 255)

    pairs = zip(filled, images.targets, strict=True)
    return [inpainting_sums(unit(image), unit(true), images.hole[None]) for image, true in pairs]


def _require_errors(sums: Mapping[str, Sequence[InpaintingSums]], stems: Sequence[str]) -> None:
    """A perfect filling has an infinite PSNR, of which no mean can be reported."""
    for row, images in sums.items():
        for stem, image in zip(stems, images, strict=True):
            if image.hole.squared == 0:
                raise InputError(
                    f"test image {stem}: {row} fills its hole without any error, so its PSNR is "
                    "infinite; remove the image from the test folder if it is blank or a copy"
                )


def _measurements(
    row: str, sums: Sequence[InpaintingSums], of_weights: bool
) -> Iterator[Measurement]:
    """Inside the hole, and with the prefix `image_` over the whole image."""
    scores = inpainting_scores(sum(sums, InpaintingSums()))
    for prefix, region in (("", scores.hole), ("image_", scores.image)):
        for metric, column, unit, higher_is_better in (
            ("mean_l1", "mean_l1", "fraction", False),
            ("mean_l2", "mean_l2", "fraction", False),
            ("psnr_per_image_mean_db", "psnr", "db", True),
            ("psnr_pooled_db", "psnr", "db", True),
            ("ssim", "ssim", "fraction", True),
        ):
            yield Measurement(
                row=row,
                column=column,
                metric=prefix + metric,
                value=getattr(region, metric),
                unit=unit,
                higher_is_better=higher_is_better,
                count=len(sums),
                of_weights=of_weights,
            )
