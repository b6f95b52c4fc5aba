"""Descriptions of what surrounds a hole, kept on disk, and the most similar surroundings."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cebench import __version__
from cebench.files import readable_by_name, replace_atomically
from cebench.inpainting.networks import Hole, Images
from cebench.inpainting.retrieval import nearest_neighbours
from cebench.progress import progress

from .data import InpaintingImages

logger = logging.getLogger("cebench")

RETRIEVED = 4
"""Neighbours that are found for each image; the first one is pasted."""

_AT_ONCE = 32


@dataclass(frozen=True)
class Descriptor:
    """One way to describe the surroundings of a hole, and to compare two descriptions."""

    label: str
    describe: Callable[[Images], NDArray[Any]]
    """Images to (N, D), float32 or uint8, whatever is in their hole."""
    identity: str
    """All that a description depends on beside the image and the hole."""
    cosine: bool = False
    """Compare directions instead of Euclidean distances."""
    kept: bool = True
    """Whether descriptions of the gallery are worth their place on the disk."""


def nearest_images(
    descriptor: Descriptor, images: InpaintingImages, folder: Path, device: torch.device
) -> NDArray[np.int64]:
    """(N, RETRIEVED): the gallery images with the surroundings most like each test image's.

    Nearest first, of equal ones the lower index; fewer columns if the gallery has fewer images.
    The gallery's descriptions are read from the file in `folder` that holds them, or written there.
    """
    gallery, label = images.gallery, f"{descriptor.label} of the gallery"
    cache = folder / f"features-{_content_hash(descriptor, gallery, images.hole)[:16]}.safetensors"
    if descriptor.kept:
        # Runs of other seeds may start beside this one; the first one computes for all.
        with FileLock(cache.with_suffix(".lock")):
            known = _cached(cache, lambda: by_batches(label, gallery, descriptor.describe))
    else:
        known = by_batches(label, gallery, descriptor.describe)
    if len(gallery) > 1 and not np.ptp(known, axis=0).any():
        logger.warning(
            f"the {descriptor.label} of all {len(gallery)} gallery images are equal, so that the "
            "first is always the nearest; the features do not depend on the image"
        )
    label = f"{descriptor.label} of the test images"
    wanted = by_batches(label, images.targets, descriptor.describe)
    queries, rows = (_comparable(part, descriptor.cosine, device) for part in (wanted, known))
    index, _ = nearest_neighbours(queries, rows, min(RETRIEVED, len(gallery)))
    return np.asarray(index.cpu().numpy())


def by_batches(label: str, images: Images, work: Callable[[Images], NDArray[Any]]) -> NDArray[Any]:
    """`work` on some images at a time, its results joined; shows progress."""
    done = []
    with progress(label, "images") as report:
        for start in range(0, len(images), _AT_ONCE):
            done.append(work(images[start : start + _AT_ONCE]))
            report(start + len(done[-1]), len(images))
    return np.concatenate(done)


def _comparable(features: NDArray[Any], cosine: bool, device: torch.device) -> torch.Tensor:
    """Between unit vectors the Euclidean distance orders neighbours as the cosine does."""
    rows = torch.from_numpy(features).to(device)
    return F.normalize(rows) if cosine else rows


def _content_hash(descriptor: Descriptor, images: Images, hole: Hole) -> str:
    digest = hashlib.sha256(f"{__version__} {torch.__version__} {descriptor.identity}".encode())
    for array in (images, hole):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _cached(path: Path, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The features in `path`; computed and written if it is absent, damaged or another's."""
    if path.is_file():
        try:
            with readable_by_name(path) as name, safe_open(name, framework="numpy") as file:
                features: NDArray[Any] = file.get_tensor("features")
                if (file.metadata() or {}).get("sha256") == _sha256(features):
                    return features
            problem = "its content does not fit its SHA-256"
        except (SafetensorError, OSError) as error:
            problem = str(error)
        logger.warning(f"{path}: damaged ({problem}); computing the features again")
    features = np.ascontiguousarray(compute())
    metadata = {"sha256": _sha256(features)}
    replace_atomically(
        path, lambda temporary: save_file({"features": features}, temporary, metadata)
    )
    return features


def _sha256(features: NDArray[Any]) -> str:
    return hashlib.sha256(features.data).hexdigest()
