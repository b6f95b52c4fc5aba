"""Time what a classification run repeats: crops, the forward pass at test, and the bootstrap.

Run: python benchmarks/classification.py [--images FOLDER] [--threads 1]
The crops are compared with what other programs do for each crop: Pillow decodes the JPEG and
samples the very same square bilinearly, torchvision mirrors, scales to [0, 1] and normalises. Ours
come from the decoded set. Without --images the photographs are scikit-image's, 500 x 375 and about
as many bytes as VOC2007's, 97 KB.
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from alternation import medians, print_ratios
from PIL import Image
from skimage import data
from torchvision.transforms.v2 import functional as tv

from cebench.data.store.ragged import RaggedImages
from cebench.metrics.average_precision import multilabel_scores
from cebench.metrics.image_intervals import DRAWS, average_precision_intervals
from cebench.metrics.image_weights import bootstrap_weights
from cebench.models.backbones import build_trunk
from cebench.models.caffenet import IMAGENET_MEAN_RGB, POOL5_FEATURES
from cebench.models.classifier import Classifier
from cebench.transfer.classification.data import crops_at, sample_scaled
from cebench.weights.files import Preprocessing

SIDE, BATCH, PHOTOS = 227, 32, ("astronaut", "chelsea", "coffee", "rocket", "cat", "retina")
NAIVE_DRAWS = 5


def photographs(folder: Path | None) -> list[bytes]:
    """BATCH JPEG files as bytes."""
    if folder:
        paths = sorted(folder.rglob("*.jpg"))[:BATCH]
        return [path.read_bytes() for path in paths]
    files = []
    for name in (PHOTOS * BATCH)[:BATCH]:
        file = io.BytesIO()
        Image.fromarray(getattr(data, name)()).resize((500, 375)).save(file, "JPEG", quality=97)
        files.append(file.getvalue())
    return files


def pillow_crop(file: bytes, place: tuple[float, float, float, bool]) -> torch.Tensor:
    """One crop, (3, 227, 227), minus the mean pixel."""
    x0, y0, scale, flip = place
    image = Image.open(io.BytesIO(file)).convert("RGB")
    corners = (scale, 0, x0, 0, scale, y0)
    image = image.transform(
        (SIDE, SIDE), Image.Transform.AFFINE, corners, Image.Resampling.BILINEAR
    )
    crop = tv.to_image(tv.horizontal_flip(image) if flip else image)
    scaled = tv.to_dtype(crop, torch.float32, scale=True)
    return tv.normalize(scaled, [value / 255 for value in IMAGENET_MEAN_RGB], [1 / 255] * 3)


def compare_crops(files: list[bytes]) -> None:
    """Print one line, and how far the crops are from each other."""
    arrays = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    images, index = RaggedImages.from_arrays(arrays), np.arange(len(arrays))
    sizes = np.array([array.shape[:2] for array in arrays])
    places = sample_scaled(sizes, SIDE, (0.5, 2.0), np.random.default_rng(0))
    seen = Preprocessing()

    def ours() -> torch.Tensor:
        return seen(crops_at(images, index, places, SIDE))

    def theirs() -> torch.Tensor:
        rows = zip(*(values.tolist() for values in places), strict=True)
        return torch.stack([pillow_crop(*pair) for pair in zip(files, rows, strict=True)])

    difference = (ours() - theirs()).abs().mean().item()
    times = medians({"ours": ours, "Pillow and torchvision": theirs})
    print_ratios(f"{len(files)} crops of {SIDE} px", times)
    print(f"  {len(files) / times['ours']:.0f} crops/s; mean difference {difference:.2f} of 255")


def compare_forward_passes(files: list[bytes]) -> None:
    """Print one line: channels last is what a run does."""
    network = Classifier(build_trunk(), POOL5_FEATURES, 20).eval()
    pixels = torch.rand(len(files), 3, SIDE, SIDE)

    def forward(layout: torch.memory_format, precision: torch.dtype) -> Callable[[], object]:
        ours = Classifier(build_trunk(), POOL5_FEATURES, 20).eval()
        ours.load_state_dict(network.state_dict())
        ours.to(memory_format=layout)
        batch = pixels.contiguous(memory_format=layout)

        def run() -> None:
            with (
                torch.inference_mode(),
                torch.autocast("cpu", precision, precision != torch.float32),
            ):
                ours(batch)

        return run

    last, first = torch.channels_last, torch.contiguous_format
    ways = {
        "channels last": forward(last, torch.float32),
        "channels first": forward(first, torch.float32),
        "channels last bf16": forward(last, torch.bfloat16),
    }
    times = medians(ways)
    print_ratios(f"forward pass of {len(files)} crops", times)
    print(f"  {len(files) / times['channels last']:.0f} crops/s in single precision")


def compare_bootstraps(images: int = 4952, classes: int = 20) -> None:
    """Print one line: intervals of three definitions, against scoring every draw anew."""
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((images, classes)) < 0.08, 1, -1).astype(np.int8)
    scores = labels + rng.normal(size=labels.shape)
    counts = bootstrap_weights(images, NAIVE_DRAWS, seed=0).astype(np.int64)

    def ours() -> None:
        bootstrap_weights.cache_clear()  # a run draws its weights once
        average_precision_intervals(scores, labels)

    def one_by_one() -> None:
        for draw in counts.T:
            index = np.repeat(np.arange(images), draw)
            multilabel_scores(scores[index], labels[index])

    times = medians({"ours": ours, "loop": one_by_one}, 3)
    times["loop"] *= DRAWS / NAIVE_DRAWS
    print_ratios(f"bootstrap of {images} images x {classes} classes, {DRAWS:,} draws", times)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = photographs(options.images)
    compare_crops(files)
    compare_forward_passes(files)
    compare_bootstraps()


if __name__ == "__main__":
    main()
