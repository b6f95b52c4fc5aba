"""Image files in and out: one decoder (Pillow), one layout, every bad file named.

What becomes of odd files is the same for a folder, a VOC tree, an archive and a packed store:
the content decides the format, not the suffix; grey, palette and CMYK become RGB; transparency is
dropped (the stored colours stay, nothing is composited); 16-bit channels keep their high byte,
which undoes the usual widening of 8 bits; of an animation the first frame counts. Empty, truncated
and damaged files, files that are no image, channels of 32 bits (whose range nothing states) and
more pixels than Pillow's limit against decompression bombs are errors.
"""

import warnings
from io import BytesIO
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from cebench.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Nothing else is tried: Pillow would run Ghostscript on PostScript named .jpg."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what shows the image as a viewer does; 5 to 8 swap the sides."""

# Pillow only warns between once and twice its limit. What else it warns of, such as a corrupt EXIF
# block, changes nothing that is read here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def read_image(path: Path) -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB; the EXIF orientation is not applied.

    VOC boxes and masks refer to the raster as stored.

    Raises:
        InputError: the file is absent or bad (see the top of this module).
    """
    return np.array(open_rgb(path))


def open_rgb(
    path: Path, at_least: int | None = None, *, upright: bool = False, content: bytes | None = None
) -> Image.Image:
    """Decode to a Pillow RGB image.

    Args:
        path: the file.
        at_least: if given, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size (much faster) so
            long as both sides keep this many pixels.
        upright: turn it as the EXIF orientation says.
        content: the file's bytes where they are at hand; `path` then only names it.

    Raises:
        InputError: the file is absent or bad (see the top of this module).
    """
    with _opened(path, content) as image:
        turn = _UPRIGHT.get(_orientation(image)) if upright else None
        _load(image, path, at_least)
        rgb = _eight_bits(image, path)
        return rgb if turn is None else rgb.transpose(turn)


def open_resized(
    path: Path, short_side: int | None, *, upright: bool = False, content: bytes | None = None
) -> Image.Image:
    """`open_rgb`, then bilinear with antialias to the size that `image_size` tells.

    A JPEG is decoded no smaller than twice that, which changes nothing that the eye can see.
    """
    size = image_size(path, short_side, upright=upright, content=content)
    at_least = None if short_side is None else 2 * short_side
    image = open_rgb(path, at_least, upright=upright, content=content)
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def image_size(
    path: Path,
    short_side: int | None = None,
    *,
    upright: bool = False,
    content: bytes | None = None,
) -> tuple[int, int]:
    """(width, height), from the header alone; InputError if there is no readable header.

    With `short_side`, the size at which the shorter side has this many pixels, aspect kept.
    `upright` and `content` are those of `open_rgb`.
    """
    with _opened(path, content) as image:
        width, height = image.size
        if upright and _orientation(image) >= 5:
            width, height = height, width
    if short_side is None:
        return width, height
    factor = short_side / min(width, height)
    return max(short_side, round(width * factor)), max(short_side, round(height * factor))


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
    visible = [p for p in files if not is_hidden(p.relative_to(root)) and p.is_file()]
    if not visible:
        raise InputError(
            f"found no images below {root}; supported files end in {', '.join(IMAGE_SUFFIXES)}"
        )
    return sorted(visible)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) or (H, W) uint8 as a lossless PNG, making its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="PNG")


def is_hidden(relative: PurePath) -> bool:
    """Whether a file's name or one of its folders begins with a dot."""
    return any(part.startswith(".") for part in relative.parts)


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """RGB of a decoded image."""
    # Pillow takes the high byte of deep colour itself, but clips deep grey.
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if deep:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise InputError(f"{path} has 32 bits per channel; convert it to 8-bit RGB")
    # Kept, it would only make Pillow warn that RGB cannot hold it.
    image.info.pop("transparency", None)
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (as stored) where there is none or none that can be read."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _opened(path: Path, content: bytes | None = None) -> Image.Image:
    try:
        return Image.open(path if content is None else BytesIO(content), formats=_FORMATS)
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
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged data.
        raise InputError(f"{path} is truncated or damaged ({error}); replace it") from error
