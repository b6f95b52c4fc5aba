"""Reads every file of a data set once: what is there, and what is missing or broken."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from cebench.data.images import IMAGE_SUFFIXES, image_files, read_image
from cebench.data.listing import files_below
from cebench.data.photos import Photo, find_photos, shards_in
from cebench.data.store.manifest import damaged_files, is_store, read_manifest
from cebench.data.voc.devkit import (
    SEGMENTATION_CLASSES,
    VOC_CLASSES,
    VOID_LABEL,
    Annotation,
    VocYear,
    devkit_years,
    is_class_file,
    read_ids,
)
from cebench.data.voc.sbd import Sbd
from cebench.data.voc.segmentation_sets import SEG11VALID_YEARS
from cebench.errors import InputError

T = TypeVar("T")
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class ClassCount:
    """How often one class occurs; what the data set does not record stays 0."""

    boxes: int = 0
    difficult: int = 0
    """Boxes marked difficult."""
    images: int = 0
    """Images with a box of the class, difficult or not."""
    masks: int = 0
    """Label images with a pixel of the class."""
    pixels: int = 0
    """Pixels of the class in all label images."""


@dataclass(frozen=True)
class Findings:
    """Counts and problems of one data set."""

    kind: str
    """VOC2007 and the like, SBD, images, shards or packed store."""
    root: Path
    images: int
    """Readable images."""
    boxes: int = 0
    difficult: int = 0
    masks: int = 0
    """Readable label images."""
    pixels: int = 0
    """Pixels of all label images; what no class nor `void_pixels` counts is background."""
    void_pixels: int = 0
    void_share: float = 0.0
    """Void pixels over all pixels of the label images."""
    sets: dict[str, int] = field(default_factory=dict)
    """Such as Main/train -> number of ids."""
    per_class: dict[str, ClassCount] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """One line for each missing or broken file."""


@dataclass(frozen=True)
class _Checked:
    """One image and what belongs to it, as far as it could be read."""

    readable: bool
    annotation: Annotation | None
    label_pixels: np.ndarray | None
    """(256,) int64, pixels per label."""
    problems: tuple[str, ...]


OFFICIAL_COUNTS = {
    "VOC2007": {
        "Main/train": 2501, "Main/val": 2510, "Main/trainval": 5011, "Main/test": 4952,
        "Segmentation/train": 209, "Segmentation/val": 213, "Segmentation/trainval": 422,
        "Segmentation/test": 210,
    },
    "VOC2011": {
        "Segmentation/train": 1112, "Segmentation/val": 1111, "Segmentation/trainval": 2223,
    },
    "VOC2012": {
        "Main/train": 5717, "Main/val": 5823, "Main/trainval": 11540, "Main/test": 10991,
        "Segmentation/train": 1464, "Segmentation/val": 1449, "Segmentation/trainval": 2913,
        "Segmentation/test": 1456, "Segmentation/seg11valid": sum(SEG11VALID_YEARS.values()),
    },
}  # fmt: skip
"""Images of the devkit's own lists and of the authors' seg11valid, by data set and set."""


def data_sets_at(path: Path) -> dict[str, Callable[[Report], Findings]]:
    """The name of each data set at `path` -> the function that decodes and checks all its files.

    An image that a set names must be there, and so must its XML (sets of Main) or label image
    (sets of Segmentation); of the sets named test, whose answers some years withhold, only the
    images. XML and label images must have their image's size. The function is given a `Report`,
    which it calls with (images done, images in all).

    Args:
        path: a VOCdevkit (or one year of it), an SBD tree, a packed store, tar files, a folder of
            images, or a folder that holds a VOCdevkit or benchmark_RELEASE among others.

    Raises:
        InputError: `path` is absent or holds no data set.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist; expected a VOCdevkit, an SBD tree, a packed store or a folder "
            "of images"
        )
    if is_store(path):
        return {path.absolute().name: partial(_verify_store, path)}
    if path.suffix == ".tar" or shards_in(path):
        return {path.absolute().name: partial(_verify_shards, path)}
    found: dict[str, Callable[[Report], Findings]] = {}
    for year in sorted(devkit_years(path)):
        found[f"VOC{year}"] = partial(_verify_year, VocYear(path, year))
    if (sbd := _sbd(path)) is not None:
        found["SBD"] = partial(_verify_sbd, sbd)
    beside = _folders_beside(path) if found else [path]
    return found | {f.absolute().name: partial(_verify_images, f) for f in beside}


def _sbd(path: Path) -> Sbd | None:
    try:
        return Sbd(path)
    except InputError:
        return None


def _folders_beside(path: Path) -> list[Path]:
    """The folders of images beside a VOCdevkit or a benchmark_RELEASE in `path`."""
    known = {"VOCdevkit", "benchmark_RELEASE"}
    children = {child.name: child for child in sorted(path.iterdir()) if child.is_dir()}
    others = [child for name, child in children.items() if name not in known]
    return [child for child in others if _holds_images(child)] if known & children.keys() else []


def _holds_images(folder: Path) -> bool:
    files = files_below(folder, lenient=True)
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in files)


def _verify_store(path: Path, report: Report) -> Findings:
    images = read_manifest(path).images
    problems = damaged_files(path, lambda done, total: report(images * done // total, images))
    return Findings(kind="packed store", root=path, images=images, problems=tuple(problems))


def _verify_images(root: Path, report: Report) -> Findings:
    files = image_files(root)
    checked = _in_threads(lambda path: _check(path.name, lambda: read_image(path)), files, report)
    return _findings("images", root, checked, {}, [])


def _verify_shards(root: Path, report: Report) -> Findings:
    def check(photo: Photo) -> _Checked:
        return _check(photo.name, lambda: np.asarray(photo.resized(None)))

    return _findings("shards", root, _in_threads(check, find_photos([root], ""), report), {}, [])


def _verify_sbd(sbd: Sbd, report: Report) -> Findings:
    sets, problems = _read_sets(sbd.root, "")
    ids = sorted(_stems(sbd.root / "cls", ".mat").union(*sets.values()))

    def check(image_id: str) -> _Checked:
        return _check(
            image_id, lambda: sbd.image(image_id), labels=[lambda: sbd.segmentation(image_id)]
        )

    return _findings("SBD", sbd.root, _in_threads(check, ids, report), sets, problems)


def _verify_year(voc: VocYear, report: Report) -> Findings:
    main, problems = _read_sets(voc.root / "ImageSets" / "Main", "Main/")
    masked, more_problems = _read_sets(voc.root / "ImageSets" / "Segmentation", "Segmentation/")
    sets = main | masked
    present = _stems(voc.root / "JPEGImages", ".jpg")
    with_boxes = _answered(main) | _stems(voc.root / "Annotations", ".xml")
    own, aug = (
        _stems(voc.root / folder, ".png")
        for folder in ("SegmentationClass", "SegmentationClassAug")
    )
    with_labels = _answered(masked) | own | aug
    augmented = VocYear(voc.root, voc.year, augmented=True)

    def check(image_id: str) -> _Checked:
        sources = [voc] * (image_id in with_labels) + [augmented] * (image_id in own & aug)
        return _check(
            image_id,
            lambda: voc.image(image_id),
            (lambda: voc.annotation(image_id)) if image_id in with_boxes else None,
            [partial(source.segmentation, image_id) for source in sources],
        )

    ids = sorted(present.union(with_boxes, with_labels, *sets.values()))
    checked = _in_threads(check, ids, report)
    return _findings(f"VOC{voc.year}", voc.root, checked, sets, problems + more_problems)


def _read_sets(folder: Path, prefix: str) -> tuple[dict[str, list[str]], list[str]]:
    """Prefixed set name -> ids, and a line for each list that cannot be read."""
    sets, problems = {}, []
    for path in sorted(folder.glob("*.txt")):
        if is_class_file(path.stem):
            continue
        try:
            sets[f"{prefix}{path.stem}"] = read_ids(path)
        except InputError as error:
            problems.append(str(error))
    return sets, problems


def _answered(sets: dict[str, list[str]]) -> set[str]:
    return {i for name, ids in sets.items() if not name.endswith("/test") for i in ids}


def _stems(folder: Path, suffix: str) -> set[str]:
    return {path.stem for path in folder.glob(f"*{suffix}")}


def _check(
    name: str,
    image: Callable[[], np.ndarray],
    annotation: Callable[[], Annotation] | None = None,
    labels: Sequence[Callable[[], np.ndarray]] = (),
) -> _Checked:
    """Read an image and what belongs to it; of several label images the first is counted."""
    problems: list[str] = []

    def attempt(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except InputError as error:
            problems.append(str(error))
            return None

    pixels = attempt(image)
    objects = attempt(annotation) if annotation else None
    indices = [attempt(read) for read in labels]
    size = None if pixels is None else pixels.shape[:2]
    for partner, other in (
        ("annotation", objects and (objects.height, objects.width)),
        *(("label image", None if found is None else found.shape) for found in indices),
    ):
        if size and other and size != other:
            problems.append(
                f"{name}: the {partner} is for {other[1]} x {other[0]} pixels, the image has "
                f"{size[1]} x {size[0]}"
            )
    counted = next((found for found in indices if found is not None), None)
    counts = None if counted is None else np.bincount(counted.ravel(), minlength=256)
    return _Checked(pixels is not None, objects, counts, tuple(problems))


def _in_threads(
    check: Callable[[T], _Checked], items: Sequence[T], report: Report
) -> list[_Checked]:
    checked: list[_Checked] = []
    pool = ThreadPoolExecutor()
    try:
        for result in pool.map(check, items):
            checked.append(result)
            report(len(checked), len(items))
    finally:
        pool.shutdown(cancel_futures=True)
    return checked


def _findings(
    kind: str,
    root: Path,
    checked: Sequence[_Checked],
    sets: dict[str, list[str]],
    problems: Sequence[str],
) -> Findings:
    objects = [item.annotation for item in checked if item.annotation is not None]
    counts = [item.label_pixels for item in checked if item.label_pixels is not None]
    pixels = np.array(counts, dtype=np.int64).reshape(-1, 256)
    nothing = [] if any(item.readable for item in checked) else [f"{root}: no readable image"]
    return Findings(
        kind=kind,
        root=root,
        images=sum(item.readable for item in checked),
        boxes=sum(len(item.labels) for item in objects),
        difficult=sum(int(item.difficult.sum()) for item in objects),
        masks=len(counts),
        pixels=int(pixels.sum()),
        void_pixels=int(pixels[:, VOID_LABEL].sum()),
        void_share=float(pixels[:, VOID_LABEL].sum() / max(1, pixels.sum())),
        sets={name: len(ids) for name, ids in sets.items()},
        per_class=_per_class(objects, pixels) if objects or counts else {},
        problems=(*problems, *nothing, *(line for item in checked for line in item.problems)),
    )


def _per_class(objects: Sequence[Annotation], pixels: np.ndarray) -> dict[str, ClassCount]:
    """pixels: (label images, 256)."""
    return {
        name: ClassCount(
            boxes=sum(int((item.labels == index).sum()) for item in objects),
            difficult=sum(int(item.difficult[item.labels == index].sum()) for item in objects),
            images=sum(bool((item.labels == index).any()) for item in objects),
            masks=int((pixels[:, SEGMENTATION_CLASSES.index(name)] > 0).sum()),
            pixels=int(pixels[:, SEGMENTATION_CLASSES.index(name)].sum()),
        )
        for index, name in enumerate(VOC_CLASSES)
    }
