"""Filling holes in images with a context encoder: the geometry between an image and the network.

The network sees 227 x 227 pixels. An image of any other size is brought there and its prediction
brought back by one rule, `resize`; what is hidden is taken out before, so that it cannot leak.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cebench.data.resize import resize
from cebench.models.caffenet import IMAGENET_MEAN_RGB, preprocess
from cebench.models.context_encoder import IMAGE_SIDE, ContextEncoder
from cebench.weights import Weights, load_module

FILL_RGB = tuple(round(value) for value in IMAGENET_MEAN_RGB)
"""What a hole looks like in pictures: the mean pixel, which the network sees as 0."""


def load_context_encoder(weights: Weights, device: torch.device) -> ContextEncoder:
    """The network in `weights`, for prediction.

    Raises:
        InputError: the weights are a trunk without decoder, or of another architecture.
    """
    network = ContextEncoder(weights.sidecar.recipe_values.get("mixing_kernel", 1))
    load_module(network, weights, "context-encoder")
    return network.eval().to(device)


def network_hole(hole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the network misses pixels: (H, W) to (227, 227), True = missing.

    A network pixel is missing if its centre lies in a missing pixel or a missing pixel's centre
    lies in it. Thus a thin hole stays a hole, and rows 36..91 of 128 are rows 64..162 of 227: the
    99 pixels of the authors' evaluation images.
    """
    height, width = hole.shape
    missing = hole[np.ix_(_containing(IMAGE_SIDE, height), _containing(IMAGE_SIDE, width))]
    y, x = hole.nonzero()
    missing[_containing(height, IMAGE_SIDE)[y], _containing(width, IMAGE_SIDE)[x]] = True
    return missing


def _containing(from_side: int, to_side: int) -> NDArray[np.int64]:
    """For each of `from_side` pixels, which of `to_side` pixels its centre lies in."""
    return (2 * np.arange(from_side) + 1) * to_side // (2 * from_side)


def visible_context(
    images: NDArray[np.uint8], hole: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What is left of images beside a hole, at the network's size.

    Network pixels are averages of visible pixels alone: neither hidden pixels nor the colour that
    replaces them bleed into the context.

    Args:
        images: (N, H, W, 3), 0..255.
        hole: (H, W), True = missing, the same in all images.

    Returns:
        context: (N, 227, 227, 3), 0..255, the mean pixel where missing.
        missing: (227, 227).
    """
    visible = ~hole[..., None]
    share = resize(visible, IMAGE_SIDE, IMAGE_SIDE)
    # Where nothing is visible the network pixel is missing.
    context = resize(images * visible, IMAGE_SIDE, IMAGE_SIDE) / np.where(share > 0, share, 1)
    missing = network_hole(hole)
    context[:, missing] = IMAGENET_MEAN_RGB
    return context, missing


def network_input(context: NDArray[np.float64], device: torch.device) -> Tensor:
    """Contexts (N, 227, 227, 3) as the network's input (N, 3, 227, 227)."""
    return preprocess(torch.from_numpy(context).permute(0, 3, 1, 2).to(device, torch.float32))


@torch.no_grad()
def fill_holes(
    network: ContextEncoder, images: NDArray[np.uint8], hole: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Images with the network's prediction in the hole and everything else untouched.

    The prediction is pasted into the context at 227 px and the result resized, so that the seam
    blends into what is visible.

    Args:
        network: from `load_context_encoder`.
        images: (N, H, W, 3), 0..255; what is in the hole never matters.
        hole: (H, W), True = missing, the same in all images.
    """
    context, missing = visible_context(images, hole)
    device = next(network.parameters()).device
    prediction = network(network_input(context, device)).permute(0, 2, 3, 1).cpu().numpy()
    context[:, missing] = ((prediction[:, missing] + 1) * 127.5).clip(0, 255)
    filled = images.copy()
    filled[:, hole] = np.rint(resize(context, *hole.shape)[:, hole])
    return filled
