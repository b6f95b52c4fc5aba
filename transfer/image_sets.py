"""Image sets that are learned from and scored: what they may not have in common."""

from collections.abc import Sequence
from pathlib import Path

from cebench.data.voc.devkit import VocYear
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
