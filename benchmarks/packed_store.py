"""Time batches from a packed store against decoding the photos for each batch, one thread each.

Run: python benchmarks/packed_store.py [--images FOLDER] [--batch-size 32]
FOLDER holds JPEG photos; without it, scikit-image's photographs are written as JPEGs of 500 x 375.
Both sides draw the same places and end in the same batch: 227 px, mirrored half of the time,
float32 minus the mean pixel. Both read from the page cache. Stops if the batches differ by more
than the decoder's rounding.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from alternation import medians
from PIL import Image
from torch import Tensor

from cebench.data.images import image_files
from cebench.data.store.packed import open_store
from cebench.data.store.packing import prepare_store
from cebench.data.store.ragged import RaggedImages
from cebench.devices import device_name
from cebench.models.caffenet import IMAGENET_MEAN_RGB, preprocess

SHORT_SIDE, CROP = 256, 227
ROUNDS = 9


def main() -> None:
    """Print images per second of both and their ratio."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--images", type=Path)
    options.add_argument("--batch-size", type=int, default=32)
    given = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(
        f"torch {torch.__version__}, Pillow {PIL.__version__}, {device_name(torch.device('cpu'))}"
    )
    with tempfile.TemporaryDirectory() as folder:
        photos = given.images or write_photos(Path(folder) / "photos")
        prepare_store([photos], Path(folder) / "store", short_side=SHORT_SIDE, workers=2)
        compare(image_files(photos), open_store(Path(folder) / "store").images, given.batch_size)


def compare(paths: list[Path], images: RaggedImages, count: int) -> None:
    """Alternate the two on one draw of `count` crops."""
    rng = np.random.default_rng(0)
    index = rng.integers(0, len(images), count)
    y0 = rng.integers(0, images.heights.numpy()[index] - CROP + 1)
    x0 = rng.integers(0, images.widths.numpy()[index] - CROP + 1)
    flip = rng.random(count) < 0.5
    places = [torch.from_numpy(values) for values in (index, y0, x0, flip)]
    index_, y0_, x0_, flip_ = places

    def packed() -> Tensor:
        return preprocess(images.integer_crops(index_, y0_, x0_, flip_, CROP))

    def crops_alone() -> Tensor:
        return images.integer_crops(index_, y0_, x0_, flip_, CROP)

    def decoded() -> Tensor:
        drawn = zip(index, y0, x0, flip, strict=True)
        return torch.stack([from_file(paths[i], int(y), int(x), f) for i, y, x, f in drawn])

    apart = (packed() - decoded()).abs().mean().item()
    if apart > 2:
        raise SystemExit(f"the two batches differ by {apart:.1f} grey levels on average")
    times = medians({"packed": packed, "decoded": decoded, "crops": crops_alone}, ROUNDS)
    rates = {name: count / seconds for name, seconds in times.items()}
    print(
        f"{len(paths)} photos, batch {count}: packed store {rates['packed']:,.0f} images/s "
        f"(uint8 crops alone {rates['crops']:,.0f}), decoding {rates['decoded']:,.0f} images/s, "
        f"{rates['packed'] / rates['decoded']:.1f} x"
    )


def from_file(path: Path, y0: int, x0: int, flip: bool) -> Tensor:
    """The usual pipeline: decode, resize the short side, crop, mirror, normalise to float."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    factor = SHORT_SIDE / min(image.size)
    size = (round(image.width * factor), round(image.height * factor))
    crop = image.resize(size, Image.Resampling.BILINEAR).crop((x0, y0, x0 + CROP, y0 + CROP))
    if flip:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1).float()
    return pixels - torch.tensor(IMAGENET_MEAN_RGB).view(3, 1, 1)


def write_photos(folder: Path) -> Path:
    """Cuts of scikit-image's photographs, 48 files."""
    from skimage import data

    folder.mkdir()
    photos = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    rng = np.random.default_rng(0)
    for number in range(48):
        photo = Image.fromarray(photos[number % len(photos)])
        share = rng.uniform(0.7, 1)
        width, height = round(photo.width * share), round(photo.height * share)
        x0, y0 = rng.integers(0, (photo.width - width + 1, photo.height - height + 1))
        cut = photo.crop((x0, y0, x0 + width, y0 + height)).resize((500, 375))
        cut.save(folder / f"{number:02d}.jpg", quality=90)
    return folder


if __name__ == "__main__":
    main()
