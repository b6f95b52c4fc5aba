"""Time batched HOG against scikit-image's on the same images, alternated in one process.

Run: python benchmarks/hog.py [FOLDER]
FOLDER holds photos to describe; without one they are noise. Prints medians and the ratio; stops if
the two differ by more than 1e-6 anywhere.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from pathlib import Path

import numpy as np
import torch
from alternation import medians, print_ratios
from skimage import feature

from cebench.data.images import image_files, read_image
from cebench.data.resize import resize
from cebench.inpainting.hog import hog

IMAGES, SIDE = 32, 128
AT_ONCE = 4


def main() -> None:
    """Print one line."""
    load = os.getloadavg()[0]
    print(f"torch {torch.__version__}, 1 thread, load {load:.1f} of {os.cpu_count()} cores")
    images = photos(Path(sys.argv[1])) if len(sys.argv) > 1 else noise()
    difference = np.abs(ours(images) - of_skimage(images)).max()
    if difference > 1e-6:
        raise SystemExit(f"the two differ by {difference:.1e}")
    times = medians({"ours": lambda: ours(images), "scikit-image": lambda: of_skimage(images)})
    title = f"HOG of {len(images)} images of {SIDE} x {SIDE}, largest difference {difference:.1e}"
    print_ratios(title, times)


def photos(folder: Path) -> np.ndarray:
    """(N, 128, 128, 3) uint8."""
    read = (resize(read_image(path), SIDE, SIDE) for path in image_files(folder)[:IMAGES])
    return np.stack([np.rint(image).astype(np.uint8) for image in read])


def noise() -> np.ndarray:
    """As `photos`."""
    return np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)


def ours(images: np.ndarray) -> np.ndarray:
    """A few images at a time, as `context_hog` does."""
    channels = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    return torch.cat([hog(part) for part in channels.split(AT_ONCE)]).numpy()


def of_skimage(images: np.ndarray) -> np.ndarray:
    """One image at a time."""
    return np.stack(
        [
            feature.hog(
                image.astype(np.float64),
                orientations=9,
                pixels_per_cell=(8, 8),
                cells_per_block=(2, 2),
                channel_axis=-1,
                feature_vector=False,
            )
            for image in images
        ]
    )


if __name__ == "__main__":
    main()
