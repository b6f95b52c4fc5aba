"""Folders of predicted images beside the true ones, with the holes that were filled."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cebench.data.hole_masks import middle
from cebench.data.images import read_image
from cebench.data.masks import images_and_masks, masks_by_stem, read_mask, stem_of_image
from cebench.data.resize import resize
from cebench.errors import InputError


class InpaintingPair(NamedTuple):
    """A predicted image, the true one and the hole between them."""

    path: Path
    """The predicted image's file."""
    stem: str
    """Name of the true image's file without its suffix."""
    prediction: np.ndarray
    """(H, W, 3) uint8."""
    target: np.ndarray
    """(H, W, 3) uint8."""
    hole: np.ndarray
    """(H, W) bool, True = missing."""


def read_inpainting_pairs(
    predictions: Path,
    targets: Path,
    region: Path | int,
    size: int | None = None,
    mask_threshold: int | None = None,
) -> Iterator[InpaintingPair]:
    """Pair the images of two folders by name without suffix, in the order of the targets' names.

    A prediction may also be called as LaMa calls it, after its mask: photo_mask001.png.

    Args:
        predictions: folder of predicted images, as large as their targets unless `size` is given.
        targets: folder of true images.
        region: folder of hole masks; or the side in pixels of a centred square hole.
        size: if given, what is not size x size is resized to it: images by averaging areas
            and rounding (`cebench.data.resize`), masks by NEAREST.
        mask_threshold: see `cebench.data.masks.read_mask`.

    Raises:
        InputError: names or sizes do not match, an image cannot be read, or a mask is empty or
            full.
    """
    true_files = _by_stem(targets)
    guessed_files = _by_stem(predictions, true_files)
    masks = {} if isinstance(region, int) else masks_by_stem(region)
    _check_partners(true_files, targets, guessed_files, predictions)
    _check_partners(guessed_files, predictions, true_files, targets)
    if not isinstance(region, int):
        _check_partners(true_files, targets, masks, region)
    for stem, path in true_files.items():
        target = _averaged(path, size)
        prediction = _averaged(guessed_files[stem], size)
        _check_size(prediction, guessed_files[stem], target)
        if isinstance(region, int):
            hole = _central_hole(target, region, path)
        else:
            hole = read_mask(masks[stem], size, mask_threshold)
            _check_size(hole, masks[stem], target)
        yield InpaintingPair(guessed_files[stem], stem, prediction, target, hole)


def _by_stem(folder: Path, known: Collection[str] | None = None) -> dict[str, Path]:
    """The images of a folder; what is not among the `known` names may be named after its mask."""
    files: dict[str, Path] = {}
    for path in images_and_masks(folder)[0]:
        named = known is None or path.stem in known
        stem = path.stem if named else stem_of_image(path)
        if stem in files:
            raise InputError(f"{files[stem]} and {path} are of one image; keep one of them")
        files[stem] = path
    return files


def _check_partners(
    files: Mapping[str, Path], folder: Path, partners: Mapping[str, Path], partner_folder: Path
) -> None:
    alone = [stem for stem in files if stem not in partners]
    if alone:
        raise InputError(
            f"{partner_folder} has no image named {alone[0]} for {files[alone[0]]} "
            f"({len(alone)} of {len(files)} in {folder} lack one); names must match up to suffixes"
        )


def _averaged(path: Path, size: int | None) -> np.ndarray:
    image = read_image(path)
    if size is None or image.shape[:2] == (size, size):
        return image
    return np.rint(resize(image, size, size)).astype(np.uint8)


def _check_size(image: np.ndarray, path: Path, target: np.ndarray) -> None:
    (height, width), (true_height, true_width) = image.shape[:2], target.shape[:2]
    if (height, width) != (true_height, true_width):
        raise InputError(
            f"{path} is {width} x {height}, its target {true_width} x {true_height}; give --size "
            "to compare at one size"
        )


def _central_hole(target: np.ndarray, side: int, path: Path) -> np.ndarray:
    height, width, _ = target.shape
    if side > min(height, width):
        raise InputError(f"a hole of {side} pixels does not fit {path}, {width} x {height}")
    hole = np.zeros((height, width), dtype=np.bool_)
    hole[middle(height, side), middle(width, side)] = True
    return hole
