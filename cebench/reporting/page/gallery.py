"""Predictions of single images, row beside row, ordered by error and by disagreement."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cebench.errors import InputError
from cebench.files import read_csv
from cebench.reporting.cells import grouped
from cebench.reporting.published import MINUS

from .pictures import Picture, PictureBudget
from .runs import Run, first_of_each_row
from .stored_outcomes import iou_per_image

THUMBNAIL = 160
"""Greatest width of a gallery's picture, in pixels."""
EACH, MOST_ROWS = 6, 8
"""Images of largest error, of smallest, and of largest disagreement; rows beside each other."""


@dataclass(frozen=True)
class Fill:
    """One row's prediction of an image."""

    row: str
    error: float
    text: str
    picture: Picture


@dataclass(frozen=True)
class GalleryImage:
    """An image, its truth where it is stored, and the predictions of it."""

    name: str
    truth: Picture | None
    fills: Sequence[Fill]

    @property
    def errors(self) -> dict[str, float]:
        """Row -> error."""
        return {fill.row: round(fill.error, 6) for fill in self.fills}


@dataclass(frozen=True)
class Gallery:
    """Images of one test set."""

    title: str
    error: str
    """What the error is."""
    rows: Sequence[str]
    images: Sequence[GalleryImage]
    note: str


@dataclass
class _Candidates:
    """Predictions on disk: row -> image -> (file, error)."""

    rows: dict[str, dict[str, tuple[Path, float]]] = field(default_factory=dict)
    truths: dict[str, Path] = field(default_factory=dict)
    training: str = ""


def galleries(runs: Sequence[Run], budget: PictureBudget) -> list[Gallery]:
    """A gallery for each test set whose predictions are pictures in run directories."""
    kinds = (
        ("inpainting", "Inpaintings, image by image", "L1 in the hole", _inpaintings),
        ("segmentation", "Segmentations, image by image", f"1 {MINUS} mean IoU", _segmentations),
    )
    found = []
    for task, title, error, candidates_of in kinds:
        inside = [r for r in first_of_each_row(runs) if r.record.task == task and r.folder]
        # Other data are other images, even where their names are the same.
        for of_data in grouped(inside, lambda run: run.record.data.fingerprint).values():
            candidates = candidates_of(of_data)
            gallery = _gallery(title, error, candidates, budget)
            found += [gallery] if gallery.images else []
    return found


def chosen_images(errors: Mapping[str, Mapping[str, float]], each: int = EACH) -> list[str]:
    """Images worth a look, from the largest mean error down.

    `each` of the largest mean error over rows, of the smallest, and of the largest difference
    between any two rows.

    Args:
        errors: image -> row -> error.
        each: number of images of each kind.
    """
    mean = {image: sum(rows.values()) / len(rows) for image, rows in errors.items() if rows}
    spread = {i: max(rows.values()) - min(rows.values()) for i, rows in errors.items() if rows}
    ranked = sorted(mean, key=lambda image: (-mean[image], image))
    disagreed = sorted(spread, key=lambda image: (-spread[image], image))
    kept = {*ranked[:each], *ranked[-each:], *disagreed[:each]}
    return [image for image in ranked if image in kept]


def _gallery(title: str, error: str, candidates: _Candidates, budget: PictureBudget) -> Gallery:
    rows = list(candidates.rows)[:MOST_ROWS]
    errors: dict[str, dict[str, float]] = {}
    for row in rows:
        for image, (_, value) in candidates.rows[row].items():
            errors.setdefault(image, {})[row] = value
    chosen = chosen_images(errors)
    images = [_image(name, rows, candidates, budget) for name in chosen]
    shown = [image for image in images if image.fills]
    note = f"{len(shown)} of {len(errors):,} images: those of the largest and the smallest error "
    note += "and those on which rows disagree most."
    note += "" if candidates.truths else " Run directories hold no photographs."
    if len(candidates.rows) > len(rows):
        note += f" Rows not shown: {', '.join(list(candidates.rows)[MOST_ROWS:])}."
    note += f" {candidates.training.capitalize()}." if candidates.training else ""
    return Gallery(title, error, rows, shown, note)


def _image(
    name: str, rows: Sequence[str], candidates: _Candidates, budget: PictureBudget
) -> GalleryImage:
    fills = []
    for row in rows:
        path, error = candidates.rows[row].get(name, (None, 0.0))
        picture = path and budget.embed(path, f"{name}: {row}", max_width=THUMBNAIL)
        if picture:
            fills.append(Fill(row, error, f"{100 * error:.1f} %", picture))
    truth = candidates.truths.get(name)
    embedded = truth and budget.embed(truth, f"{name}: truth", max_width=THUMBNAIL)
    return GalleryImage(name, embedded or None, fills)


def _inpaintings(runs: Sequence[Run]) -> _Candidates:
    """Fills and truths that runs stored, with the errors of their per_image.csv.

    The networks' own fills are the first rows: those of baselines are the same in every run.
    """
    found = _Candidates()
    for run in runs:
        folder = run.path.parent
        for row, image, error in _errors(folder / "per_image.csv"):
            path = folder / "predictions" / row / f"{image}.png"
            if path.is_file():
                found.rows.setdefault(row, {}).setdefault(image, (path, error))
            truth = folder / "targets" / f"{image}.png"
            if truth.is_file():
                found.truths.setdefault(image, truth)
        found.training = found.training or run.training
    own = {run.row for run in runs}
    found.rows = dict(sorted(found.rows.items(), key=lambda item: item[0] not in own))
    return found


def _segmentations(runs: Sequence[Run]) -> _Candidates:
    """Label images that runs stored, with the errors of their outcomes."""
    found = _Candidates()
    for run in runs:
        for image, iou in iou_per_image(run).items():
            path = run.path.parent / "predictions" / f"{image}.png"
            if path.is_file() and math.isfinite(iou):
                found.rows.setdefault(run.row, {})[image] = (path, 1 - iou)
        found.training = found.training or run.training
    return found


def _errors(path: Path) -> list[tuple[str, str, float]]:
    """Row, image and L1 in the hole of per_image.csv; InputError where it is damaged."""
    if not path.is_file():
        return []
    try:
        _, lines = read_csv(path)
        known = [(line["row"], line["image"], float(line["mean_l1"])) for line in lines]
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: damaged: expected the columns row, image and mean_l1; run the "
            "transfer again with --no-resume"
        ) from None
    # A name that leads out of the folder is none of a file in it.
    return [item for item in known if all(Path(name).name == name for name in item[:2])]
