"""What segmentation learns from and is scored on: photographs and label images, VOC's or SBD's."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import image_size
from cebench.data.ragged import RaggedImages, load_ragged
from cebench.data.sbd import Sbd
from cebench.data.voc import VOID_LABEL, VocYear
from cebench.errors import InputError
from cebench.progress import progress

SBD_FOLDER = "benchmark_RELEASE"

TrainData = Literal["voc", "sbd"]


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
        """The label images' files."""
        if isinstance(self.source, Sbd):
            return [self.source.root / "cls" / f"{image_id}.mat" for image_id in self.ids]
        return [self.source.segmentation_path(image_id) for image_id in self.ids]


@dataclass(frozen=True)
class LabelledImages:
    """One image set, decoded."""

    origin: SegmentationSet
    images: RaggedImages
    """The photographs at the size that the network sees."""
    labels: list[np.ndarray]
    """(H, W) uint8 each, at the size of the photographs as stored."""

    def labels_as_seen(self) -> list[Tensor]:
        """The labels at the size of `images`, (h, w) uint8 each."""
        sizes = zip(self.images.heights.tolist(), self.images.widths.tolist(), strict=True)
        return [
            torch.from_numpy(resize_labels(labels, height, width))
            for labels, (height, width) in zip(self.labels, sizes, strict=True)
        ]


def find_sets(
    data: Path,
    year: int,
    train_data: TrainData,
    train_set: str,
    test_set: str,
    test_images: int,
) -> tuple[SegmentationSet, SegmentationSet]:
    """The sets to train on and to score, which share no image.

    Args:
        data: the VOCdevkit, its parent or its folder of `year`; SBD's `benchmark_RELEASE` lies in
            one of these or beside the VOCdevkit.
        year: VOC year of the test set, and of the train set unless it is SBD's.
        train_data: whose image set `train_set` is.
        train_set: name of an image set or path of a list file.
        test_set: likewise, always of VOC.
        test_images: score this many, evenly spaced in the list; 0: all of them.
    """
    voc = VocYear(data, year)
    test_ids = voc.ids(test_set, "Segmentation")
    test = SegmentationSet(f"VOC{year} {test_set}", voc, _evenly_spaced(test_ids, test_images))
    if train_data == "sbd":
        sbd = Sbd(_find_sbd(data, voc))
        train = SegmentationSet(f"SBD {train_set}", sbd, tuple(sbd.ids(train_set)))
    else:
        train_ids = voc.ids(train_set, "Segmentation")
        train = SegmentationSet(f"VOC{year} {train_set}", voc, tuple(train_ids))
    # The whole list counts, so that a run on a part of the test set is refused as well.
    shared = sorted(_photos(train.ids, year) & _photos(test_ids, year))
    if shared:
        raise InputError(
            f"train set {train.name} and test set {test.name} share {len(shared)} images "
            f"({shared[0]}, ...); choose sets without overlap or give a list file without them"
        )
    return train, test


def load(labelled: SegmentationSet, short_side: int) -> LabelledImages:
    """Decode a set, its photographs with the shorter side at `short_side` pixels (0: as stored).

    Raises:
        InputError: a file is unreadable, or a label image has not the size of its photograph.
    """
    photographs, labels = labelled.photographs(), []
    with progress(f"reading labels of {labelled.name}", "images") as report:
        for index, photograph in enumerate(photographs):
            labels.append(labelled.labels(index))
            height, width = labels[-1].shape
            if image_size(photograph) != (width, height):
                raise InputError(
                    f"{labelled.label_files()[index]} is {width} x {height} but its photograph "
                    f"{photograph} is {' x '.join(map(str, image_size(photograph)))}; fetch both "
                    "again"
                )
            report(index + 1, len(photographs))
    if all((label == VOID_LABEL).all() for label in labels):
        raise InputError(f"{labelled.name}: every pixel of its {len(labels)} label images is void")
    with progress(f"reading images of {labelled.name}", "images") as report:
        images = load_ragged(photographs, short_side=short_side or None, report=report)
    return LabelledImages(labelled, images, labels)


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


def _find_sbd(data: Path, voc: VocYear) -> Path:
    year = voc.root.absolute()
    places = dict.fromkeys(place / SBD_FOLDER for place in (data.absolute(), *year.parents[:2]))
    for place in places:
        if place.is_dir():
            return place
    raise InputError(
        f'train_data="sbd" needs the folder {SBD_FOLDER} of the Semantic Boundaries Dataset in or '
        f"beside the VOCdevkit; looked at {', '.join(map(str, places))}"
    )


def _photos(ids: Sequence[str], year: int) -> set[str]:
    """Ids as VOC2008 and later write them: VOC2007's 000032 is 2007_000032 there and in SBD."""
    return {f"{year}_{i}" if re.fullmatch(r"\d{6}", i) else i for i in ids}
