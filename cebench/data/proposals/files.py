"""Object proposals of many images in one file, with their name and hash."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cebench.errors import InputError
from cebench.files import readable_by_name, replace_atomically


@dataclass(frozen=True)
class Proposals:
    """The proposals of many images."""

    name: str
    """Where they come from, e.g. selective-search-fast-k50,100-min20."""
    boxes: dict[str, np.ndarray]
    """Image id -> (R, 4) float32 x0 y0 x1 y1, 0-based, half-open; R may be 0."""
    photographs: dict[str, str] = field(default_factory=dict)
    """Image id -> SHA-256 of the photograph that was searched; imported boxes have none."""

    @property
    def sha256(self) -> str:
        """Over the ids and the boxes, in the order of the ids."""
        digest = hashlib.sha256()
        for image_id, boxes in self.boxes.items():
            digest.update(f"\0{image_id}\0{len(boxes)}\0".encode())
            digest.update(np.ascontiguousarray(boxes, dtype="<f4").tobytes())
        return digest.hexdigest()

    def select(self, ids: Sequence[str], source: Path) -> "Proposals":
        """The proposals of `ids`, in this order; InputError naming `source` if one is absent."""
        missing = [image_id for image_id in ids if image_id not in self.boxes]
        if missing:
            raise InputError(
                f"{source} has no proposals for {len(missing)} of {len(ids)} images (first: "
                f"{missing[0]}); it was made for another image set, or not to its end"
            )
        photographs = {i: self.photographs[i] for i in ids if i in self.photographs}
        return Proposals(self.name, {i: self.boxes[i] for i in ids}, photographs)

    def first(self, count: int) -> "Proposals":
        """The first `count` boxes of every image."""
        boxes = {image_id: boxes[:count] for image_id, boxes in self.boxes.items()}
        return Proposals(f"{self.name}-first{count}", boxes, self.photographs)

    def check_photographs(self, photographs: Mapping[str, str], source: Path) -> None:
        """InputError, naming the file `source`, if an image's boxes are another photograph's.

        photographs: image id -> SHA-256 of its file.
        """
        for image_id, sha256 in photographs.items():
            if self.photographs.get(image_id, sha256) != sha256:
                raise InputError(
                    f"{source} holds the boxes of another photograph {image_id}; it was made for "
                    "other data: name another file, or remove it"
                )

    def check_inside(self, sizes: Mapping[str, tuple[int, int]], source: Path) -> None:
        """InputError, naming the file `source`, if a box is empty or reaches out of its image.

        sizes: (width, height) of each image in pixels.
        """
        for image_id, boxes in self.boxes.items():
            low, high, size = boxes[:, :2], boxes[:, 2:], sizes[image_id]
            inside = (low >= 0).all(1) & (low < high).all(1) & (high <= np.array(size)).all(1)
            if not inside.all():
                raise InputError(
                    f"{source}: {np.count_nonzero(~inside)} of {len(boxes)} boxes of {image_id} "
                    f"are empty or reach out of its {size[0]} x {size[1]} pixels; the proposals "
                    "were made for other images"
                )


def save_proposals(path: Path, proposals: Proposals) -> None:
    """Write one .safetensors file: all boxes, their number per image, and in its metadata the
    ids, the name, the hash and those of the photographs.
    """
    boxes = np.concatenate([np.empty((0, 4), np.float32), *proposals.boxes.values()])
    counts = np.array([len(boxes) for boxes in proposals.boxes.values()], dtype=np.int64)
    facts = {
        "name": proposals.name,
        "ids": json.dumps(list(proposals.boxes)),
        "photographs": json.dumps(proposals.photographs),
    }
    metadata = {**facts, "sha256": _content_sha256(facts, counts, boxes)}
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"boxes": boxes, "counts": counts}
    replace_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def _content_sha256(facts: Mapping[str, str], counts: np.ndarray, boxes: np.ndarray) -> str:
    """Hash over everything in a file: its metadata without the hash itself, and its arrays."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in (counts, boxes):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def load_proposals(path: Path, ids: Sequence[str] | None = None) -> Proposals:
    """Read a file that `save_proposals` wrote.

    Args:
        path: the file.
        ids: return these, in this order; None: all that the file holds.

    Raises:
        InputError: no such file, not such a file, its content does not fit its hash, or one of
            `ids` is not in it.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; expected a file of proposals")
    try:
        with readable_by_name(path) as name, safe_open(name, framework="numpy") as file:
            metadata = file.metadata() or {}
            boxes, counts = file.get_tensor("boxes"), file.get_tensor("counts")
        intact = metadata.pop("sha256") == _content_sha256(metadata, counts, boxes)
        ids_held = json.loads(metadata["ids"])
        parts = np.split(boxes, np.cumsum(counts)[:-1]) if len(counts) else []
        photographs = json.loads(metadata["photographs"])
        boxes_of = dict(zip(ids_held, parts, strict=True))
        proposals = Proposals(metadata["name"], boxes_of, photographs)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no file of proposals ({error}); remove it") from error
    if not intact:
        raise InputError(f"{path} is damaged: its content does not fit its SHA-256; remove it")
    return proposals if ids is None else proposals.select(ids, path)
