"""What segmentation learns from and is scored on: photographs and label images, VOC's or SBD's."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import image_size
from cebench.data.store.ragged import RaggedImages, load_ragged
from cebench.data.voc.devkit import SEGMENTATION_CLASSES, VOID_LABEL, VocYear
from cebench.data.voc.sbd import Sbd
from cebench.data.voc.segmentation_sets import find_sbd, segmentation_ids, without
from cebench.errors import InputError
from cebench.progress import progress
from cebench.randomness import numpy_generator
from cebench.weights.files import Preprocessing

from .recipe import SegmentationRecipe, SegmentationSetsRecipe, TrainData

NUM_CLASSES = len(SEGMENTATION_CLASSES)


@dataclass(frozen=True)
class SegmentationSet:
    """One image set, in the order of its list."""

    name: str
    """What people call it, e.g. `VOC2012 val`."""
    source: VocYear | Sbd
    ids: tuple[str, ...]

    def labels(self, index: int) -> np.ndarray:
        """Label image `index`, (H, W) uint8: 0 background, 1..20 classes, 255 void."""
        return self.source.segmentation(self.ids[index])

    def photographs(self) -> list[Path]:
        """The image files."""
        return [self.source.image_path(image_id) for image_id in self.ids]

    def label_files(self) -> list[Path]:
        """The label images' files; InputError naming the first that is absent."""
        return [self.source.segmentation_path(image_id) for image_id in self.ids]


@dataclass(frozen=True)
class SegmentationImages:
    """One image set, decoded, with a label for every pixel."""

    origin: SegmentationSet
    images: RaggedImages
    """The photographs at the size that the network sees."""
    labels: list[np.ndarray]
    """(H, W) uint8 each, at the size of the photographs as stored."""

    def images_as_seen(self, device: torch.device) -> list[Tensor]:
        """Views of `images` on `device`, (h, w, 3) uint8 each; made once: each one waits for it."""
        images = self.images.to(device)
        return [images.image(index) for index in range(len(images))]

    def labels_as_seen(self) -> list[Tensor]:
        """The labels at the size of `images`, (h, w) uint8 each."""
        sizes = zip(self.images.heights.tolist(), self.images.widths.tolist(), strict=True)
        return [
            torch.from_numpy(resize_labels(labels, height, width))
            for labels, (height, width) in zip(self.labels, sizes, strict=True)
        ]


@dataclass(frozen=True)
class SegmentationData:
    """What a run reads."""

    train: SegmentationImages
    test: SegmentationImages
    fingerprint: str
    """Hash of every file, and of which set it belongs to and where."""


def find_labelled(recipe: SegmentationSetsRecipe, data: Path) -> dict[str, list[Path]]:
    """Photographs that would be learned from and scored, each with its label image."""
    train, test = sets = find_sets(recipe, data)
    for part in sets:
        part.label_files()  # Names one that is absent.
    return {"train": train.photographs(), "test": test.photographs()}


def find_images(recipe: SegmentationRecipe, data: Path) -> dict[str, list[Path]]:
    """`find_labelled`; InputError where crops do not fit into what is learned from."""
    found = find_labelled(recipe, data)
    if recipe.crop:
        side = recipe.short_side or None
        sizes = [image_size(photograph, side, upright=False) for photograph in found["train"]]
        check_sides(found["train"], sizes, recipe.crop)
    return found


def data_fingerprint(recipe: SegmentationSetsRecipe, data: Path, proposals: str) -> str:
    """Fingerprint of what `read_data` reads, without decoding."""
    return fingerprint(*find_sets(recipe, data))


def read_data(recipe: SegmentationRecipe, data: Path) -> SegmentationData:
    """Train and test set, decoded; InputError where a training image is too small for a crop."""
    sets = find_sets(recipe, data)
    digest = fingerprint(*sets)
    train, test = (load(part, recipe.short_side) for part in sets)
    shapes = zip(train.images.widths.tolist(), train.images.heights.tolist(), strict=True)
    check_sides(train.origin.photographs(), list(shapes), recipe.crop)
    return SegmentationData(train, test, digest)


def find_sets(
    recipe: SegmentationSetsRecipe, data: Path
) -> tuple[SegmentationSet, SegmentationSet]:
    """The sets to train on and to score, which share no photograph.

    data: the VOCdevkit, its parent or its folder of the recipe's year; SBD's `benchmark_RELEASE`
    lies in one of these or beside the VOCdevkit.
    """
    year, voc = recipe.year, VocYear(data, recipe.year)
    test_ids = segmentation_ids(voc, recipe.test_set, data)
    scored = _evenly_spaced(test_ids, recipe.test_images)
    test = SegmentationSet(f"VOC{year} {recipe.test_set}", voc, scored)
    train = _train_set(voc, recipe.train_data, recipe.train_set, data)
    # The whole list counts, so that a run on a part of the test set is refused as well.
    apart = set(without(train.ids, year, test_ids, year))
    shared = sorted(set(train.ids) - apart)
    if shared:
        raise InputError(
            f"train set {train.name} and test set {test.name} share {len(shared)} images "
            f"({shared[0]}, ...); choose sets without overlap or give a list file without them"
        )
    return train, test


def _train_set(voc: VocYear, train_data: TrainData, train_set: str, data: Path) -> SegmentationSet:
    if train_data == "sbd":
        sbd = find_sbd(data, voc)
        return SegmentationSet(f"SBD {train_set}", sbd, tuple(sbd.ids(train_set)))
    source = VocYear(data, voc.year, augmented=train_data == "aug")
    ids = segmentation_ids(source, train_set, data)
    return SegmentationSet(f"VOC{voc.year} {train_set}", source, tuple(ids))


def load(labelled: SegmentationSet, short_side: int) -> SegmentationImages:
    """Decode a set, its photographs with the shorter side at `short_side` pixels (0: as stored).

    Raises:
        InputError: a file is unreadable, or a label image has not the size of its photograph.
    """
    photographs, labels = labelled.photographs(), []
    with progress(f"reading labels of {labelled.name}", "images") as report:
        for index, photograph in enumerate(photographs):
            labels.append(labelled.labels(index))
            height, width = labels[-1].shape
            size = image_size(photograph, upright=False)
            if size != (width, height):
                raise InputError(
                    f"{labelled.label_files()[index]} is {width} x {height} but its photograph "
                    f"{photograph} is {size[0]} x {size[1]}; fetch both "
                    "again"
                )
            report(index + 1, len(photographs))
    if all((label == VOID_LABEL).all() for label in labels):
        raise InputError(f"{labelled.name}: every pixel of its {len(labels)} label images is void")
    with progress(f"reading images of {labelled.name}", "images") as report:
        images = load_ragged(photographs, short_side=short_side or None, report=report)
    return SegmentationImages(labelled, images, labels)


def check_sides(photographs: Sequence[Path], sizes: Sequence[tuple[int, int]], side: int) -> None:
    """InputError naming the first image of (width, height) that has no square of `side` pixels."""
    for photograph, (width, height) in zip(photographs, sizes, strict=True):
        if min(height, width) < side:
            raise InputError(
                f"{photograph} is seen at {width} x {height} and has no crop of {side}; lower crop "
                "or raise short_side"
            )


def as_batch(image: Tensor) -> Tensor:
    """(H, W, 3) to (1, 3, H, W), a view."""
    return image.permute(2, 0, 1).unsqueeze(0)


def network_pixels(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(N, 3, H, W) uint8 of any size to what the network sees, float32, rows in memory order."""
    return preprocessing(images).contiguous()


def margin_of(shape: Sequence[int], multiple: int) -> tuple[int, int, int, int]:
    """For F.pad: what the last two sizes lack to a multiple, to the right and below."""
    return 0, -shape[-1] % multiple, 0, -shape[-2] % multiple


def sample_crops(
    images: Sequence[Tensor], labels: Sequence[Tensor], count: int, crop: int, seed: int, step: int
) -> list[tuple[Tensor, Tensor]]:
    """The images of a step, drawn uniformly with replacement, and their labels.

    Args:
        images: all there are, (H, W, 3) each.
        labels: (H, W) each.
        count: how many are drawn.
        crop: side of a random square of each, mirrored half of the time; 0: all of it.
        seed: seed of the run.
        step: the draw depends on it and on `seed` alone.

    Returns:
        (H, W, 3) and (H, W) uint8 of each.
    """
    generator = numpy_generator(seed, "images", step)
    drawn = generator.integers(len(images), size=count).tolist()
    pairs = [(images[index], labels[index]) for index in drawn]
    return [_random_crop(*pair, crop, generator) for pair in pairs] if crop else pairs


def _random_crop(
    image: Tensor, labels: Tensor, side: int, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    y, x = (int(generator.integers(length - side + 1)) for length in labels.shape)
    square = slice(y, y + side), slice(x, x + side)
    if generator.random() < 0.5:
        return image[square].flip(1), labels[square].flip(1)
    return image[square], labels[square]


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbour resize of (H, W) uint8 labels, pixel centres aligned: no label mixes."""
    if labels.shape == (height, width):
        return labels
    resized = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
    return np.array(resized)


def fingerprint(train: SegmentationSet, test: SegmentationSet) -> str:
    """Hash of every file, and of which set it belongs to and where."""
    digest = hashlib.sha256()
    for part in (train, test):
        files = [*part.photographs(), *part.label_files()]
        digest.update(fingerprint_files(files, part.source.root).encode())
        digest.update(f" {' '.join(part.ids)}\n".encode())
    return digest.hexdigest()


def _evenly_spaced(ids: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` ids in list order (0: all); lists are sorted by year, so a prefix would be old."""
    if count == 0 or count >= len(ids):
        return tuple(ids)
    return tuple(ids[place * len(ids) // count] for place in range(count))
