"""`cebench inpaint`: fill holes in anybody's images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_COMPARISON_SIDE = 384


@click.command()
@click.argument(
    "images",
    metavar="IMAGE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True),
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE|RUN",
    help="A model.safetensors, or a pretraining's run directory that holds one.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="An image of the same size: white is missing, black is kept, grey is the nearer one.",
)
@click.option(
    "--center",
    is_flag=True,
    help="The middle half of height and width is missing (the default without --mask).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder to write to.",
)
def inpaint(
    images: tuple[Path, ...], weights: Path, mask: Path | None, center: bool, out: Path
) -> None:
    """Fill a hole in each IMAGE, a file or a folder of files, from what surrounds it.

    The network sees the whole image at 227 x 227 pixels, its aspect not kept. Its prediction is
    resized back and pasted into the hole; every other pixel stays as it is. Writes OUT/STEM.png
    and, beside the image with its hole, OUT/STEM-comparison.png; prints the paths.
    """
    if mask and center:
        raise click.UsageError("--mask and --center exclude each other")
    from cebench.data.images import image_files
    from cebench.devices import choose_device
    from cebench.inpainting import fill_holes, load_context_encoder
    from cebench.progress import progress
    from cebench.weights import load_weights

    files = [file for path in images for file in (image_files(path) if path.is_dir() else [path])]
    _check_outputs(files, out, inputs=[*files, *([mask] if mask else [])])
    model = weights / "model.safetensors" if weights.is_dir() else weights
    network = load_context_encoder(load_weights(model), choose_device("auto"))
    masked = _read_mask(mask) if mask else None
    with progress("inpainting", "images") as report:
        for done, file in enumerate(files, start=1):
            image = _upright(file)
            hole = _middle(image) if masked is None else masked
            _check_hole(hole, image, file, mask)
            filled = fill_holes(network, image[None], hole)[0]
            report(done, len(files))
            for path in _save(file, out, image, hole, filled):
                click.echo(path)


def _outputs(file: Path, out: Path) -> tuple[Path, Path]:
    return out / f"{file.stem}.png", out / f"{file.stem}-comparison.png"


def _check_outputs(files: Sequence[Path], out: Path, inputs: Sequence[Path]) -> None:
    """No output may be an input, or the output of two images."""
    from cebench.errors import InputError

    taken = {path.resolve(): "is an input" for path in inputs}
    for file in files:
        for output in _outputs(file, out):
            if reason := taken.get(output.resolve()):
                raise InputError(
                    f"{output}: {reason} and would be overwritten by the result for {file}; "
                    "choose another --out or rename the image"
                )
            taken[output.resolve()] = f"is the result for {file}"


def _upright(file: Path) -> "NDArray[np.uint8]":
    """(H, W, 3), turned as the camera says: as people, and the editors they paint masks in, see it.

    Datasets are read otherwise, as stored (`cebench.data.images`).
    """
    import numpy as np
    from PIL import ImageOps

    from cebench.data.images import open_rgb

    return np.asarray(ImageOps.exif_transpose(open_rgb(file)))


def _middle(image: "NDArray[np.uint8]") -> "NDArray[np.bool_]":
    """A quarter of the image: rows and columns 57..169 of 227, the paper's central hole."""
    import numpy as np

    height, width = image.shape[:2]
    top, left = (height - height // 2) // 2, (width - width // 2) // 2
    hole = np.zeros((height, width), np.bool_)
    hole[top : top + height // 2, left : left + width // 2] = True
    return hole


def _read_mask(file: Path) -> "NDArray[np.bool_]":
    import numpy as np
    from PIL import ImageOps

    from cebench.data.images import open_rgb

    upright = ImageOps.exif_transpose(open_rgb(file))
    return np.asarray(np.asarray(upright.convert("L")) >= 128)


def _check_hole(
    hole: "NDArray[np.bool_]", image: "NDArray[np.uint8]", file: Path, mask: Path | None
) -> None:
    from cebench.errors import InputError

    if hole.shape != image.shape[:2]:
        raise InputError(
            f"{mask}: the mask is {_size(hole)} pixels and {file} is {_size(image)}; "
            "a mask must have the size of every image"
        )
    if not hole.any():
        problem = "has no white pixel" if mask else "leaves no hole, the image is too small"
        raise InputError(f"{mask or file}: {problem}; white marks what is missing")
    if hole.all():
        raise InputError(f"{mask}: is white everywhere; the black part is what to fill from")


def _size(image: "NDArray[np.generic]") -> str:
    return f"{image.shape[1]} x {image.shape[0]}"


def _save(
    file: Path,
    out: Path,
    image: "NDArray[np.uint8]",
    hole: "NDArray[np.bool_]",
    filled: "NDArray[np.uint8]",
) -> tuple[Path, Path]:
    """Write the result and, at a size that fits a screen, the comparison; make the folder."""
    import numpy as np
    from PIL import Image, ImageOps

    from cebench.data.images import write_png
    from cebench.files import replace_atomically
    from cebench.inpainting import FILL_RGB
    from cebench.pictures import save_sheet

    def for_screen(pixels: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
        size = (_COMPARISON_SIDE, _COMPARISON_SIDE)
        return np.asarray(ImageOps.contain(Image.fromarray(pixels), size))

    context = np.where(hole[..., None], np.array(FILL_RGB, np.uint8), image)
    result, comparison = _outputs(file, out)
    replace_atomically(result, lambda path: write_png(path, filled))
    save_sheet({"context": [for_screen(context)], "result": [for_screen(filled)]}, comparison)
    return result, comparison
