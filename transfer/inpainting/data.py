"""What inpainting is scored on: a folder to paste from and a folder to fill, as squares."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import image_files
from cebench.data.overlap import same_photos
from cebench.errors import InputError
from cebench.inpainting.networks import Hole, Images
from cebench.inpainting.photo_holes import central_hole
from cebench.inpainting.squares import SIDE, load_squares

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
    """Images that would be searched and filled; InputError for two test images of one stem."""
    gallery, test = images_in(data, recipe.gallery, "gallery"), images_in(data, recipe.test, "test")
    _unique_stems(test)
    return {"gallery": gallery, "test": test}


def data_fingerprint(recipe: InpaintingRecipe, data: Path, proposals: str) -> str:
    """Hash of the images that would be searched and filled."""
    return fingerprint_files([*itertools.chain(*find_images(recipe, data).values())], data)


def read_images(gallery: Sequence[Path], test: Sequence[Path], mirrored: bool) -> InpaintingImages:
    """The images of two folders; `mirrored` adds the mirror image of each gallery image.

    Raises:
        InputError: an unreadable image, two test images of one stem, or a test photo in the
            gallery.
    """
    stems = _unique_stems(test)
    _check_disjoint_photos(test, gallery)
    squares = load_squares(gallery, "gallery images")
    views = np.concatenate([squares, squares[:, :, ::-1]]) if mirrored else squares
    targets = load_squares(test, "test images")
    return InpaintingImages(gallery, views, stems, targets, central_hole(SIDE, SIDE))


def images_in(data: Path, name: str, option: str) -> list[Path]:
    """The images of the subfolder that the recipe's `option` names."""
    folder = data / name
    if not folder.is_dir():
        found = sorted(p.name for p in data.iterdir() if p.is_dir()) if data.is_dir() else []
        raise InputError(
            f"{folder}: no such folder of {option} images; --data holds "
            f"{', '.join(found) or 'no folders'}; name the right one with --set {option}=NAME"
        )
    return image_files(folder)


def _unique_stems(files: Sequence[Path]) -> list[str]:
    by_stem = {path.stem: path for path in files}
    for path in files:
        if by_stem[path.stem] != path:
            raise InputError(
                f"{path} and {by_stem[path.stem]}: test images of one stem, under which the "
                "predictions are stored; rename one"
            )
    return list(by_stem)


def _check_disjoint_photos(test: Sequence[Path], gallery: Sequence[Path]) -> None:
    shared = same_photos(test, gallery)
    if shared:
        path, copy = next(iter(shared.items()))
        raise InputError(
            f"{path}: this test photo is also in the gallery ({copy}), as are "
            f"{len(shared) - 1} more; nearest neighbours would paste the answer: remove them "
            "from one folder"
        )
