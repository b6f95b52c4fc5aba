"""The images a pretext method learns from: found, cleared of evaluation photos, decoded once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import image_files
from cebench.data.overlap import same_photos
from cebench.data.ragged import RaggedImages, load_ragged
from cebench.data.voc import VocYear
from cebench.errors import InputError
from cebench.progress import progress

logger = logging.getLogger("cebench")


@dataclass(frozen=True)
class Source:
    """Decoded images and the hash of the files they came from."""

    images: RaggedImages
    fingerprint: str


def find_images(
    data: Sequence[Path], exclude: Sequence[Path], voc_image_set: str
) -> tuple[list[Path], int]:
    """Image files below `data` less every photo that `exclude` shows, and how many those were.

    A folder that holds JPEGImages is a VOC year: the images of its `voc_image_set` are taken. An
    exclusion is an image list of a VOC year (ImageSets/.../SET.txt) or a folder of images.
    """
    if not data:
        raise InputError("--data is missing; give a folder of images or a VOC year folder")
    candidates = sorted({path for root in data for path in _images_of(root, voc_image_set)})
    held_out = [path for place in exclude for path in _excluded(place)]
    if not held_out:
        return candidates, 0
    same = same_photos(candidates, held_out)
    kept = [path for path in candidates if path not in same]
    if not kept:
        raise InputError("--exclude: every image of --data is excluded; nothing is left to learn")
    return kept, len(same)


def load_source(
    data: Sequence[Path], exclude: Sequence[Path], voc_image_set: str, short_side: int
) -> Source:
    """Decode the images of `find_images` with their shorter side at `short_side` pixels."""
    paths, excluded = find_images(data, exclude, voc_image_set)
    if excluded:
        logger.info(f"{excluded} images left out: they show photos of the excluded lists")
    with progress("reading images", "images") as report:
        images = load_ragged(paths, short_side=short_side, report=report)
    return Source(images, fingerprint_files(paths, None))


def _images_of(root: Path, voc_image_set: str) -> list[Path]:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; --data needs images or a VOC year folder")
    if (root / "JPEGImages").is_dir():
        voc = voc_year(root, "--data")
        return [voc.image_path(image) for image in voc.ids(voc_image_set)]
    return image_files(root)


def _excluded(place: Path) -> list[Path]:
    if place.is_dir():
        return image_files(place)
    if not place.is_file() or place.parent.parent.name != "ImageSets":
        raise InputError(
            f"--exclude {place}: expected a folder of images or a list VOC.../ImageSets/.../SET.txt"
        )
    voc = voc_year(place.parents[2], "--exclude")
    return [voc.image_path(image) for image in voc.ids(place)]


def voc_year(root: Path, option: str) -> VocYear:
    """The VOC year whose folder is `root`; InputError that names `option` when it is none."""
    year = root.resolve().name.removeprefix("VOC")
    if not (root / "ImageSets").is_dir() or not year.isdigit():
        raise InputError(f"{option} {root}: expected a VOC year folder, such as VOCdevkit/VOC2012")
    return VocYear(root, int(year))
