"""Image sets with the classes that each image shows, for classifiers of whole images."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cebench.data.fingerprint import fingerprint_files
from cebench.data.store.ragged import RaggedImages, load_ragged
from cebench.data.voc.devkit import VOC_CLASSES, VocYear
from cebench.errors import InputError
from cebench.progress import progress

from .image_sets import check_disjoint, photographs
from .options import ImageSetsRecipe

logger = logging.getLogger("cebench")


@dataclass(frozen=True)
class LabelledImages:
    """One image set, decoded, with its classes."""

    ids: list[str]
    images: RaggedImages
    labels: np.ndarray
    """(N, 20) int8: 1 present, 0 ignored (only difficult objects), -1 absent."""


@dataclass(frozen=True)
class TrainAndTest:
    """Two sets that share no image."""

    train: LabelledImages
    test: LabelledImages
    fingerprint: str
    """Hash of the images, their order in the lists, and the labels."""


def find_images(recipe: ImageSetsRecipe, data: Path) -> dict[str, list[Path]]:
    """Photographs that `read_sets` would read; InputError where their labels do not do."""
    voc = VocYear(data, recipe.year)
    train_ids, test_ids = _ids(recipe, voc)
    _check_classes(recipe, *_labels(recipe, voc, train_ids, test_ids))
    return {"train": photographs(voc, train_ids), "test": photographs(voc, test_ids)}


def read_sets(
    recipe: ImageSetsRecipe,
    data: Path,
    short_side: int | None = None,
    square: int | None = None,
    to_square: Callable[[np.ndarray], np.ndarray] | None = None,
) -> TrainAndTest:
    """Decode both sets, at their own size or resized as `load_ragged` does.

    Raises:
        InputError: a list, an image or a label is absent, the sets share an image, or the test set
            shows no object at all.
    """
    voc = VocYear(data, recipe.year)
    train_ids, test_ids = _ids(recipe, voc)
    labels = _labels(recipe, voc, train_ids, test_ids)
    _check_classes(recipe, *labels)
    parts = []
    for part, ids, values in zip(("train", "test"), (train_ids, test_ids), labels, strict=True):
        with progress(f"reading {part} images", "images") as report:
            images = load_ragged(
                photographs(voc, ids),
                short_side=short_side,
                square=square,
                to_square=to_square,
                report=report,
            )
        parts.append(LabelledImages(ids, images, values))
    train, test = parts
    return TrainAndTest(train, test, _fingerprint(voc, (train_ids, test_ids), labels))


def data_fingerprint(recipe: ImageSetsRecipe, data: Path, proposals: str) -> str:
    """Fingerprint of what `read_sets` reads, without decoding."""
    voc = VocYear(data, recipe.year)
    sets = _ids(recipe, voc)
    return _fingerprint(voc, sets, _labels(recipe, voc, *sets))


def _labels(
    recipe: ImageSetsRecipe, voc: VocYear, train_ids: list[str], test_ids: list[str]
) -> list[np.ndarray]:
    return [
        voc.class_labels(name, ids)
        for name, ids in ((recipe.train_set, train_ids), (recipe.test_set, test_ids))
    ]


def _ids(recipe: ImageSetsRecipe, voc: VocYear) -> tuple[list[str], list[str]]:
    train_ids, test_ids = voc.ids(recipe.train_set), voc.ids(recipe.test_set)
    check_disjoint(train_ids, test_ids, (recipe.train_set, recipe.test_set))
    return train_ids, test_ids


def _check_classes(recipe: ImageSetsRecipe, train: np.ndarray, test: np.ndarray) -> None:
    for name, labels, verb, where_absent in (
        (recipe.train_set, train, "learn", "nothing to learn them from"),
        (recipe.test_set, test, "score", "they are left out of the means"),
    ):
        absent = [c for c, seen in zip(VOC_CLASSES, (labels == 1).any(0), strict=True) if not seen]
        if len(absent) == len(VOC_CLASSES):
            raise InputError(f"{name}: no image shows an object of any class; nothing to {verb}")
        if absent:
            logger.warning(f"{name}: no image shows {', '.join(absent)}; {where_absent}")


def _fingerprint(
    voc: VocYear, sets: tuple[list[str], list[str]], labels: Sequence[np.ndarray]
) -> str:
    paths = photographs(voc, [image_id for ids in sets for image_id in ids])
    digest = hashlib.sha256(fingerprint_files(paths, voc.root).encode())
    for ids, values in zip(sets, labels, strict=True):
        digest.update(" ".join(ids).encode() + values.tobytes())
    return digest.hexdigest()
