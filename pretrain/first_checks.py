"""Mistakes that recipe, names and files tell before PyTorch is imported, which takes seconds.

Whatever they let pass the run itself checks again, with all that needs the files' content.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cebench.config import check_logs_training, load_recipe
from cebench.data.images import IMAGE_SUFFIXES
from cebench.data.photos import find_photos
from cebench.data.voc.devkit import devkit_years
from cebench.errors import InputError
from cebench.training.run_owner import check_program
from cebench.training.run_status import is_finished

from .options import RECIPES
from .silhouettes import find_shapes

DATA_MISSING = "--data is missing; give a folder of images, a VOC year folder or a packed store"
NO_CLASSES = (
    "imagenet learns labels: every image of --data must lie in a class folder "
    "(DATA/CLASS/IMAGE), and there must be at least two classes"
)
ONE_LIST = (
    "motion learns from one --data: a list of tracked pairs, or the folder that "
    "`cebench data motion` made"
)
ONE_DRIVE = (
    "egomotion learns from one --data folder in the layout of KITTI odometry (sequences/, "
    "poses/); for any images: --set source=single-images"
)
_UNTRAINED = {"random", "random-he"}


def check_start(
    *,
    method: str,
    out: Path,
    recipe: str,
    changes: Sequence[str],
    seed: int,
    data: Sequence[Path],
    exclude: Sequence[Path],
    region_shapes: Path | None,
    resume: bool,
    tensorboard: bool,
    **others: Any,
) -> None:
    """InputError for a run that cannot start: its recipe, --out, data or silhouettes."""
    options: Any
    options, name = load_recipe(RECIPES[method], "cebench.pretrain", method, recipe, changes)
    if tensorboard:
        check_logs_training(options, method)
    check_program(out, {"verb": "pretrain", "method": method, "recipe": name, "seed": seed})
    if method in _UNTRAINED:
        _check_reads_nothing(
            method, {"--data": data, "--exclude": exclude, "--region-shapes": region_shapes}
        )
        return
    if is_finished(out, resume):
        return
    if getattr(options, "mask", "") == "random-region":
        find_shapes(options.region_image_set, region_shapes)
    if method == "motion" or getattr(options, "source", "") == "kitti":
        _check_one_place(data, ONE_LIST if method == "motion" else ONE_DRIVE)
        return
    _check_photos(data, options.voc_image_set)
    for place in exclude:
        check_exclusion(place)
    if method == "imagenet":
        _check_class_folders(data)


def check_exclusion(place: Path) -> None:
    """InputError where --exclude names neither a folder nor an image list of a VOC year."""
    if place.is_dir():
        return
    if not place.is_file() or place.parent.parent.name != "ImageSets":
        raise InputError(
            f"--exclude {place}: expected a folder of images or a list VOC.../ImageSets/.../SET.txt"
        )


def _check_reads_nothing(method: str, given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise InputError(f"{method} learns from nothing and reads no {option}; leave it out")


def _check_one_place(data: Sequence[Path], expected: str) -> None:
    if len(data) != 1:
        raise InputError(expected)
    if not data[0].exists():
        raise InputError(f"--data {data[0]}: no such file or folder; {expected}")


def _check_photos(data: Sequence[Path], voc_image_set: str) -> None:
    if not data:
        raise InputError(DATA_MISSING)
    for source in data:
        if not source.exists() or (source / "JPEGImages").is_dir() or devkit_years(source):
            find_photos([source], voc_image_set)


def _check_class_folders(data: Sequence[Path]) -> None:
    """InputError where an image lies beside the class folders; what is below them is not read."""
    for source in data:
        if not source.is_dir():
            continue
        if (source / "JPEGImages").is_dir() or any(
            path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
            for path in source.iterdir()
            if path.is_file()
        ):
            raise InputError(NO_CLASSES)
