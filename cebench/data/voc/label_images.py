"""Label images: the class of every pixel, however the PNG stores it.

The devkit writes indices under its own palette. Other programs write the same classes as grey
values, with fewer bits, in the palette's colours, or under a palette in another order; each is read
by what the file says, and what it leaves open is refused.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from cebench.data.images import decode
from cebench.data.voc.palette import voc_palette
from cebench.errors import InputError

logger = logging.getLogger("cebench")

_CLASSES, _VOID = 21, 255

_GREY_BITS_PLACE = 24
"""Byte of a PNG that holds the bits per sample."""


def read_label_image(path: Path) -> np.ndarray:
    """The labels of a PNG, (H, W) uint8.

    Read as they are: palette indices, and grey values of any number of bits. Read by colour:
    palettes and RGB images of VOC's colours. RGB with three equal channels counts as grey, but
    where it is (0, 0, 0) and (128, 128, 128): VOC's colours of background and car.

    Raises:
        InputError: the file is absent or damaged, has partly transparent pixels, values above 255,
            or colours that are not VOC's.
    """
    with decode(path) as image:
        reader = _READERS.get(image.mode)
        if reader is None:
            raise InputError(
                f"{path} has mode {image.mode}; a label image is a PNG of palette indices, of grey "
                "values or of VOC's colours"
            )
        return reader(image, path)


def _grey(image: Image.Image, path: Path) -> np.ndarray:
    values = np.array(image, dtype=np.uint8)
    bits = path.read_bytes()[_GREY_BITS_PLACE] if image.format == "PNG" else 8
    # Pillow spreads 1, 2 and 4 bits over 0..255 (one bit: over 0 and 1 already).
    return values if image.mode == "1" or bits >= 8 else values // (255 // (2**bits - 1))


def _deep_grey(image: Image.Image, path: Path) -> np.ndarray:
    values = np.asarray(image)
    if values.max(initial=0) > 255 or values.min(initial=0) < 0:
        raise InputError(f"{path}: label {values.max()} is above 255; write 8-bit indices")
    return values.astype(np.uint8)


def _palette(image: Image.Image, path: Path) -> np.ndarray:
    indices = np.array(image)
    colours = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    if used.size and used[-1] >= len(colours):
        return indices  # Indices without a colour can only be meant as they are.
    labels = _labels_of(colours[used])
    same = labels == used
    if same.all() or (labels[~same] < 0).all():
        return indices
    if (labels < 0).any():
        index = used[labels < 0][0]
        raise InputError(
            f"{path}: its palette has VOC's colours at other indices, but index {index} has the "
            f"colour {tuple(colours[index].tolist())}, which is none; write class indices"
        )
    _log_once(path, "its palette has VOC's colours at other indices; read by colour")
    by_index = np.zeros(256, np.uint8)
    by_index[used] = labels
    return np.asarray(by_index[indices])


def _colours(image: Image.Image, path: Path) -> np.ndarray:
    pixels = np.asarray(image)
    if pixels.shape[2] in (2, 4):
        if (pixels[:, :, -1] < 255).any():
            raise InputError(f"{path} has transparent pixels; write a label image without alpha")
        pixels = pixels[:, :, :-1]
    values = pixels[:, :, 0]
    is_grey = bool((pixels == pixels[:, :, :1]).all())
    if is_grey and (pixels.shape[2] == 1 or ((values < _CLASSES) | (values == _VOID)).all()):
        return values.copy()
    colours, inverse = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    labels = _labels_of(colours)
    if is_grey and (labels < 0).any():
        return values.copy()
    if (labels < 0).any():
        colour = tuple(colours[labels < 0][0].tolist())
        raise InputError(
            f"{path}: the colour {colour} is none of VOC's; write class indices, without "
            "antialiasing"
        )
    _log_once(path, "VOC's colours are read as their classes")
    return labels.astype(np.uint8)[inverse].reshape(pixels.shape[:2])


_READERS: dict[str, Callable[[Image.Image, Path], np.ndarray]] = {
    "1": _grey,
    "L": _grey,
    "I": _deep_grey,
    "I;16": _deep_grey,
    "P": _palette,
    "LA": _colours,
    "RGB": _colours,
    "RGBA": _colours,
}
"""By Pillow's mode."""


def _labels_of(colours: np.ndarray) -> np.ndarray:
    """(N,) the label of the background's, a class's or the void's colour (N, 3), -1 for others."""
    palette = voc_palette().tolist()
    known = {tuple(palette[label]): label for label in (*range(_CLASSES), _VOID)}
    return np.array([known.get(tuple(colour), -1) for colour in colours.tolist()], dtype=np.int64)


def _log_once(path: Path, what: str) -> None:
    """One line for the first file of a folder: the others are written alike."""
    place = (path.parent, what)
    if place not in _logged:
        _logged.add(place)
        logger.info(f"{path}: {what} (and so may others of its folder)")


_logged: set[tuple[Path, str]] = set()
