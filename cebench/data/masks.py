"""Masks of holes that people paint: which pixels are missing."""

import logging
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cebench.data.images import decode, image_files, turn_upright
from cebench.errors import InputError

Hole = NDArray[np.bool_]
"""(H, W), True = missing."""

_MASK_ENDING = re.compile(r"_mask\d*$")

logger = logging.getLogger("cebench")


def read_mask(path: Path, size: int | None = None, threshold: int | None = None) -> Hole:
    """The missing pixels of a mask image, turned upright as its EXIF orientation says.

    Black is visible, and so is what is more than half transparent. Of a mask with one other
    brightness, that one is missing, however dark it is. Of one with more, at least `threshold` is
    missing.

    Args:
        path: the file.
        size: if given, the mask is resized to size x size by its nearest pixels.
        threshold: in 0..255; half of the full range if not given, which is said in the log.

    Raises:
        InputError: the file is absent or damaged; no pixel or every pixel is missing.
    """
    with decode(path) as stored:
        image = turn_upright(stored, path)
        if size is not None:
            image = image.resize((size, size), Image.Resampling.NEAREST)
        brightness, full = _brightness(image)
        visible, hint = brightness == 0, ""
        if image.mode == "P":
            hint = "; its palette shows all its values black: save it as grey"
        if image.has_transparency_data:
            hint = "; its transparency is no mask: paint in black and white"
            visible |= np.asarray(image.convert("RGBA").getchannel("A")) < 128
    levels = np.unique(brightness[~visible])
    if threshold is not None or len(levels) > 1:
        visible |= brightness * 255 < (128 if threshold is None else threshold) * full
    if threshold is None and len(levels) > 1:
        logger.info(f"{path}: has {len(levels)} levels above black; from half of white on, missing")
    return _checked(~visible, path, "" if brightness.any() else hint)


def stem_of_image(path: Path) -> str:
    """What a file's image is called where it is named as LaMa names masks and results.

    photo.png and photo_mask001.png are of the image photo.
    """
    return _MASK_ENDING.sub("", path.stem)


def images_and_masks(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images of a folder without the masks that lie beside their images, and these masks.

    photo_mask001.png is a mask where photo.png lies beside it, as LaMa's input folders have it.
    """
    files = image_files(folder)
    stems = {path.stem for path in files}
    images: list[Path] = []
    masks: list[Path] = []
    for path in files:
        stem = stem_of_image(path)
        (masks if stem != path.stem and stem in stems else images).append(path)
    return images, masks


def masks_by_stem(folder: Path) -> dict[str, Path]:
    """The masks of a folder by the stem of their image: photo.png or photo_mask001.png of photo.

    Where some lie beside their images, the folder's other files are no masks. InputError where an
    image has two.
    """
    masks: dict[str, Path] = {}
    files, beside = images_and_masks(folder)
    for path in beside or files:
        stem = stem_of_image(path)
        if stem in masks:
            raise InputError(f"{masks[stem]} and {path} are masks of one image; keep one of them")
        masks[stem] = path
    return masks


def _brightness(image: Image.Image) -> tuple[NDArray[np.int64], int]:
    """(H, W) brightness and its greatest possible value; 0 is black alone."""
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        return deep, 65535 if deep.max(initial=0) > 255 else 255
    if image.mode == "1":
        return np.asarray(image).astype(np.int64), 1
    rgb = image.convert("RGB")
    grey = np.asarray(rgb.convert("L")).astype(np.int64)
    # A colour that is nearly black rounds to a brightness of 0.
    return np.maximum(grey, np.asarray(rgb).any(axis=2)), 255


def _checked(hole: Hole, path: Path, hint: str) -> Hole:
    if hole.any() and not hole.all():
        return hole
    found, other = ("missing", "visible") if hole.all() else ("visible", "missing")
    raise InputError(
        f"{path}: the mask marks every pixel as {found}; in a mask black is visible and white is "
        f"missing, and some pixel must be {other}{hint}"
    )
