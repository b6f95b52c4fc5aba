"""Image sets that are learned from and scored: what they may not have in common."""

from collections.abc import Mapping, Sequence
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


def check_main_lists(data: Path, values: Mapping[str, Any]) -> None:
    """InputError where --data lacks the year or an image set of Main, or two sets share an image.

    values: those that a recipe states; what its class will refuse is let pass.
    """
    year, train, test = (values.get(key) for key in ("year", "train_set", "test_set"))
    if isinstance(train, str) and isinstance(test, str) and isinstance(year, int | None):
        voc = VocYear(data, 2007 if year is None else year)
        check_disjoint(voc.ids(train), voc.ids(test), (train, test))


def check_segmentation_lists(data: Path, values: Mapping[str, Any]) -> None:
    """InputError where --data lacks the year or an image set of Segmentation; likewise."""
    year, train = values.get("year", 2012), values.get("train_set", "train")
    test = values.get("test_set", "val")
    if isinstance(train, str) and isinstance(test, str) and isinstance(year, int):
        voc = VocYear(data, year)
        segmentation_ids(voc, test, data)
        if values.get("train_data", "voc") != "sbd":
            segmentation_ids(voc, train, data)
