"""PASCAL VOC devkits: image sets, boxes, class labels and segmentation labels of one year.

The devkit counts pixels from 1 and includes both ends of a box. Here boxes become 0-based and
half-open as they are read (`_box`); the door in the other direction is `cebench.data.voc.results`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import ElementTree

from cebench.data.images import read_image
from cebench.data.voc.label_images import read_label_image
from cebench.errors import InputError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
SEGMENTATION_CLASSES = ("background", *VOC_CLASSES)
VOID_LABEL = 255

_CLASS_INDEX = {name: index for index, name in enumerate(VOC_CLASSES)}
_ID = re.compile(r"[0-9A-Za-z_]+")


@dataclass(frozen=True)
class Annotation:
    """The objects of one image, in the order of its XML."""

    width: int
    height: int
    boxes: np.ndarray
    """(R, 4) float32 x0 y0 x1 y1 in pixels, 0-based, half-open, inside the image."""
    labels: np.ndarray
    """(R,) int64, index into VOC_CLASSES."""
    difficult: np.ndarray
    """(R,) bool."""
    truncated: np.ndarray
    """(R,) bool."""


class VocYear:
    """One year of a VOCdevkit, read lazily.

    Args:
        devkit: the VOCdevkit folder, its parent, or its folder VOC<year>.
        year: such as 2007.
        augmented: take an image's labels from SegmentationClassAug where both folders have them.

    Raises:
        InputError: no such year there (the message lists the years that are).
    """

    def __init__(self, devkit: Path, year: int, *, augmented: bool = False) -> None:
        self.year, self.augmented = year, augmented
        self.root = _find_year(Path(devkit), year)

    def ids(
        self, image_set: str | Path, kind: Literal["Main", "Segmentation"] = "Main"
    ) -> list[str]:
        """The image ids of a set, in the order of its list.

        Args:
            image_set: a name ("trainval": ImageSets/<kind>/trainval.txt) or the path of a list
                file with one id at the start of each line.
            kind: the folder of ImageSets in which a name is looked up.

        Raises:
            InputError: the list is absent, empty, repeats an id or holds something else.
        """
        return read_ids(self._list_file(image_set, kind))

    def image_path(self, image_id: str) -> Path:
        """The photograph's file; InputError if there is none."""
        return self._file("JPEGImages", image_id, ".jpg")

    def image(self, image_id: str) -> np.ndarray:
        """The photograph, (H, W, 3) uint8 RGB, not rotated by EXIF (boxes refer to the raster)."""
        return read_image(self.image_path(image_id), upright=False)

    def annotation(self, image_id: str) -> Annotation:
        """The objects of one image; boxes of body parts inside a person are left out.

        Raises:
            InputError: the XML is absent or broken, a class is unknown, or a box is empty or
                reaches out of the image.
        """
        return _read_annotation(self._file("Annotations", image_id, ".xml"))

    def class_labels(self, image_set: str | Path, ids: Sequence[str]) -> np.ndarray:
        """Which classes each image shows, (N, 20) int8: 1 present, 0 only difficult, -1 absent.

        Images with label 0 are ignored in a class's average precision. Read from the devkit's
        ImageSets/Main/<class>_<set>.txt where the set has these files, else derived from the
        boxes by the same rule.
        """
        files = [
            self.root / "ImageSets" / "Main" / f"{name}_{image_set}.txt" for name in VOC_CLASSES
        ]
        if is_name(image_set) and all(path.is_file() for path in files):
            columns = [_read_class_file(path, ids) for path in files]
            return np.array(columns, dtype=np.int8).reshape(len(VOC_CLASSES), -1).T.copy()
        labels = np.full((len(ids), len(VOC_CLASSES)), -1, dtype=np.int8)
        for row, image_id in zip(labels, ids, strict=True):
            objects = self.annotation(image_id)
            row[objects.labels] = 0
            row[objects.labels[~objects.difficult]] = 1
        return labels

    def segmentation_path(self, image_id: str) -> Path:
        """The label image: SegmentationClass's, else SegmentationClassAug's (SBD's as PNG)."""
        name = f"{checked_id(image_id)}.png"
        folders = ["SegmentationClass", "SegmentationClassAug"]
        if self.augmented:
            folders.reverse()
        for folder in folders:
            if (self.root / folder / name).is_file():
                return self.root / folder / name
        return self._file(folders[0], image_id, ".png")

    def segmentation(self, image_id: str) -> np.ndarray:
        """Labels (H, W) uint8: 0 background, 1..20 VOC_CLASSES, 255 void."""
        path = self.segmentation_path(image_id)
        return checked_labels(read_label_image(path), path)

    def _file(self, folder: str, image_id: str, suffix: str) -> Path:
        path = self.root / folder / f"{checked_id(image_id)}{suffix}"
        if not path.is_file():
            raise InputError(
                f"{path} does not exist, but an image set names {image_id}; complete {folder} of "
                f"VOC{self.year} or give a shorter list file"
            )
        return path

    def _list_file(self, image_set: str | Path, kind: str) -> Path:
        folder = self.root / "ImageSets" / kind
        path = folder / f"{image_set}.txt" if is_name(image_set) else Path(image_set)
        if path.is_file():
            return path
        names = sorted(p.stem for p in folder.glob("*.txt") if not is_class_file(p.stem))
        raise InputError(
            f"no image set {path}; VOC{self.year} has in ImageSets/{kind}: "
            f"{', '.join(names) or 'none'}; name one of these or give the path of a list file"
        )


def read_ids(path: Path) -> list[str]:
    """The first word of every line of a list file, in order.

    Raises:
        InputError: the file is absent, empty, repeats an id or holds something else.
    """
    return list(_read_list(path))


def is_name(image_set: str | Path) -> bool:
    """Whether `image_set` is the name of a set; otherwise it is the path of a list file."""
    return isinstance(image_set, str) and _ID.fullmatch(image_set) is not None


def checked_id(image_id: str) -> str:
    """Return `image_id` if it is letters, digits and _ only; InputError otherwise.

    Ids become file names: anything else could leave the devkit ("../../x").
    """
    if not _ID.fullmatch(image_id):
        raise InputError(f"{image_id!r} is no VOC image id; ids are letters, digits and _")
    return image_id


def checked_labels(labels: np.ndarray, path: Path) -> np.ndarray:
    """Return `labels` if every one is 0..20 or 255; InputError naming `path` otherwise."""
    wrong = (labels > len(VOC_CLASSES)) & (labels != VOID_LABEL)
    if wrong.any():
        raise InputError(
            f"{path}: label {labels[wrong][0]} is none of VOC's: 0 (background), "
            f"1..{len(VOC_CLASSES)} (classes), {VOID_LABEL} (void)"
        )
    return labels


def devkit_years(path: Path) -> dict[int, Path]:
    """The years of a VOCdevkit (or of its parent, or the one year that `path` itself is)."""
    folders = [path, *path.glob("VOC*"), *path.glob("VOCdevkit/VOC*")]
    matches = ((re.fullmatch(r"VOC(\d{4})", f.absolute().name), f) for f in folders if f.is_dir())
    return {int(match[1]): folder for match, folder in matches if match}


def _find_year(path: Path, year: int) -> Path:
    years = devkit_years(path)
    if year in years:
        return years[year]
    if not path.exists():
        raise InputError(f"{path} does not exist; give the VOCdevkit folder that holds VOC{year}")
    found = f"it holds {', '.join(f'VOC{y}' for y in sorted(years))}" if years else "it holds none"
    raise InputError(f"{path} has no VOC{year}: {found}; give the VOCdevkit folder that has it")


def is_class_file(stem: str) -> bool:
    """Whether ImageSets/Main/<stem>.txt holds one class's labels, such as dog_train."""
    return stem.rpartition("_")[0] in _CLASS_INDEX


def _read_list(path: Path) -> dict[str, list[str]]:
    """Each line's first word -> its other words, in file order."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the list {path}: {error}") from error
    rows: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        first, *others = line.split()
        if not _ID.fullmatch(first):
            raise InputError(f"{path}, line {number}: {first!r} is no VOC image id")
        if first in rows:
            raise InputError(f"{path}, line {number}: {first} is listed twice; remove one")
        rows[first] = others
    if not rows:
        raise InputError(f"the list {path} is empty; it should hold one image id per line")
    return rows


def _read_class_file(path: Path, ids: Sequence[str]) -> list[int]:
    rows = _read_list(path)
    values = {"1": 1, "0": 0, "-1": -1}
    labels = []
    for image_id in ids:
        words = rows.get(image_id)
        if words is None:
            raise InputError(f"{path} has no line for {image_id}; it should have one per image")
        if len(words) != 1 or words[0] not in values:
            raise InputError(f"{path}: {image_id} has {' '.join(words)!r}, expected 1, 0 or -1")
        labels.append(values[words[0]])
    return labels


def _read_annotation(path: Path) -> Annotation:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ParseError, ValueError, LookupError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is no readable XML ({reason}); fetch the file again") from error
    width, height = (int(_number(root, f"size/{side}", path)) for side in ("width", "height"))
    if width < 1 or height < 1:
        raise InputError(f"{path}: the image size is {width} x {height}, expected at least 1 x 1")
    objects = root.findall("object")
    boxes = [_box(element, path, width, height) for element in objects]
    return Annotation(
        width=width,
        height=height,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=np.array([_CLASS_INDEX[_name(element, path)] for element in objects], np.int64),
        difficult=np.array([_flag(element, "difficult", path) for element in objects], np.bool_),
        truncated=np.array([_flag(element, "truncated", path) for element in objects], np.bool_),
    )


def _box(element: "Element", path: Path, width: int, height: int) -> tuple[float, ...]:
    """1-based inclusive pixels become 0-based half-open: only the lower corner moves.

    The inverse is the upper-left `+ 1` in `cebench.data.voc.results`.
    """
    name = _name(element, path)
    corners = [_number(element, f"bndbox/{key}", path) for key in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = corners[0] - 1, corners[1] - 1, corners[2], corners[3]
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        shown = " ".join(f"{corner:g}" for corner in corners)
        raise InputError(
            f"{path}: the box {shown} of a {name} is empty or outside the {width} x {height} "
            f"image; expected 1 <= xmin <= xmax <= {width} and 1 <= ymin <= ymax <= {height}"
        )
    return x0, y0, x1, y1


def _name(element: "Element", path: Path) -> str:
    name = (element.findtext("name") or "").strip()
    if name not in _CLASS_INDEX:
        raise InputError(f"{path}: {name!r} is none of the 20 VOC classes")
    return name


def _number(element: "Element", tag: str, path: Path) -> float:
    text = element.findtext(tag)
    try:
        value = float(text or "")
    except ValueError:
        _bad_field(path, tag, text, "a number")
    if not np.isfinite(value):
        _bad_field(path, tag, text, "a finite number")
    return value


def _flag(element: "Element", tag: str, path: Path) -> bool:
    """A field that older and newer XML leave out where it is 0."""
    text = (element.findtext(tag) or "0").strip()
    if text not in ("0", "1"):
        _bad_field(path, tag, text, "0 or 1")
    return text == "1"


def _bad_field(path: Path, tag: str, text: str | None, expected: str) -> NoReturn:
    found = "is missing" if text is None else f"is {text.strip()!r}"
    raise InputError(f"{path}: {tag} {found}, expected {expected}")
