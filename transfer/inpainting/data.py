"""What inpainting is scored on: a folder to paste from and a folder to fill, as squares."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cebench.data.fingerprint import fingerprint_files
from cebench.data.overlap import same_photos
from cebench.inpainting.networks import Hole, Images
from cebench.inpainting.photo_holes import central_hole
from cebench.inpainting.squares import SIDE, load_squares

from . import folders
from .folders import check_apart, unique_stems
from .recipe import InpaintingRecipe


@dataclass(frozen=True)
class InpaintingImages:
    """Squares of SIDE pixels with one hole."""

    gallery_files: Sequence[Path]
    gallery: Images
    """One per file, or, after all of these, their mirror images too."""
    stems: Sequence[str]
    """Names of the test images."""
    targets: Images
    """The test images as they are: what was in their hole."""
    hole: Hole


def find_images(recipe: InpaintingRecipe, data: Path) -> dict[str, list[Path]]:
    """Images that would be searched and filled; see `folders.find_images`."""
    return folders.find_images(data, recipe.gallery, recipe.test)


def data_fingerprint(recipe: InpaintingRecipe, data: Path, proposals: str) -> str:
    """`fingerprint` of the images that would be searched and filled."""
    found = find_images(recipe, data)
    return fingerprint(found["gallery"], found["test"], data)


def fingerprint(gallery: Sequence[Path], test: Sequence[Path], data: Path) -> str:
    """Hash of the images, and of which are searched and which filled; `data` holds them all."""
    parts = [fingerprint_files(part, data) for part in (gallery, test)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def read_images(gallery: Sequence[Path], test: Sequence[Path], mirrored: bool) -> InpaintingImages:
    """The images of two folders; `mirrored` adds the mirror image of each gallery image.

    Raises:
        InputError: an unreadable image, two test images of one stem, or a test photo in the
            gallery.
    """
    stems = unique_stems(test)
    check_apart(same_photos(test, gallery))
    squares = load_squares(gallery, "gallery images")
    views = np.concatenate([squares, squares[:, :, ::-1]]) if mirrored else squares
    targets = load_squares(test, "test images")
    return InpaintingImages(gallery, views, stems, targets, central_hole(SIDE, SIDE))
