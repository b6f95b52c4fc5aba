"""The rows of Table 1: ways to fill one hole in many images, and how each is carried out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cebench.data.images import write_png
from cebench.inpainting.classical import CLASSICAL, patch_match
from cebench.inpainting.hog import context_hog
from cebench.inpainting.networks import (
    ContextFeatures,
    Hole,
    Images,
    Inpainter,
    load_context_features,
    model_file,
)
from cebench.inpainting.retrieval import nearest_neighbours
from cebench.reporting.row_names import row_of_predictions
from cebench.weights.files import Sidecar, Weights, load_weights

from ..run_context import RunContext
from .data import InpaintingImages
from .features import Descriptor, by_batches
from .recipe import InpaintingRecipe, Row

OUR_FEATURES = "context-gan"
"""The row whose features are "our features" of the paper."""


@dataclass(frozen=True)
class Filling:
    """Test images filled in one way."""

    images: Images
    neighbours: NDArray[np.int64] | None = None
    """(N, K): where a patch was pasted, the most similar gallery images, the pasted one first."""


@dataclass(frozen=True)
class Patches:
    """How far fillings are from the gallery: (N,) each, over the hole's pixels in [0, 1]."""

    mean_l1: NDArray[np.float64]
    mean_l2: NDArray[np.float64]


def prediction_row(sidecar: Sidecar) -> str:
    """The row of the weights' own predictions: their method, with what sets them apart."""
    return row_of_predictions(sidecar.architecture, sidecar.method, sidecar.recipe_values)


def features_row(sidecar: Sidecar) -> str:
    """The row that pastes by the weights' features, `nn-features` for the paper's own."""
    row = prediction_row(sidecar)
    return "nn-features" if row == OUR_FEATURES else f"nn-features-{row}"


def features_of(
    network: ContextFeatures,
    weights: Weights,
    hole: Hole,
    layer: str,
    distance: str,
    device: torch.device,
) -> Descriptor:
    """What the network makes of the visible pixels."""
    return Descriptor(
        label=f"features ({prediction_row(weights.sidecar)})",
        describe=lambda images: network.features(images, hole, layer),
        identity=f"features {weights.sidecar.sha256} {layer or network.layers[0]} {device.type}",
        cosine=distance == "cosine",
    )


def hog_of(hole: Hole, cells: Literal["dropped", "filled"], distance: str) -> Descriptor:
    """HOG of the visible pixels."""
    return Descriptor(
        label="HOG",
        describe=lambda images: context_hog(images, hole, cells),
        identity=f"hog {cells}",
        cosine=distance == "cosine",
    )


def pixels_of(hole: Hole) -> Descriptor:
    """The visible pixels themselves."""
    return Descriptor(
        label="pixels",
        describe=lambda images: images[:, ~hole].reshape(len(images), -1),
        identity="pixels",
        kept=False,
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
        row = features_row(other.sidecar)
        row = f"{row} ({other.name})" if row in found else row
        found[row] = features_of(trunk, other, hole, "", distance, device)
    return found


def predict(
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
                fillings[name] = fill_by_network(network, name, images)
        elif row in ("nn-features", "nn-hog", "nn-pixels"):
            name = features_row(sidecar) if row == "nn-features" else row
            fillings[name] = paste_nearest(neighbours[name], images)
        else:
            fillings[row] = fill_classically(row, images, run_context.seed)
    return fillings


def fill_by_network(inpainter: Inpainter, row: str, images: InpaintingImages) -> Filling:
    """The network's own predictions in the hole."""
    fill = partial(inpainter.fill, hole=images.hole)
    return Filling(by_batches(f"{row}: filling", images.targets, fill))


def paste_nearest(neighbours: NDArray[np.int64], images: InpaintingImages) -> Filling:
    """NN-inpainting (5.1): the hole's pixels of the gallery image with the nearest features."""
    filled = images.targets.copy()
    filled[:, images.hole] = images.gallery[neighbours[:, 0]][:, images.hole]
    return Filling(filled, neighbours)


def fill_classically(row: str, images: InpaintingImages, seed: int) -> Filling:
    """A row of `CLASSICAL`; the seed matters to patch-match alone."""

    def fill(batch: Images) -> Images:
        if row == "patch-match":
            return patch_match(batch, images.hole, seed)
        return CLASSICAL[row](batch, images.hole)

    return Filling(by_batches(f"{row}: filling", images.targets, fill))


def nearest_patches(filled: Images, images: InpaintingImages, device: torch.device) -> Patches:
    """The distance of what fills each image's hole to the most similar patch of the gallery.

    Most similar in Euclidean distance. Close to 0 means that a filling was copied.
    """
    inside, known = (
        batch[:, images.hole].reshape(len(batch), -1) for batch in (filled, images.gallery)
    )
    queries, rows = (torch.from_numpy(part).to(device) for part in (inside, known))
    index, _ = nearest_neighbours(queries, rows)
    difference = inside / 255 - known[index[:, 0].cpu().numpy()] / 255
    return Patches(np.abs(difference).mean(axis=1), np.square(difference).mean(axis=1))


def store(folder: Path, images: InpaintingImages, fillings: Mapping[str, Filling]) -> None:
    """Write targets/STEM.png and predictions/ROW/STEM.png into the run directory `folder`."""
    for i, stem in enumerate(images.stems):
        write_png(folder / "targets" / f"{stem}.png", images.targets[i])
        for row, filling in fillings.items():
            write_png(folder / "predictions" / row / f"{stem}.png", filling.images[i])
