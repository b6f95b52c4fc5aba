"""Holes in people's images, filled in one or several ways, written and looked at."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cebench.data.editing import Photo, read_photo, toned, write_photo
from cebench.data.images import image_size
from cebench.errors import InputError
from cebench.files import check_writable, check_writable_file, replace_atomically, without_links
from cebench.inpainting.blending import BLENDS
from cebench.inpainting.networks import FILL_RGB
from cebench.inpainting.photo_holes import HoleOf
from cebench.inpainting.windows import Filler, Hole, Image, fill_image
from cebench.metrics.inpainting import psnr_db
from cebench.plots.sheets import Cell, save_contact_sheet, thumbnail
from cebench.progress import progress

SHEET_SIDE = 192
"""Pixels of a picture on the sheet of all images."""
COMPARISON_SIDE = 384
MOST_ROWS = 100
"""Images on one sheet; few programs open the picture that more would make."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Images to fill, and where the fillings are written."""

    files: Sequence[Path]
    fillers: Mapping[str, Filler]
    """Name -> way of filling."""
    hole_of: HoleOf
    whole: bool
    """Fillers see the whole image, not a window around each hole."""
    blend: str
    intact: bool
    """What a hole hides is the truth: it is shown, and errors are measured."""
    out: Path
    comparisons: bool
    """Write a picture of each image beside its fillings."""
    sheet: Path | None
    """Write one picture of all of them."""

    def result(self, file: Path, name: str) -> Path:
        """Where a filling goes."""
        alone = len(self.fillers) == 1
        return self.out / (f"{file.stem}.png" if alone else f"{file.stem}-{name}.png")

    def comparison(self, file: Path) -> Path:
        """Where an image beside its fillings goes."""
        return self.out / f"{file.stem}-comparison.png"

    def outputs(self, file: Path) -> list[Path]:
        """All that is written for one image."""
        results = [self.result(file, name) for name in self.fillers]
        return results + ([self.comparison(file)] if self.comparisons else [])

    @property
    def titles(self) -> list[str]:
        """Columns of the pictures."""
        return ["input", *self.fillers, *(["truth"] if self.intact else [])]


@dataclass(frozen=True)
class Filled:
    """One image and what became of it."""

    image: Image
    hole: Hole
    fillings: Mapping[str, Image]
    errors: Mapping[str, Mapping[str, float]]
    """Scores of each filling inside the hole; empty where the truth is not known."""


def inpaint_photos(work: Work, inputs: Sequence[Path]) -> dict[str, Any]:
    """Fill and write every image; returns what `--json` prints.

    Errors are those inside the hole, of pixels in [0, 1]; the PSNR of no error at all is None.

    inputs: files that nothing may be written over, besides the images.
    """
    check_work(work, inputs)
    rows, images = [], []
    work.out.mkdir(parents=True, exist_ok=True)
    with progress("inpainting", "images") as report:
        for done, file in enumerate(work.files, start=1):
            photo = read_photo(file)
            filled = _fill(work, file, photo)
            _write(work, file, photo, filled)
            row = _row(file, filled)
            if work.comparisons:
                save_contact_sheet(work.titles, [row], work.comparison(file), COMPARISON_SIDE)
            if work.sheet is not None:
                rows.append([Cell(thumbnail(cell.image, SHEET_SIDE), cell.lines) for cell in row])
            images.append(_description(work, file, filled))
            report(done, len(work.files))
    if work.sheet is not None:
        work.sheet.parent.mkdir(parents=True, exist_ok=True)
        save_contact_sheet(work.titles, rows, work.sheet, SHEET_SIDE)
    return {"images": images, "sheet": None if work.sheet is None else str(work.sheet)}


def hole_errors(truth: Image, filled: Image, hole: Hole) -> dict[str, float]:
    """Mean L1, mean L2 and PSNR (infinite if nothing differs) of the missing pixels, in [0, 1]."""
    difference = (filled[hole].astype(np.float64) - truth[hole]) / 255
    squared = float(np.mean(difference**2))
    return {
        "mean_l1": float(np.mean(np.abs(difference))),
        "mean_l2": squared,
        "psnr_db": psnr_db(squared),
    }


def check_work(work: Work, inputs: Sequence[Path]) -> None:
    """InputError unless every image has a header and no output is an input or another's output."""
    if work.sheet is not None and len(work.files) > MOST_ROWS:
        raise InputError(
            f"--sheet: {len(work.files)} images; one sheet takes at most {MOST_ROWS}: give fewer"
        )
    if work.sheet is not None and work.sheet.suffix.lower() != ".png":
        raise InputError(f"--sheet {work.sheet}: the sheet is a PNG; name it .png")
    check_writable(work.out)
    if work.sheet is not None:
        check_writable_file(work.sheet, "sheet.png", "--sheet")
    taken = {without_links(path): "is an input" for path in (*work.files, *inputs)}
    planned = [(file, output) for file in work.files for output in work.outputs(file)]
    planned += [(work.sheet, work.sheet)] if work.sheet is not None else []
    for file, output in planned:
        if reason := taken.get(without_links(output)):
            raise InputError(
                f"{output}: {reason} and would be overwritten by the result for {file}; "
                "choose another --out or rename the image"
            )
        taken[without_links(output)] = f"is the result for {file}"
    for file in work.files:
        image_size(file)


def _fill(work: Work, file: Path, photo: Photo) -> Filled:
    image = photo.pixels
    hole = work.hole_of(file, *image.shape[:2])
    fillings = {}
    for name, filler in work.fillers.items():
        try:
            filled = fill_image(image, hole, filler, work.whole)
        except InputError as error:
            raise InputError(f"{file}, {name}: {error}") from error
        fillings[name] = toned(photo, BLENDS[work.blend](image, filled, hole))
    errors = {}
    if work.intact:
        errors = {name: hole_errors(image, filled, hole) for name, filled in fillings.items()}
    return Filled(image, hole, fillings, errors)


def _write(work: Work, file: Path, photo: Photo, filled: Filled) -> None:
    for name, pixels in filled.fillings.items():
        write = partial(write_photo, photo=photo, pixels=pixels)
        replace_atomically(work.result(file, name), write)


def _row(file: Path, filled: Filled) -> list[Cell]:
    context = np.where(filled.hole[..., None], np.array(FILL_RGB, np.uint8), filled.image)
    cells = [Cell(context, (file.stem, f"{_percent(filled.hole.mean())} missing"))]
    cells += [
        Cell(filling, _error_lines(filled.errors.get(name)))
        for name, filling in filled.fillings.items()
    ]
    return [*cells, Cell(filled.image)] if filled.errors else cells


def _error_lines(errors: Mapping[str, float] | None) -> tuple[str, ...]:
    if errors is None:
        return ()
    return (
        f"L1 {_percent(errors['mean_l1'])}   L2 {_percent(errors['mean_l2'])}",
        f"PSNR {errors['psnr_db']:.1f} dB",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%" if share < 0.0995 else f"{100 * share:.1f}%"


def _description(work: Work, file: Path, filled: Filled) -> dict[str, Any]:
    height, width = filled.hole.shape
    return {
        "image": str(file),
        "width": width,
        "height": height,
        "hole_share": float(filled.hole.mean()),
        "fillings": {
            name: {"path": str(work.result(file, name)), **_finite(filled.errors.get(name, {}))}
            for name in work.fillers
        },
        "comparison": str(work.comparison(file)) if work.comparisons else None,
    }


def _finite(errors: Mapping[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in errors.items()}
