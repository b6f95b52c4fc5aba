"""Image sets that are learned from and scored: what they may not have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cebench.data.voc.devkit import VocYear
from cebench.data.voc.segmentation_sets import segmentation_ids
from cebench.errors import InputError


def check_disjoint(
    train_ids: Sequence[str], test_ids: Sequence[str], names: tuple[str, str]
) -> None:
    """InputError if the two sets, called `names`, have an image in common."""
    shared = sorted({*train_ids} & {*test_ids})
    if shared:
        raise InputError(
            f"train set {names[0]} and test set {names[1]} share {len(shared)} images "
            f"({shared[0]}, ...); choose sets without overlap"
        )


def photographs(voc: VocYear, ids: Sequence[str]) -> list[Path]:
    """The photographs' files; InputError that names the first absent one."""
    return [voc.image_path(image_id) for image_id in ids]


def check_main_lists(data: Path, recipe: Any) -> None:
    """InputError where --data lacks the year or a set of Main, or the two sets share an image."""
    voc, names = VocYear(data, recipe.year), (recipe.train_set, recipe.test_set)
    check_disjoint(voc.ids(names[0]), voc.ids(names[1]), names)


def check_segmentation_lists(data: Path, recipe: Any) -> None:
    """InputError where --data lacks the year or an image set of Segmentation."""
    voc = VocYear(data, recipe.year)
    segmentation_ids(voc, recipe.test_set, data)
    if recipe.train_data != "sbd":
        segmentation_ids(voc, recipe.train_set, data)
