"""Opening a packed store: its pixels stay on the disk and are read as they are cropped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cebench.data.overlap import SIGNATURE_VALUES, PhotoIdentities
from cebench.data.store.manifest import IMAGES, PIXELS, SIGNATURES, Manifest, read_manifest
from cebench.data.store.ragged import RaggedImages, ragged_layout
from cebench.errors import InputError
from cebench.files import readable_by_name, sha256_of


@dataclass(frozen=True)
class PackedStore:
    """A finished store of N images."""

    manifest: Manifest
    images: RaggedImages
    """`pixels` is a memory map."""
    names: Sequence[str]
    categories: Sequence[str]
    """Class of each image, "" where there is none."""
    identities: PhotoIdentities

    def __len__(self) -> int:
        return len(self.names)

    @property
    def contents_sha256(self) -> Sequence[str]:
        """SHA-256 of the file that each image was decoded from."""
        return self.identities.sha256

    def select(self, index: Sequence[int]) -> "PackedStore":
        """The store as if it held the images `index` only; nothing is copied."""
        return PackedStore(
            manifest=self.manifest,
            images=self.images.select(np.array(index)),
            names=[self.names[i] for i in index],
            categories=[self.categories[i] for i in index],
            identities=self.identities.select(index),
        )


def open_store(path: Path) -> PackedStore:
    """Open the store `path`; sizes are checked, contents by `cebench data verify`.

    Raises:
        InputError: it is unfinished or damaged.
    """
    manifest = read_manifest(path)
    if sha256_of(path / IMAGES) != manifest.files[IMAGES].sha256:
        raise InputError(f"{path / IMAGES} is damaged; remove {path} and prepare it anew")
    lines = (path / IMAGES).read_bytes().splitlines()[1:]
    rows = [row for row in map(json.loads, lines) if "problem" not in row]
    shapes = [(row["height"], row["width"]) for row in rows]
    size = manifest.files[PIXELS].bytes
    with readable_by_name(path / PIXELS) as name:
        pixels = torch.from_file(name, size=size, dtype=torch.uint8)
    signatures = np.fromfile(path / SIGNATURES, dtype=np.float16)
    return PackedStore(
        manifest=manifest,
        images=RaggedImages(pixels, *ragged_layout(shapes)),
        names=[row["name"] for row in rows],
        categories=[row["category"] for row in rows],
        identities=PhotoIdentities(
            voc_ids=[row["voc_id"] for row in rows],
            sha256=[row["sha256"] for row in rows],
            signatures=signatures.reshape(-1, SIGNATURE_VALUES),
        ),
    )
