"""Ways to fill a hole that no network takes part in: what a learned one has to beat."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic

from cebench.inpainting.patch_match import patch_match_fill
from cebench.models.inpainting_gan import PUBLISHED_FILL_RGB

Images = NDArray[np.uint8]
"""(N, H, W, 3), 0..255."""
Hole = NDArray[np.bool_]
"""(H, W), True = missing, the same in all images."""

NEIGHBOURHOOD = 3
"""Pixels around a missing one that Telea and Navier-Stokes look at; OpenCV's usual radius."""


def mean_of_context(images: Images, hole: Hole) -> Images:
    """Each image with the mean colour of its visible pixels in the hole."""
    filled = images.copy()
    filled[:, hole] = np.rint(images[:, ~hole].mean(axis=1))[:, None]
    return filled


def published_fill(images: Images, hole: Hole) -> Images:
    """PUBLISHED_FILL_RGB in the hole: the picture that the released network starts from."""
    filled = images.copy()
    filled[:, hole] = PUBLISHED_FILL_RGB
    return filled


def telea(images: Images, hole: Hole) -> Images:
    """OpenCV's fast marching (Telea 2004)."""
    return _opencv(images, hole, cv2.INPAINT_TELEA)


def navier_stokes(images: Images, hole: Hole) -> Images:
    """OpenCV's continuation of isophotes (Bertalmio et al. 2001)."""
    return _opencv(images, hole, cv2.INPAINT_NS)


def biharmonic(images: Images, hole: Hole) -> Images:
    """scikit-image's biharmonic surface, clipped to 0..255."""

    def fill(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        surface: NDArray[np.float64] = inpaint_biharmonic(image / 255, hole, channel_axis=-1)
        return np.asarray(np.rint(255 * surface.clip(0, 1)))

    return _each(mean_of_context(images, hole), hole, fill)


def patch_match(images: Images, hole: Hole, seed: int = 0) -> Images:
    """Content-aware fill of each image by its own patches; see `patch_match_fill`."""
    return _each(images, hole, lambda image: patch_match_fill(image, hole, seed))


CLASSICAL: dict[str, Callable[[Images, Hole], Images]] = {
    "mean-of-context": mean_of_context,
    "published-fill": published_fill,
    "telea": telea,
    "navier-stokes": navier_stokes,
    "biharmonic": biharmonic,
    "patch-match": patch_match,
}
"""Row of Table 1 -> the way that it fills; what is in the hole never matters to any."""


def _opencv(images: Images, hole: Hole, method: int) -> Images:
    mask = hole.astype(np.uint8)
    # OpenCV would mix what is in the hole into pixels that it reaches late.
    blank = mean_of_context(images, hole)
    return _each(blank, hole, lambda image: cv2.inpaint(image, mask, NEIGHBOURHOOD, method))


def _each(
    images: Images, hole: Hole, fill: Callable[[NDArray[np.uint8]], NDArray[np.generic]]
) -> Images:
    """The images with the hole's pixels of `fill(image)`."""
    filled = images.copy()
    for target, image in zip(filled, images, strict=True):
        target[hole] = fill(image)[hole]
    return filled
