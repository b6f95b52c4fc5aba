"""Inpainting (Table 1): the context encoder and its baselines, scored inside the central hole."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cebench.config import Recipe
from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import image_files, read_image, write_png
from cebench.data.overlap import same_photos
from cebench.data.resize import resize
from cebench.errors import InputError
from cebench.files import write_csv
from cebench.inpainting import FILL_RGB, load_context_encoder
from cebench.metrics.inpainting import (
    InpaintingSums,
    RegionScores,
    inpainting_scores,
    inpainting_sums,
)
from cebench.pictures import save_sheet
from cebench.progress import progress

from .inpainting_rows import WEIGHTLESS_ROWS, Filling, fill_every_way
from .setting import Measurement, Outcome, Setting

logger = logging.getLogger("cebench")

SIDE = 128
"""Pixels; images are resized to squares of this side, their aspect not kept, as in the authors'
demo.lua."""
HOLE = slice(36, 92)
"""Rows and columns of the hole: 56 of 128 pixels, 99 of 227 (protocol ledger: Paris StreetView)."""

PICTURED_IMAGES = 8


class InpaintingRecipe(Recipe):
    """What is compared; nothing is trained here."""

    gallery: str = "train"
    """Subfolder of --data whose images the nearest-neighbour rows paste from."""
    test: str = "test"
    """Subfolder of --data whose images are filled and scored."""


def find_images(recipe: InpaintingRecipe, data: Path) -> dict[str, list[Path]]:
    """Images that `measure` would search and fill."""
    return {
        "gallery": _folder(data, recipe.gallery, "gallery"),
        "test": _folder(data, recipe.test, "test"),
    }


def measure(recipe: InpaintingRecipe, setting: Setting) -> Outcome:
    """Fill the hole of every test image in every way, and score each way.

    The 8-bit images in predictions/ and targets/ are what is scored, so that
    `cebench score inpainting --hole center:56 --size 128` on them gives these very numbers.
    """
    network = load_context_encoder(setting.weights, setting.device)
    gallery_files, test_files = find_images(recipe, setting.data).values()
    stems = _unique_stems(test_files)
    _refuse_shared_photos(test_files, gallery_files)
    gallery = load_squares(gallery_files, "gallery images")
    targets = load_squares(test_files, "test images")
    hole = central_hole()
    fillings = fill_every_way(network, setting.weights.sidecar.method, gallery, targets, hole)
    _store(setting.run.path, stems, fillings, targets)
    sums = {row: _sums_per_image(f.images, targets, hole) for row, f in fillings.items()}
    _require_errors(sums, stems)
    _write_table(setting.run.path / "per_image.csv", stems, sums, fillings, gallery_files)
    _save_pictures(setting.run.path / "samples", stems, sums, fillings, targets, hole)
    return Outcome(
        measurements=[m for row in sums for m in _measurements(row, sums[row])],
        data_fingerprint=fingerprint_files([*gallery_files, *test_files], setting.data),
    )


def central_hole() -> NDArray[np.bool_]:
    """(128, 128), True in rows and columns 36..91."""
    hole = np.zeros((SIDE, SIDE), np.bool_)
    hole[HOLE, HOLE] = True
    return hole


def load_squares(files: Sequence[Path], label: str) -> NDArray[np.uint8]:
    """(N, 128, 128, 3): each file, resized by `cebench.inpainting.resize` and rounded."""
    squares = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
    with progress(label, "images") as report:
        for i, path in enumerate(files):
            squares[i] = np.rint(resize(read_image(path), SIDE, SIDE))
            report(i + 1, len(files))
    return squares


def _folder(data: Path, name: str, option: str) -> list[Path]:
    folder = data / name
    if not folder.is_dir():
        found = sorted(p.name for p in data.iterdir() if p.is_dir()) if data.is_dir() else []
        raise InputError(
            f"{folder}: no such folder of {option} images; --data holds "
            f"{', '.join(found) or 'no folders'}; name the right one with --set {option}=NAME"
        )
    return image_files(folder)


def _unique_stems(files: Sequence[Path]) -> list[str]:
    by_stem = {path.stem: path for path in files}
    for path in files:
        if by_stem[path.stem] != path:
            raise InputError(
                f"{path} and {by_stem[path.stem]}: test images of one stem, under which the "
                "predictions are stored; rename one"
            )
    return list(by_stem)


def _refuse_shared_photos(test: Sequence[Path], gallery: Sequence[Path]) -> None:
    shared = same_photos(test, gallery)
    if shared:
        path, twin = next(iter(shared.items()))
        raise InputError(
            f"{path}: this test photo is also in the gallery ({twin}), as are "
            f"{len(shared) - 1} more; nearest neighbours would paste the answer: remove them "
            "from one folder"
        )


def _store(
    folder: Path, stems: Sequence[str], fillings: Mapping[str, Filling], targets: NDArray[np.uint8]
) -> None:
    for i, stem in enumerate(stems):
        write_png(folder / "targets" / f"{stem}.png", targets[i])
        for row, filling in fillings.items():
            write_png(folder / "predictions" / row / f"{stem}.png", filling.images[i])


def _sums_per_image(
    filled: NDArray[np.uint8], targets: NDArray[np.uint8], hole: NDArray[np.bool_]
) -> list[InpaintingSums]:
    def unit(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray(image[None].transpose(0, 3, 1, 2) / 255)

    pairs = zip(filled, targets, strict=True)
    return [inpainting_sums(unit(image), unit(target), hole[None]) for image, target in pairs]


def _require_errors(sums: Mapping[str, Sequence[InpaintingSums]], stems: Sequence[str]) -> None:
    """A perfect filling has an infinite PSNR, of which no mean can be reported."""
    for row, images in sums.items():
        for stem, image in zip(stems, images, strict=True):
            if image.hole.squared == 0:
                raise InputError(
                    f"test image {stem}: {row} fills its hole without any error, so its PSNR is "
                    "infinite; remove the image from the test folder if it is blank or a copy"
                )


def _measurements(row: str, sums: Sequence[InpaintingSums]) -> Iterator[Measurement]:
    scores = inpainting_scores(sum(sums, InpaintingSums())).hole
    for metric, column, unit, higher_is_better in (
        ("mean_l1", "mean_l1", "fraction", False),
        ("mean_l2", "mean_l2", "fraction", False),
        ("psnr_per_image_mean_db", "psnr", "db", True),
        ("psnr_pooled_db", "psnr", "db", True),
        ("ssim", "ssim", "fraction", True),
    ):
        yield Measurement(
            row=row,
            column=column,
            metric=metric,
            value=getattr(scores, metric),
            unit=unit,
            higher_is_better=higher_is_better,
            count=len(sums),
            of_weights=row not in WEIGHTLESS_ROWS,
        )


def _hole_scores(image: InpaintingSums) -> RegionScores:
    return inpainting_scores(image).hole


def _write_table(
    path: Path,
    stems: Sequence[str],
    sums: Mapping[str, Sequence[InpaintingSums]],
    fillings: Mapping[str, Filling],
    gallery: Sequence[Path],
) -> None:
    """One line per row and test image: errors in the hole and the gallery image pasted from."""
    lines = []
    for row, filling in fillings.items():
        for i, stem in enumerate(stems):
            scores = _hole_scores(sums[row][i])
            neighbour = gallery[filling.neighbours[i]].name if filling.neighbours else ""
            values = (scores.mean_l1, scores.mean_l2, scores.psnr_pooled_db, scores.ssim)
            lines.append((row, stem, *(f"{value:.6f}" for value in values), neighbour))
    header = ("row", "image", "mean_l1", "mean_l2", "psnr_db", "ssim", "neighbour")
    write_csv(path, header, lines)


def _save_pictures(
    folder: Path,
    stems: Sequence[str],
    sums: Mapping[str, Sequence[InpaintingSums]],
    fillings: Mapping[str, Filling],
    targets: NDArray[np.uint8],
    hole: NDArray[np.bool_],
) -> None:
    """What is visible, every filling and the truth of images spread over the test folder."""
    shown = range(0, len(stems), math.ceil(len(stems) / PICTURED_IMAGES))
    context = targets.copy()
    context[:, hole] = FILL_RGB
    fills = {row: filling.images for row, filling in fillings.items()}
    columns = {"visible": context, **fills, "truth": targets}
    captions = [
        f"{stems[i]}  mean L1 in the hole:  "
        + ",  ".join(f"{row} {100 * _hole_scores(sums[row][i]).mean_l1:.1f}%" for row in sums)
        for i in shown
    ]
    folder.mkdir(exist_ok=True)
    shown_columns = {title: list(images[shown]) for title, images in columns.items()}
    save_sheet(shown_columns, folder / "inpainting.png", captions)
