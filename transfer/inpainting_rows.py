"""The rows of Table 1: ways to fill one hole in many images."""

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

Images = NDArray[np.uint8]
"""(N, H, W, 3), 0..255."""
Hole = NDArray[np.bool_]
"""(H, W), True = missing."""

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

    method: row of the network's own predictions.
    """

    def features(images: Images) -> NDArray[np.float32]:
        return context_features(network, images, hole)

    return {
        method: Filling(
            _by_batches(f"filling: {method}", test, lambda part: fill_holes(network, part, hole))
        ),
        "nn-features": paste_nearest(
            _by_batches("features of the gallery", gallery, features),
            _by_batches("features of the test images", test, features),
            gallery,
            test,
            hole,
        ),
        "nn-hog": paste_nearest(
            _by_batches("HOG of the gallery", gallery, lambda part: context_hog(part, hole)),
            _by_batches("HOG of the test images", test, lambda part: context_hog(part, hole)),
            gallery,
            test,
            hole,
        ),
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
