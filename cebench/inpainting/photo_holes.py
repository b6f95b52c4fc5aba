"""Where people's images have holes: a mask that they painted, rectangles, the centre, or chance."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cebench.data.hole_kinds import TABLE_1_ROWS, TABLE_1_SIDE
from cebench.data.hole_masks import Holes, NoisePattern, RandomBlocks, RandomRegions
from cebench.data.images import image_size
from cebench.data.masks import Hole, masks_by_stem, read_mask
from cebench.data.voc.devkit import VocYear
from cebench.errors import InputError
from cebench.randomness import numpy_generator

HoleOf = Callable[[Path, int, int], Hole]
"""The hole of an image file of this height and width, upright."""

RANDOM_SIDE = 227
"""Pixels of a random hole before it is stretched to the image."""


def central_hole(height: int, width: int) -> Hole:
    """The hole of Table 1 at any size: what lies wholly in rows and columns 36..91 of 128.

    (height, width), True = missing: 56 of 128 pixels; 99 of 227, rows and columns 64..162, in the
    authors' test images (protocol ledger: Paris StreetView).
    """
    (start, stop), side = TABLE_1_ROWS, TABLE_1_SIDE
    hole = np.zeros((height, width), np.bool_)
    rows, columns = (slice(-(-n * start // side), n * stop // side) for n in (height, width))
    hole[rows, columns] = True
    return hole


def central_hole_of(file: Path, height: int, width: int) -> Hole:
    """`central_hole` of an image file; InputError where the image is too small for one."""
    hole = central_hole(height, width)
    return _checked(hole, f"{file}: the central hole")


def rectangular_holes(rectangles: Sequence[tuple[int, int, int, int]]) -> HoleOf:
    """The same rectangles (x, y, width, height in pixels) in every image."""

    def hole_of(file: Path, height: int, width: int) -> Hole:
        hole = np.zeros((height, width), np.bool_)
        for x, y, wide, high in rectangles:
            if x + wide > width or y + high > height:
                raise InputError(
                    f"{file}: the rectangle {x},{y},{wide},{high} reaches beyond the image, "
                    f"{width} x {height} pixels"
                )
            hole[y : y + high, x : x + wide] = True
        return _checked(hole, f"{file}: the rectangles")

    return hole_of


def painted_holes(masks: Path, files: Sequence[Path]) -> HoleOf:
    """One mask for all images, or a folder with a mask of each one's name.

    What is missing is told by `cebench.data.masks.read_mask`.

    Raises:
        InputError: an image has no mask, or one of another size; the holes that are returned: a
            mask is empty or full.
    """
    by_stem = masks_by_stem(masks) if masks.is_dir() else {}
    if alone := [file for file in files if masks.is_dir() and file.stem not in by_stem]:
        raise InputError(
            f"{masks}: has no mask named {alone[0].stem} for {alone[0]} ({len(alone)} of "
            f"{len(files)} images lack one); a mask is named like its image, or like it with _mask"
        )
    mask_of = {file: by_stem.get(file.stem, masks) for file in files}
    for file, mask in mask_of.items():
        _check_size(mask, image_size(mask), file, image_size(file))

    def hole_of(file: Path, height: int, width: int) -> Hole:
        return read_mask(mask_of[file])

    return hole_of


def random_holes(kind: str, seed: int, region_shapes: Path | None) -> HoleOf:
    """`block` or `region` holes (paper 3.3) or the `noise` of the released code.

    Blocks and regions cover up to a quarter of each image, noise 20 to 30 %. A function of the seed
    and the file's name, made at 227 px and stretched to the image.

    region_shapes: VOCdevkit whose objects of VOC2012 train shape the regions.
    """
    holes: Holes = NoisePattern(RANDOM_SIDE) if kind == "noise" else RandomBlocks(RANDOM_SIDE)
    if kind == "region":
        assert region_shapes is not None
        holes = RandomRegions.from_voc(RANDOM_SIDE, VocYear(region_shapes, 2012), "train")

    def hole_of(file: Path, height: int, width: int) -> Hole:
        random = numpy_generator(seed, f"holes of {file.name}")
        uniforms = torch.from_numpy(random.random((1, *holes.sample_shape), dtype=np.float32))
        made = Image.fromarray(holes(uniforms)[0].numpy())
        stretched = np.asarray(made.resize((width, height), Image.Resampling.NEAREST))
        return _checked(stretched, f"{file}: the random hole")

    return hole_of


def _checked(hole: Hole, what: str) -> Hole:
    if not hole.any():
        raise InputError(f"{what} has no pixel; the image is too small for one")
    if hole.all():
        raise InputError(f"{what} covers the whole image; something must be left to fill from")
    return hole


def _check_size(mask: Path, mask_size: tuple[int, int], file: Path, size: tuple[int, int]) -> None:
    if mask_size != size:
        raise InputError(
            f"{mask}: the mask is {mask_size[0]} x {mask_size[1]} pixels and {file} is "
            f"{size[0]} x {size[1]}; a mask must have the size of its image"
        )
