"""Selective Search through OpenCV, in parallel, kept in a file that grows until it is complete.

OpenCV's implementation stands in for the original MATLAB one: it proposes other boxes, about as
many (2,000 per VOC image).
"""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from cebench.data.images import read_image
from cebench.data.proposals.files import Proposals, load_proposals, save_proposals
from cebench.errors import InputError
from cebench.files import sha256_of

Mode = Literal["fast", "quality"]

MIN_SIDE = 20
"""Smallest width and height kept, as in R-CNN's selective_search_boxes.m."""
SECONDS_BETWEEN_SAVES = 60.0

SCALES: dict[Mode, tuple[int, ...]] = {"fast": (50, 100), "quality": (50, 100, 150, 300)}
"""k of the initial segmentations, each of which has segments of at least k pixels, as in R-CNN's
selective_search_boxes.m. OpenCV's own are three or five equally spaced k, and 100 pixels."""
_SIGMA = 0.8


@dataclass(frozen=True)
class SelectiveSearch:
    """A function from an image to its proposals."""

    mode: Mode = "fast"
    """`fast`: one second per VOC image; `quality`: five."""
    min_side: int = MIN_SIDE
    """Smallest width and height kept, in pixels of the image that is searched."""
    max_side: int = 0
    """Longer side to which an image is reduced before it is searched; 0 leaves it as it is."""

    @property
    def name(self) -> str:
        """The method with its settings, e.g. selective-search-fast-k50,100-min20."""
        scales = ",".join(map(str, SCALES[self.mode]))
        reduced = f"-max{self.max_side}" if self.max_side else ""
        return f"selective-search-{self.mode}-k{scales}-min{self.min_side}{reduced}"

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The proposals of one image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (R, 4) float32 in pixels of `image`, distinct boxes, largest area first and then by y0,
            x0, y1, x1: OpenCV ranks by `rand()`, so its own order differs from call to call while
            the set does not.
        """
        size = image.shape[1::-1]
        reduced = _reduced_size(size, self.max_side)
        if reduced != size:
            image = cv2.resize(image, reduced, interpolation=cv2.INTER_AREA)
        found = np.asarray(self._search(image).process(), dtype=np.int64).reshape(-1, 4)
        x0, y0, width, height = found[(found[:, 2:] >= self.min_side).all(axis=1)].T
        ranked = np.unique(np.stack([-width * height, y0, x0, y0 + height, x0 + width]), axis=1)
        factors = np.tile(np.array(size) / np.array(reduced), 2)
        boxes: np.ndarray = (ranked[[2, 1, 4, 3]].T * factors).astype(np.float32)
        return boxes

    def _search(self, image: np.ndarray) -> Any:
        """OpenCV's search of `image`, with its colour spaces and strategies of the mode."""
        segmentation = cv2.ximgproc.segmentation
        search = segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.ascontiguousarray(image[:, :, ::-1]))  # OpenCV expects BGR.
        if self.mode == "fast":
            search.switchToSelectiveSearchFast()
        else:
            search.switchToSelectiveSearchQuality()
        search.clearGraphSegmentations()
        for k in SCALES[self.mode]:
            search.addGraphSegmentation(segmentation.createGraphSegmentation(_SIGMA, k, k))
        return search


def _reduced_size(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """(width, height) after the longer side was reduced to `max_side`, if that is smaller."""
    factor = min(1.0, max_side / max(size)) if max_side else 1.0
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height


def compute_proposals(
    photographs: Mapping[str, Path],
    path: Path,
    search: SelectiveSearch,
    *,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Proposals:
    """Search many images, on all cores.

    What the file already holds is not computed again. It is saved once a minute and when the work
    ends, in whichever way, so an interrupted call loses nothing when it is repeated.

    Args:
        photographs: the file of each id wanted; searched as stored, as VOC's boxes refer to it.
        path: a .safetensors file, made or extended.
        search: what finds an image's proposals.
        report: called with (images done, images in all).

    Raises:
        InputError: the file is damaged, or holds proposals of another search or other photographs;
            a photograph is unreadable.
    """
    contents = {image_id: sha256_of(file) for image_id, file in photographs.items()}
    known = load_proposals(path) if path.is_file() else Proposals(search.name, {})
    if known.name != search.name:
        raise InputError(f"{path} holds {known.name}, expected {search.name}; choose another file")
    known.check_photographs(contents, path)
    todo = [image_id for image_id in photographs if image_id not in known.boxes]

    def proposals_of(image_id: str) -> tuple[str, np.ndarray]:
        return image_id, search(read_image(photographs[image_id], upright=False))

    saved = time.monotonic()
    report(len(photographs) - len(todo), len(photographs))
    # OpenCV releases the interpreter lock: two threads on two cores do 1.9 times the work of one.
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for done, (image_id, boxes) in enumerate(pool.map(proposals_of, todo), start=1):
            known.boxes[image_id] = boxes
            known.photographs[image_id] = contents[image_id]
            report(len(photographs) - len(todo) + done, len(photographs))
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                save_proposals(path, known)
                saved = time.monotonic()
    finally:
        pool.shutdown(cancel_futures=True)
        if any(image_id in known.boxes for image_id in todo):
            save_proposals(path, known)
    return known.select(list(photographs), path)
