"""Photographs in and out: one decoder (Pillow), one layout, every bad file named.

What becomes of odd files is the same for every verb, and for a folder, a VOC tree, an archive and a
packed store. A photograph is turned upright as its EXIF orientation says (VOC's own are not: boxes
and label images refer to the pixels as stored). Every byte is checked, a PNG's against its CRCs.
The content decides the format, not the suffix; grey, palette and CMYK become RGB; transparency is
dropped (the stored colours stay, nothing is composited); 16-bit channels keep their high byte,
which undoes the usual widening of 8 bits; of an animation the first frame counts. Empty, truncated
and damaged files, files that are no image, channels of 32 bits (whose range nothing states) and
more pixels than Pillow's limit against decompression bombs are errors.
"""

import math
import warnings
import zlib
from io import BytesIO
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from cebench.data.listing import files_below
from cebench.errors import InputError
from cebench.files import naming

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
)  # fmt: skip

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Nothing else is tried: Pillow would run Ghostscript on PostScript named .jpg."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_ORIENTED = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
"""Without one of these words a PNG has no EXIF orientation."""

MOST_PIXELS = Image.MAX_IMAGE_PIXELS or 2**26
"""Most pixels of an image, as stored or enlarged: Pillow's limit against decompression bombs."""

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


def read_image(path: Path, *, upright: bool = True) -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB.

    Args:
        path: the file.
        upright: turn it as the EXIF orientation says; VOC's boxes and label images refer to the
            pixels as stored. A TIFF is turned in any case, by Pillow.

    Raises:
        InputError: the file is absent or bad (see the top of this module).
    """
    return np.array(open_rgb(path, upright=upright))


def open_rgb(
    path: Path, at_least: int | None = None, *, upright: bool = True, content: bytes | None = None
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
        orientation = _orientation(image, path) if upright else 1
        return _rgb(image, path, orientation, at_least)


def open_resized(
    path: Path, short_side: int | None, *, upright: bool = True, content: bytes | None = None
) -> Image.Image:
    """`open_rgb`, then bilinear with antialias to the size that `image_size` tells.

    A JPEG is decoded no smaller than twice that, which changes nothing that the eye can see. What
    would become larger than an image may be is an InputError: a line of 1 x 65,000 pixels.
    """
    with _opened(path, content) as image:
        orientation = _orientation(image, path) if upright else 1
        stored = _upright_size(image, orientation)
        size = resized_size(stored, short_side)
        if math.prod(size) > MOST_PIXELS:
            raise InputError(
                f"{path}: its {stored[0]} x {stored[1]} pixels become {size[0]} x {size[1]} at a "
                f"shorter side of {short_side}, more than {MOST_PIXELS:,}; crop it"
            )
        rgb = _rgb(image, path, orientation, None if short_side is None else 2 * short_side)
    return rgb if rgb.size == size else rgb.resize(size, Image.Resampling.BILINEAR)


def image_size(
    path: Path,
    short_side: int | None = None,
    *,
    upright: bool = True,
    content: bytes | None = None,
) -> tuple[int, int]:
    """(width, height), of most formats from the header alone; InputError if it is unreadable.

    With `short_side`, the size at which the shorter side has this many pixels, aspect kept.
    `upright` and `content` are those of `open_rgb`.
    """
    with _opened(path, content) as image:
        orientation = _orientation(image, path) if upright else 1
        return resized_size(_upright_size(image, orientation), short_side)


def decode(path: Path, content: bytes | None = None) -> Image.Image:
    """The image in the mode and orientation that it is stored in, decoded to its last byte."""
    image = _opened(path, content)
    _load(image, path)
    return image


def turn_upright(image: Image.Image, path: Path) -> Image.Image:
    """An opened image turned as its EXIF orientation says."""
    turn = _UPRIGHT.get(_orientation(image, path))
    return image if turn is None else image.transpose(turn)


def image_files(root: Path) -> list[Path]:
    """Every image file below `root`, sorted by path; `root` may also be one image file.

    Linked files and folders are followed. Hidden files and folders are left out.

    Raises:
        InputError: there is no such folder, a link leads nowhere or back to a folder above it, or
            no file has one of IMAGE_SUFFIXES.
    """
    root = Path(root)
    if root.is_file() and root.suffix.lower() in IMAGE_SUFFIXES:
        return [root]
    if not root.is_dir():
        raise InputError(f"{root} is no folder of images ({', '.join(IMAGE_SUFFIXES)})")
    below = list(files_below(root))
    files = [path for path in below if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        packed = [f"; {path} is compressed: unpack it" for path in below if is_compressed_tar(path)]
        raise InputError(
            f"found no images below {root}; supported files end in {', '.join(IMAGE_SUFFIXES)}"
            + "".join(packed[:1])
        )
    return sorted(files)


def is_compressed_tar(path: Path) -> bool:
    """Whether a file's name says that it is a tar file that cannot be read in place."""
    return path.suffix in (".tgz", ".txz") or path.with_suffix("").suffix == ".tar"


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W, 3) or (H, W) uint8 as a lossless PNG, making its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
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


def _rgb(image: Image.Image, path: Path, orientation: int, at_least: int | None) -> Image.Image:
    _load(image, path, at_least)
    rgb = _eight_bits(image, path)
    turn = _UPRIGHT.get(orientation)
    return rgb if turn is None else rgb.transpose(turn)


def _upright_size(image: Image.Image, orientation: int) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if orientation >= 5 else (width, height)


def resized_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """(width, height) `size` with the shorter side at `short_side` pixels, aspect kept."""
    if short_side is None:
        return size
    factor = short_side / min(size)
    width, height = (max(short_side, round(side * factor)) for side in size)
    return width, height


def _orientation(image: Image.Image, path: Path) -> int:
    """The EXIF orientation, 1 (as stored) where there is none or none that can be read."""
    # Pillow decodes a PNG to look for its EXIF block, which may stand behind the pixels, and would
    # keep a black image if that failed inside getexif.
    file = getattr(image, "fp", None)
    if image.format == "PNG" and isinstance(file, BytesIO):  # else it is decoded already
        content = file.getvalue()
        if not any(word in content for word in _ORIENTED):
            return 1
        _load(image, path)
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # Pillow's reader of EXIF blocks raises almost anything; nothing is decoded.
        return 1
    if orientation not in _UPRIGHT:
        return 1
    if image.format == "TIFF":  # Pillow turns it itself as it decodes it.
        _load(image, path)
        return 1
    return int(orientation)


def _opened(path: Path, content: bytes | None = None) -> Image.Image:
    try:
        data = path.read_bytes() if content is None else content
        _check_png_chunks(data, path)
        return Image.open(BytesIO(data), formats=_FORMATS)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that Pillow can read; replace it") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path} is too large: {error}; make it smaller") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"cannot open the image {path}: {error}; replace it") from error


def _check_png_chunks(data: bytes, path: Path) -> None:
    """InputError if a chunk of a PNG does not have its CRC: Pillow skips those of the pixels."""
    if not data.startswith(_PNG_SIGNATURE):
        return
    view, place, kind = memoryview(data), len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(view[place : place + 4]), bytes(view[place + 4 : place + 8])
        end = place + 12 + length
        crc = int.from_bytes(view[end - 4 : end])
        if end > len(data) or zlib.crc32(view[place + 4 : end - 4]) != crc:
            raise InputError(f"{path} is truncated or damaged (at byte {place}); replace it")
        place = end


def _load(image: Image.Image, path: Path, at_least: int | None = None) -> None:
    try:
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on damaged data.
        raise InputError(f"{path} is truncated or damaged ({error}); replace it") from error
