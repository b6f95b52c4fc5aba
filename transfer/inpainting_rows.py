"""The rows of Table 1: ways to fill one hole in many images."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from cebench.inpainting import fill_holes, network_input, visible_context
from cebench.models.context_encoder import ContextEncoder
from cebench.models.retrieval import context_hog, nearest_neighbours
from cebench.progress import progress

logger = logging.getLogger("cebench")

Images = NDArray[np.uint8]
"""(N, H, W, 3), 0..255."""
Hole = NDArray[np.bool_]
"""(H, W), True = missing."""

WEIGHTLESS_ROWS = ("nn-hog", "mean-of-context")
"""Rows that no network takes part in."""

_AT_ONCE = 32


@dataclass(frozen=True)
class Filling:
    """Test images filled in one way; where patches were pasted, from which gallery images."""

    images: Images
    neighbours: Sequence[int] = ()


def fill_every_way(
    network: ContextEncoder, method: str, gallery: Images, test: Images, hole: Hole
) -> dict[str, Filling]:
    """Row of Table 1 -> the test images filled its way; what is in their hole never matters.

    method: how the network was trained: the row of its own predictions. `nn-features` are features
        of a context encoder, "our features" of the paper; another method's row names the method.
    """
    features_row = "nn-features" if method.startswith("context") else f"nn-features-{method}"

    def features(images: Images) -> NDArray[np.float32]:
        return context_features(network, images, hole)

    def hog(images: Images) -> NDArray[np.float32]:
        return context_hog(images, hole)

    def predictions(images: Images) -> Images:
        return fill_holes(network, images, hole)

    gallery_features = _by_batches("features of the gallery", gallery, features)
    test_features = _by_batches("features of the test images", test, features)
    if len(gallery) > 1 and not np.ptp(gallery_features, axis=0).any():
        logger.warning(
            f"{method}: the features of all {len(gallery)} gallery images are equal, so that "
            f"{features_row} pastes the first; the trunk has died or has learned nothing"
        )
    gallery_hog = _by_batches("HOG of the gallery", gallery, hog)
    test_hog = _by_batches("HOG of the test images", test, hog)
    return {
        method: Filling(_by_batches(f"{method}: filling", test, predictions)),
        features_row: paste_nearest(gallery_features, test_features, gallery, test, hole),
        "nn-hog": paste_nearest(gallery_hog, test_hog, gallery, test, hole),
        "mean-of-context": Filling(fill_with_mean(test, hole)),
    }


@torch.no_grad()
def context_features(network: ContextEncoder, images: Images, hole: Hole) -> NDArray[np.float32]:
    """pool5 of what surrounds the hole, scaled to unit length: (N, 9216).

    Between unit vectors the Euclidean distance orders neighbours as the cosine does; the paper
    names neither the layer nor the distance.
    """
    context, _ = visible_context(images, hole)
    device = next(network.parameters()).device
    pool5 = network.encode(network_input(context, device)).flatten(1)
    unit: NDArray[np.float32] = F.normalize(pool5).cpu().numpy()
    return unit


def paste_nearest(
    gallery_features: NDArray[np.float32],
    test_features: NDArray[np.float32],
    gallery: Images,
    test: Images,
    hole: Hole,
) -> Filling:
    """NN-inpainting (5.1): the hole's pixels of the gallery image with the nearest features."""
    index, _ = nearest_neighbours(
        torch.from_numpy(test_features), torch.from_numpy(gallery_features)
    )
    filled = test.copy()
    filled[:, hole] = gallery[index.numpy()][:, hole]
    return Filling(filled, index.tolist())


def fill_with_mean(test: Images, hole: Hole) -> Images:
    """Each image with the mean colour of its visible pixels in the hole."""
    filled = test.copy()
    filled[:, hole] = np.rint(test[:, ~hole].mean(axis=1))[:, None]
    return filled


def _by_batches(label: str, images: Images, work: Callable[[Images], NDArray[Any]]) -> NDArray[Any]:
    """`work` on some images at a time, its results joined; shows progress."""
    done = []
    with progress(label, "images") as report:
        for start in range(0, len(images), _AT_ONCE):
            done.append(work(images[start : start + _AT_ONCE]))
            report(start + len(done[-1]), len(images))
    return np.concatenate(done)
