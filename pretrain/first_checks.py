"""Mistakes that recipe, names and files tell before PyTorch is imported, which takes seconds.

Whatever they let pass the run itself checks again, with all that needs the files' content.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cebench.config import load_recipe
from cebench.data.images import IMAGE_SUFFIXES
from cebench.data.photos import find_photos
from cebench.data.voc.devkit import devkit_years
from cebench.errors import InputError
from cebench.training.run_owner import check_program

from .options import RECIPES
from .silhouettes import find_shapes

DATA_MISSING = "--data is missing; give a folder of images, a VOC year folder or a packed store"
NO_CLASSES = (
    "imagenet learns labels: every image of --data must lie in a class folder "
    "(DATA/CLASS/IMAGE), and there must be at least two classes"
)
_OTHER_DATA = {"motion", "egomotion", "random", "random-he"}
"""Methods that read no photographs, or not always."""


def check_start(
    *,
    method: str,
    out: Path,
    recipe: str,
    changes: Sequence[str],
    seed: int,
    data: Sequence[Path],
    region_shapes: Path | None,
    resume: bool,
    **others: Any,
) -> None:
    """InputError for a run that cannot start: its recipe, --out, --data or silhouettes."""
    options: Any
    options, name = load_recipe(RECIPES[method], "cebench.pretrain", method, recipe, changes)
    check_program(out, {"verb": "pretrain", "method": method, "recipe": name, "seed": seed})
    if resume and (out / "record.json").exists():
        return  # Finished: its data may be gone.
    if getattr(options, "mask", "") == "random-region":
        find_shapes(options.region_image_set, region_shapes)
    if method not in _OTHER_DATA:
        _check_data(data, options.voc_image_set)
    if method == "imagenet":
        _check_class_folders(data)


def _check_data(data: Sequence[Path], voc_image_set: str) -> None:
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
