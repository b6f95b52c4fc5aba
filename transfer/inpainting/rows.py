"""The rows of Table 1: ways to fill one hole in many images."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cebench.inpainting.classical import CLASSICAL, patch_match
from cebench.inpainting.hog import context_hog
from cebench.inpainting.networks import ContextFeatures, Hole, Images, Inpainter
from cebench.inpainting.retrieval import nearest_neighbours
from cebench.weights.files import Sidecar, Weights

from .data import InpaintingImages
from .features import Descriptor, by_batches

Row = Literal[
    "prediction",
    "nn-features",
    "nn-hog",
    "nn-pixels",
    "mean-of-context",
    "published-fill",
    "telea",
    "navier-stokes",
    "biharmonic",
    "patch-match",
]
"""What may be asked for; the two first ones take the names of the weights."""

_USUAL = {"objective": "joint", "region": "center"}
"""What the paper's model of Table 1 was trained for."""
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
    values = sidecar.recipe_values
    parts = [sidecar.method]
    if sidecar.architecture == "inpainting-generator":
        parts += [values[key] for key, usual in _USUAL.items() if values[key] != usual]
    return "-".join(parts)


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


def predict(inpainter: Inpainter, row: str, images: InpaintingImages) -> Filling:
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
