"""Images as people edit them: turned upright, grey and transparent ones kept so.

The same door as every photograph's (`cebench.data.images`), with what RGB does not hold.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cebench.data.images import decode, open_rgb, turn_upright


@dataclass(frozen=True)
class Photo:
    """An image file's pixels, and what they do not say."""

    pixels: NDArray[np.uint8]
    """(H, W, 3), 0..255."""
    grey: bool = False
    alpha: NDArray[np.uint8] | None = None
    """(H, W) opacity; None: opaque."""
    icc_profile: bytes | None = None


def read_photo(path: Path) -> Photo:
    """Read an image, turned as its EXIF orientation says; InputError as `open_rgb`."""
    rgb = open_rgb(path)
    with decode(path) as stored:
        mode = stored.mode
        same_colours = mode in ("RGB", "RGBA", "L", "LA")
        return Photo(
            np.asarray(rgb),
            grey=mode in ("1", "L", "LA") or mode.startswith("I"),
            alpha=_opacity(turn_upright(stored, path)) if stored.has_transparency_data else None,
            icc_profile=stored.info.get("icc_profile") if same_colours else None,
        )


def write_photo(path: Path, photo: Photo, pixels: NDArray[np.uint8]) -> None:
    """Write other pixels for `photo` as a PNG; grey stays grey, transparency stays as it is."""
    image = Image.fromarray(pixels).convert("L" if photo.grey else "RGB")
    if photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    options: dict[str, Any] = {"icc_profile": photo.icc_profile} if photo.icc_profile else {}
    image.save(path, format="PNG", **options)


def toned(photo: Photo, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Other pixels for `photo`, grey if it is; equal R, G and B come back unchanged."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB")) if photo.grey else pixels


def _opacity(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGBA").getchannel("A"))
