"""Image files in and out: one decoder (Pillow), one layout, every bad file named."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from cebench.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def read_image(path: Path) -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB.

    Grey, CMYK and palette images are converted; transparency is dropped. The EXIF orientation is
    not applied: VOC boxes and masks refer to the raster as stored.

    Raises:
        InputError: the file is absent, empty, truncated, no image, too large or deeper than
            8 bits per channel.
    """
    return np.array(open_rgb(path))


def open_rgb(path: Path, at_least: int | None = None) -> Image.Image:
    """Decode to a Pillow RGB image; converts and raises as `read_image` does.

    Args:
        path: the file.
        at_least: if given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size (much faster) so
            long as both sides keep this many pixels.
    """
    with _opened(path) as image:
        if _is_deep(image):
            raise InputError(f"{path} has more than 8 bits per channel; convert it to 8-bit RGB")
        _load(image, path, at_least)
        # Kept, it would only make Pillow warn that RGB cannot hold it.
        image.info.pop("transparency", None)
        return image.convert("RGB")


def read_label_image(path: Path) -> np.ndarray:
    """The indices of a palette PNG or the values of a grey one, (H, W) uint8."""
    with _opened(path) as image:
        if image.mode not in ("P", "L"):
            raise InputError(
                f"{path} has mode {image.mode}; a label image is a PNG of palette indices or of "
                "8-bit grey values"
            )
        _load(image, path)
        return np.array(image)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header alone; InputError if there is no readable header."""
    with _opened(path) as image:
        return image.size


def image_files(root: Path) -> list[Path]:
    """Every image file below `root`, sorted by path; `root` may also be one image file.

    Hidden files and folders are left out.

    Raises:
        InputError: there is no such folder, or no file in it has one of IMAGE_SUFFIXES.
    """
    root = Path(root)
    if root.is_file() and root.suffix.lower() in IMAGE_SUFFIXES:
        return [root]
    if not root.is_dir():
        raise InputError(f"{root} is no folder of images ({', '.join(IMAGE_SUFFIXES)})")
    files = [path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES]
    visible = [p for p in files if not _is_hidden(p.relative_to(root)) and p.is_file()]
    if not visible:
        raise InputError(
            f"found no images below {root}; supported files end in {', '.join(IMAGE_SUFFIXES)}"
        )
    return sorted(visible)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) or (H, W) uint8 as a lossless PNG, making its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG")


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 or 32 bits per channel, which Pillow cuts to 8 or clips silently."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    raw = " ".join(str(tile.args) for tile in tiles)
    return image.mode.startswith(("I", "F")) or ";16" in raw


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that Pillow can read; replace it") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path} is too large: {error}; make it smaller") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot open the image {path}: {error}; replace it") from error


def _load(image: Image.Image, path: Path, at_least: int | None = None) -> None:
    try:
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.load()
    except (OSError, ValueError, SyntaxError, IndexError, EOFError) as error:
        raise InputError(f"{path} is truncated or damaged ({error}); replace it") from error
