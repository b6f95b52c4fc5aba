"""Result files: VOC detection files per class, and classification scores as one CSV.

Numbers are written with as many digits as bring the same number back, so that a score made from
files equals the score made from the arrays.
"""

import csv
import gzip
import logging
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.errors import InputError
from cebench.files import naming, write_csv

LARGEST_COORDINATE = 1e6
"""Pixels; a corner further out is a mistake of the writer, and squares of more would overflow."""
_TURNED_SHARE = 0.01
"""Boxes with x1 > x2 or y1 > y2 in a file that are taken for slips of a detector, which overlap
nothing; more of them are another format. Published files have some, 3 of 87,765 for instance."""
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")

logger = logging.getLogger("cebench")

# 0-based half-open corners to the devkit's 1-based inclusive ones: only the upper left one moves.
_TO_DEVKIT = np.array([1.0, 1.0, 0.0, 0.0])


class DetectionRows(NamedTuple):
    """Detections of all classes over a set, rows in any order."""

    images: np.ndarray
    """(D,) int64, index into the set's ids."""
    labels: np.ndarray
    """(D,) int64, index into the classes."""
    scores: np.ndarray
    """(D,) float64."""
    boxes: np.ndarray
    """(D, 4) x0 y0 x1 y1, 0-based half-open; float64 as read, so that no digit is lost."""


def write_detection_files(
    folder: Path,
    image_set: str,
    ids: Sequence[str],
    rows: DetectionRows,
    classes: Sequence[str] = VOC_CLASSES,
    competition: str = "comp4",
) -> None:
    """Write <competition>_det_<image_set>_<class>.txt for every class, empty ones included.

    Each line is `id score x1 y1 x2 y2`, 1-based and inclusive; `read_detection_files` inverts it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    corners = np.asarray(rows.boxes, dtype=np.float64) + _TO_DEVKIT
    table = np.column_stack([np.asarray(rows.scores, dtype=np.float64), corners])
    for label, name in enumerate(classes):
        mine = np.flatnonzero(rows.labels == label)
        lines = (
            f"{ids[image]} {' '.join(map(repr, numbers))}\n"
            for image, numbers in zip(rows.images[mine], table[mine].tolist(), strict=True)
        )
        path = folder / f"{competition}_det_{image_set}_{name}.txt"
        with naming(path):
            path.write_text("".join(lines), encoding="utf-8")


def read_detection_files(
    folder: Path, image_set: str, ids: Sequence[str], classes: Sequence[str] = VOC_CLASSES
) -> DetectionRows:
    """Read *_det_<image_set>_<class>.txt or .txt.gz of every class, in file order.

    The devkit's 1-based inclusive corners become 0-based half-open; `write_detection_files` is the
    inverse. Boxes may be fractional and reach out of the image, as the devkit allows.

    Raises:
        InputError: a class has no file or several, a line is not `id score x1 y1 x2 y2` with
            finite numbers, the corners of more than one line in a hundred are not in order, or an
            id is not in `ids` (see `known_id`).
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one with the *_det_{image_set}_* files")
    index = {image_id: i for i, image_id in enumerate(ids)}
    paths = [_detection_file(folder, image_set, name) for name in classes]
    images: list[int] = []
    labels: list[int] = []
    table: list[list[float]] = []
    for label, path in enumerate(paths):
        before = len(images)
        for image, numbers in _detection_lines(path, index, image_set):
            images.append(image)
            table.append(numbers)
        labels += [label] * (len(images) - before)
    numbers_read = np.array(table, dtype=np.float64).reshape(-1, 5)
    return DetectionRows(
        images=np.array(images, dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        scores=numbers_read[:, 0],
        boxes=numbers_read[:, 1:] - _TO_DEVKIT,
    )


def _detection_file(folder: Path, image_set: str, name: str) -> Path:
    ending = f"_det_{image_set}_{name}.txt"
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    found = sorted(path for path in visible if path.name.removesuffix(".gz").endswith(ending))
    if not found:
        raise InputError(
            f"{folder} has no file *{ending} (or .gz); every class needs one, an empty file says "
            "that nothing was detected"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{folder} has {names} for one class; keep one of them")
    return found[0]


def _detection_lines(
    path: Path, index: dict[str, int], image_set: str
) -> Iterator[tuple[int, list[float]]]:
    """(image index, [score, x1, y1, x2, y2]) of every line that is not blank."""
    lines, turned = 0, []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        image_id, *words = line.split() or [""]
        if not image_id:
            continue
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != 5 or not all(map(math.isfinite, numbers)):
            raise InputError(
                f"{path}:{number}: {line.strip()[:80]!r} is not `id score x1 y1 x2 y2` with finite "
                "numbers; mend the line"
            )
        _check_size(numbers[1:], f"{path}:{number}")
        lines += 1
        turned += [number] if _is_turned(numbers[1:]) else []
        image_id = known_id(image_id, index, path)
        if image_id not in index:
            raise InputError(
                f"{path}:{number}: image {image_id} is not in the image set {image_set}; remove "
                "its lines or name the set that was detected"
            )
        yield index[image_id], numbers
    if len(turned) > _TURNED_SHARE * lines:
        raise InputError(
            f"{path}:{turned[0]}: {len(turned)} of {lines} boxes have x1 > x2 or y1 > y2, this one "
            "first; write the corners x1 y1 x2 y2, not x y width height"
        )


def _check_size(corners: Sequence[float], where: str) -> None:
    if max(map(abs, corners)) > LARGEST_COORDINATE:
        raise InputError(f"{where}: a corner lies {max(map(abs, corners)):g} pixels out; mend it")


def _is_turned(corners: Sequence[float]) -> bool:
    x1, y1, x2, y2 = corners
    # Boxes of less than a pixel are ones with x1 up to x2 + 1, since both ends are inclusive.
    return x1 - 1 > x2 or y1 - 1 > y2


def known_id(word: str, index: Mapping[str, int], path: Path) -> str:
    """The id of `index` that `word` means: itself, without an image suffix, or with its zeros.

    Spreadsheets cut 000042 to 42. What means no id comes back as it is.
    """
    if word in index:
        return word
    stem = word if not word.lower().endswith(_IMAGE_SUFFIXES) else word.rpartition(".")[0]
    meant = stem if stem in index else stem.zfill(6)
    if meant not in index:
        return word
    if path not in _logged:
        _logged.add(path)
        logger.info(f"{path}: {word} is read as {meant}, and others alike")
    return meant


_logged: set[Path] = set()


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise InputError(f"{path} is no readable text: {error}; write it again") from error


def write_scores_csv(
    path: Path, ids: Sequence[str], scores: np.ndarray, classes: Sequence[str] = VOC_CLASSES
) -> None:
    """Write `image` and one column per class; `read_scores_csv` reads it.

    Args:
        path: the file.
        ids: the images' ids, N of them.
        scores: (N, C) finite.
        classes: the C column names.

    Raises:
        ValueError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("expected finite scores, got nan or infinity")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.asarray(scores, np.float64).tolist()
    lines = ([image_id, *map(repr, row)] for image_id, row in zip(ids, rows, strict=True))
    write_csv(path, ["image", *classes], lines)


def read_scores_csv(
    path: Path, ids: Sequence[str], classes: Sequence[str] = VOC_CLASSES
) -> np.ndarray:
    """The scores (N, C) float64 in the order of `ids` and `classes`; other columns are left out.

    Raises:
        InputError: a column is missing or there twice, an image is missing, repeated or not in
            `ids`, or a score is not a finite number.
    """
    lines = _csv_lines(path)
    _, header = next(lines, (1, []))
    missing = [name for name in ("image", *classes) if name not in header]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; the first line names them")
    repeated = [name for name in ("image", *classes) if header.count(name) > 1]
    if repeated:
        raise InputError(f"{path} has more than one column {repeated[0]}; keep one of them")
    image_column, columns = header.index("image"), [header.index(name) for name in classes]
    index = {image_id: i for i, image_id in enumerate(ids)}
    scores = np.full((len(ids), len(classes)), np.nan)
    for number, words in lines:
        where = f"{path}:{number}"
        if len(words) != len(header):
            raise InputError(f"{where}: {len(words)} fields, expected {len(header)}; mend the line")
        row = index.get(known_id(words[image_column], index, path))
        if row is None:
            raise InputError(f"{where}: image {words[image_column]} is not in the set; remove it")
        if not np.isnan(scores[row]).all():
            raise InputError(f"{where}: image {words[image_column]} is there twice; remove one")
        scores[row] = [_finite(words[c], f"{where}, column {header[c]}") for c in columns]
    absent = [ids[row] for row in np.flatnonzero(np.isnan(scores).any(axis=1)).tolist()]
    if absent:
        raise InputError(
            f"{path} has no line for {len(absent)} of the set's {len(ids)} images, first "
            f"{absent[0]}; score every image"
        )
    return scores


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of every line that is not blank; semicolons separate as commas do."""
    lines = _read_text(path).splitlines()
    semicolons = bool(lines) and ";" in lines[0] and "," not in lines[0]
    reader = csv.reader(lines, delimiter=";" if semicolons else ",")
    try:
        for words in reader:
            if words:
                yield reader.line_num, words
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}; write a plain CSV") from error


def _finite(word: str, where: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        advice = "write a point before the decimals" if "," in word else "mend the score"
        raise InputError(f"{where}: {word!r} is not a finite number; {advice}")
    return value
