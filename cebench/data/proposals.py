"""Object proposals: Selective Search's fast mode (Fast R-CNN's), computed once and kept in a file.

OpenCV's implementation stands in for the original MATLAB one: it proposes other boxes, about as
many (2,000 per VOC image).
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cebench.errors import InputError
from cebench.files import replace_atomically

Mode = Literal["fast", "quality"]

MIN_SIDE = 20
"""Smallest width and height kept, as in R-CNN's selective_search_boxes.m."""
SECONDS_BETWEEN_SAVES = 60.0

# First k of the initial segmentation and its step: 50 and 100 in fast mode, as in the original.
# OpenCV's own 150 and 150 propose half as many boxes and find 5 in 100 objects fewer.
_SCALES = (50, 50)


@dataclass(frozen=True)
class Proposals:
    """The proposals of many images."""

    name: str
    """The method and its settings, e.g. selective-search-fast-k50+50-min20."""
    boxes: dict[str, np.ndarray]
    """Image id -> (R, 4) float32 x0 y0 x1 y1, 0-based, half-open; R may be 0."""

    @property
    def sha256(self) -> str:
        """Over the name, the ids and the boxes, in the order of the ids."""
        digest = hashlib.sha256(self.name.encode())
        for image_id, boxes in self.boxes.items():
            digest.update(f"\0{image_id}\0{len(boxes)}\0".encode())
            digest.update(np.ascontiguousarray(boxes, dtype="<f4").tobytes())
        return digest.hexdigest()

    def select(self, ids: Sequence[str], source: Path) -> "Proposals":
        """Those of `ids`, in this order; InputError naming the file `source` if one is absent."""
        missing = [image_id for image_id in ids if image_id not in self.boxes]
        if missing:
            raise InputError(
                f"{source} has no proposals for {len(missing)} of {len(ids)} images (first: "
                f"{missing[0]}); it was made for another image set, or not to its end"
            )
        return Proposals(self.name, {image_id: self.boxes[image_id] for image_id in ids})


def selective_search(
    image: np.ndarray, mode: Mode = "fast", min_side: int = MIN_SIDE
) -> np.ndarray:
    """The proposals of one image.

    Args:
        image: (H, W, 3) uint8 RGB, at its own size.
        mode: "fast" (one second per VOC image) or "quality" (five).
        min_side: smallest width and height kept, in pixels.

    Returns:
        (R, 4) float32, distinct boxes, largest area first and then by y0, x0, y1, x1: OpenCV
        ranks by `rand()`, so its own order differs from call to call while the set does not.
    """
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[:, :, ::-1]))  # OpenCV expects BGR.
    if mode == "fast":
        search.switchToSelectiveSearchFast(*_SCALES)
    else:
        search.switchToSelectiveSearchQuality(*_SCALES)
    found = np.asarray(search.process(), dtype=np.int64).reshape(-1, 4)
    x0, y0, width, height = found[(found[:, 2:] >= min_side).all(axis=1)].T
    boxes = np.unique(np.stack([-width * height, y0, x0, y0 + height, x0 + width]), axis=1)
    return boxes[[2, 1, 4, 3]].T.astype(np.float32)


def compute_proposals(
    images: Iterable[tuple[str, Callable[[], np.ndarray]]],
    cache: Path,
    *,
    mode: Mode = "fast",
    min_side: int = MIN_SIDE,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Proposals:
    """Selective Search over many images, on all cores.

    What `cache` already holds is not computed again. It is saved once a minute and when the work
    ends, in whichever way, so an interrupted call loses nothing when it is repeated.

    Args:
        images: (id, function that reads the image) of every image wanted.
        cache: a .safetensors file, made or extended.
        mode: see `selective_search`.
        min_side: likewise.
        report: called with (images done, images in all).

    Raises:
        InputError: `cache` is damaged or holds proposals of other settings; an unreadable image.
    """
    first, increment = _SCALES
    name = f"selective-search-{mode}-k{first}+{increment}-min{min_side}"
    wanted = dict(images)
    known = load_proposals(cache) if cache.is_file() else Proposals(name, {})
    if known.name != name:
        raise InputError(f"{cache} holds {known.name}, expected {name}; choose another file")
    todo = [image_id for image_id in wanted if image_id not in known.boxes]

    def search(image_id: str) -> tuple[str, np.ndarray]:
        return image_id, selective_search(wanted[image_id](), mode, min_side)

    saved = time.monotonic()
    report(len(wanted) - len(todo), len(wanted))
    # OpenCV releases the interpreter lock: two threads on two cores do 1.9 times the work of one.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for done, (image_id, boxes) in enumerate(pool.map(search, todo), start=1):
            known.boxes[image_id] = boxes
            report(len(wanted) - len(todo) + done, len(wanted))
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                save_proposals(cache, known)
                saved = time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        if any(image_id in known.boxes for image_id in todo):
            save_proposals(cache, known)
    return known.select(list(wanted), cache)


def save_proposals(path: Path, proposals: Proposals) -> None:
    """Write one .safetensors file: all boxes, their number per image, and in its metadata the
    ids, the name and the hash.
    """
    boxes = np.concatenate([np.empty((0, 4), np.float32), *proposals.boxes.values()])
    counts = np.array([len(boxes) for boxes in proposals.boxes.values()], dtype=np.int64)
    metadata = {
        "name": proposals.name,
        "ids": json.dumps(list(proposals.boxes)),
        "sha256": proposals.sha256,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"boxes": boxes, "counts": counts}
    replace_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


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
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            boxes, counts = file.get_tensor("boxes"), file.get_tensor("counts")
        ids_held = json.loads(metadata["ids"])
        parts = np.split(boxes, np.cumsum(counts)[:-1]) if len(counts) else []
        proposals = Proposals(metadata["name"], dict(zip(ids_held, parts, strict=True)))
        intact = proposals.sha256 == metadata["sha256"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no file of proposals ({error}); remove it") from error
    if not intact:
        raise InputError(f"{path} is damaged: its content does not fit its SHA-256; remove it")
    return proposals if ids is None else proposals.select(ids, path)
