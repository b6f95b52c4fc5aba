"""What an inpainting run leaves beside its numbers: a table per image, a summary, two pictures."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cebench.files import write_atomically, write_csv
from cebench.inpainting.networks import FILL_RGB, Hole
from cebench.inpainting.squares import SIDE
from cebench.metrics.inpainting import InpaintingScores, InpaintingSums, inpainting_scores
from cebench.metrics.texture import (
    SCALE_PIXELS,
    TextureGroup,
    grouped_by_texture,
    texture_share,
)
from cebench.plots.sheets import Cell, save_contact_sheet
from cebench.plots.texture import plot_error_by_texture
from cebench.reporting.outcome_parts import FillErrors
from cebench.reporting.outcomes import OutcomePart, RunOutcome

from ..run_context import Measurement
from .data import InpaintingImages
from .prediction import Filling, Patches

PICTURED_IMAGES = 8
TEXTURE_GROUPS = 4
FRAME_RGB = (255, 255, 255)


def write_report(
    folder: Path,
    images: InpaintingImages,
    fillings: Mapping[str, Filling],
    neighbours: Mapping[str, NDArray[np.int64]],
    sums: Mapping[str, Sequence[InpaintingSums]],
    patches: Mapping[str, Patches],
) -> None:
    """Everything that a run leaves in its directory `folder` beside images and numbers."""
    shares = np.array([texture_share(target, images.hole) for target in images.targets])
    write_table(folder / "per_image.csv", images, fillings, sums, patches, shares)
    groups = errors_by_texture(shares, sums)
    write_texture(folder / "texture.json", groups)
    write_memorisation(folder / "memorisation.json", patches)
    samples = folder / "samples"
    samples.mkdir(exist_ok=True)
    save_fillings(samples / "inpainting.png", images, fillings, sums)
    plot_error_by_texture(groups, samples / "texture.png")
    if neighbours:
        save_retrieval(samples / "retrieval.png", images, neighbours)


def measurements(
    row: str, scores: InpaintingScores, images: int, of_weights: bool
) -> Iterator[Measurement]:
    """The numbers of a row inside the hole, and with the prefix `image_` over the whole image."""
    for prefix, region in (("", scores.hole), ("image_", scores.image)):
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
                metric=prefix + metric,
                value=getattr(region, metric),
                unit=unit,
                higher_is_better=higher_is_better,
                count=images,
                of_weights=of_weights,
            )


def scored_from(
    sums: Mapping[str, Sequence[InpaintingSums]], images: InpaintingImages
) -> RunOutcome:
    """What the measurements are scored from: each row's sums of errors, by region."""
    parts = (part for row, found in sums.items() for part in parts_of(row, found))
    return RunOutcome(tuple(images.stems), tuple(parts))


def parts_of(row: str, sums: Sequence[InpaintingSums]) -> Iterator[OutcomePart]:
    """What a row's measurements are scored from, inside the hole and over the image."""
    for prefix, region in (("", "hole"), ("image_", "image")):
        scored = FillErrors.from_sums([getattr(one, region) for one in sums])
        yield OutcomePart(scored=scored, row=row, prefix=prefix)


def write_table(
    path: Path,
    images: InpaintingImages,
    fillings: Mapping[str, Filling],
    sums: Mapping[str, Sequence[InpaintingSums]],
    patches: Mapping[str, Patches],
    shares: NDArray[np.float64],
) -> None:
    """One line per row and test image.

    Errors in the hole (`image_`: over the image), the gallery image pasted from, the distance to
    the most similar patch of the gallery (`patch_`), and the texture of what the hole hides.
    """
    keys = ("mean_l1", "mean_l2", "psnr_pooled_db", "ssim")
    names = ("mean_l1", "mean_l2", "psnr_db", "ssim")
    lines = []
    for row, filling in fillings.items():
        for i, stem in enumerate(images.stems):
            scores = inpainting_scores(sums[row][i])
            values = [getattr(part, key) for part in (scores.hole, scores.image) for key in keys]
            values += [patches[row].mean_l1[i], patches[row].mean_l2[i]]
            index = filling.neighbours
            pasted = "" if index is None else _name(images, index[i, 0])
            numbers = (f"{value:.6f}" for value in values)
            lines.append((row, stem, *numbers, pasted, f"{shares[i]:.6f}"))
    header = ["row", "image", *names, *(f"image_{name}" for name in names)]
    write_csv(path, [*header, "patch_l1", "patch_l2", "neighbour", "texture"], lines)


def errors_by_texture(
    shares: NDArray[np.float64], sums: Mapping[str, Sequence[InpaintingSums]]
) -> Sequence[TextureGroup]:
    """The errors of each row from images of little texture to images of much (Figure 5's claim)."""
    errors = {
        row: np.array([inpainting_scores(one).hole.mean_l1 for one in found])
        for row, found in sums.items()
    }
    return grouped_by_texture(shares, errors, TEXTURE_GROUPS)


def write_texture(path: Path, groups: Sequence[TextureGroup]) -> None:
    """The groups as JSON, from least texture to most."""
    content = {"scale_pixels": SCALE_PIXELS, "groups": [asdict(group) for group in groups]}
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def write_memorisation(path: Path, patches: Mapping[str, Patches]) -> None:
    """Each row's mean distance to the most similar patch of the gallery, and that of the truth.

    Predictions much nearer than the truth have been copied from the training images.
    """
    means = {
        row: {"mean_l1": float(found.mean_l1.mean()), "mean_l2": float(found.mean_l2.mean())}
        for row, found in patches.items()
    }
    content = {"distance_to_nearest_gallery_patch": means}
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def save_fillings(
    path: Path,
    images: InpaintingImages,
    fillings: Mapping[str, Filling],
    sums: Mapping[str, Sequence[InpaintingSums]],
) -> None:
    """What is visible, every filling with its error, and the truth of images over the folder."""
    rows = []
    for i in _spread(len(images.stems)):
        visible = images.targets[i].copy()
        visible[images.hole] = FILL_RGB
        cells = [Cell(visible, (images.stems[i],))]
        for row, filling in fillings.items():
            scores = inpainting_scores(sums[row][i]).hole
            error = f"L1 {100 * scores.mean_l1:.1f}%  {scores.psnr_pooled_db:.1f} dB"
            cells.append(Cell(filling.images[i], (error,)))
        rows.append([*cells, Cell(images.targets[i])])
    save_contact_sheet(["visible", *fillings, "truth"], rows, path, SIDE)


def save_retrieval(
    path: Path, images: InpaintingImages, neighbours: Mapping[str, NDArray[np.int64]]
) -> None:
    """Figure 8: gallery images with the contexts most like a test image's, by each description.

    Nobody was shown what is inside the frames.

    neighbours: label of the description -> (N, K) indices into the gallery.
    """
    frame = hole_frame(images.hole)

    def framed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(frame[..., None], np.array(FRAME_RGB, np.uint8), image)

    titles, rows = ["test image"], []
    for label, index in neighbours.items():
        short = label.removeprefix("nn-")
        titles += [f"{short} {place}" for place in range(1, index.shape[1] + 1)]
    for i in _spread(len(images.stems)):
        row = [Cell(framed(images.targets[i]), (images.stems[i],))]
        for index in neighbours.values():
            row += [Cell(framed(images.gallery[n]), (_name(images, n),)) for n in index[i]]
        rows.append(row)
    save_contact_sheet(titles, rows, path, SIDE)


def hole_frame(hole: Hole) -> Hole:
    """The visible pixels beside the hole."""
    padded = np.pad(hole, 1)
    around = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return np.asarray(around & ~hole)


def _spread(count: int) -> range:
    return range(0, count, math.ceil(count / PICTURED_IMAGES))


def _name(images: InpaintingImages, index: np.int64) -> str:
    """File of a gallery image."""
    mirror, place = divmod(int(index), len(images.gallery_files))
    return images.gallery_files[place].name + (" (mirrored)" if mirror else "")
