"""Images of so few pixels that enlarging leaves nothing to see: warned about, not refused."""

from pathlib import PurePath

LARGEST_FACTOR = 8
"""Images that would be enlarged more than this are warned about."""


def is_speck(size: tuple[int, int], short_side: int) -> bool:
    """Whether an image of (width, height) is enlarged to a blur at a shorter side of that many."""
    return LARGEST_FACTOR * min(size) < short_side


def specks_warning(
    count: int, images: int, first: PurePath, size: tuple[int, int], short_side: int
) -> str:
    """What is said of `count` specks among `images`, of which `first` has (width, height)."""
    width, height = size
    return (
        f"{count} of {images} images are enlarged more than {LARGEST_FACTOR} times, to a shorter "
        f"side of {short_side}: {first} has {width} x {height} pixels; leave them out"
    )
