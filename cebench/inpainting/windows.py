"""How an image of any size, with any holes, meets a network that sees a small square.

Each hole is filled from a window around it: a square in which the hole takes at most half of the
side (the paper's quarter of the area), but never smaller than what the network sees unless the
image is. Small holes that are near each other share a window; a long thin hole gets a
row of them. Every window sees the visible pixels alone, never what another one filled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.uint8]
"""(H, W, 3), 0..255."""
Hole = NDArray[np.bool_]
"""(H, W), True = missing."""

LARGEST_HOLE = 0.5
"""Side of the largest hole, as a share of its window's."""


@dataclass(frozen=True)
class Filler:
    """One way to fill a hole, and what it must be shown."""

    fill: Callable[[NDArray[np.uint8], Hole], NDArray[np.uint8]]
    """Images (N, H, W, 3) and the hole (H, W) of all of them to filled images."""
    side: int = 227
    """Pixels of the square that it sees."""
    share: float = 1.0
    """Side of the central square in which it can fill, as a share of its window's."""
    largest: int = 1024
    """Longest side that it is given; what is larger is reduced first."""


class Window(NamedTuple):
    """Pixels of an image, which a window may overhang."""

    top: int
    left: int
    height: int
    width: int


class Task(NamedTuple):
    """One window to fill."""

    window: Window
    top: int
    left: int
    pasted: Hole
    """Missing pixels to take from the window; its corner is at (`top`, `left`) of the image."""


def fill_image(image: Image, hole: Hole, filler: Filler, whole: bool = False) -> Image:
    """The image with its hole filled; every other pixel, and what the hole hides, is untouched.

    Args:
        image: of any size.
        hole: neither empty nor everything.
        filler: shown nothing of what is hidden.
        whole: one window, the whole image, its aspect not kept.

    Raises:
        InputError: `whole`, and the filler can fill a central square only that the hole exceeds.
    """
    visible = np.where(hole[..., None], np.uint8(0), image)
    central = filler.share < 1 and not whole
    tasks = iter([Task(Window(0, 0, *hole.shape), 0, 0, hole)])
    if not whole:
        tasks = plan(hole, filler.side, min(filler.share, LARGEST_HOLE))
    filled, before, result = image.copy(), None, image
    for task in tasks:
        window = task.window if central else _moved_inside(task.window, *hole.shape)
        if central:
            result = _fill_reduced(*_cut_around(visible, hole, task), filler)
        elif window != before:  # in a small image many tasks have the same one
            before, result = window, _fill_reduced(*_cut(visible, hole, window), filler)
        y, x = task.pasted.nonzero()
        y, x = y + task.top, x + task.left
        filled[y, x] = result[y - window.top, x - window.left]
    return filled


def plan(hole: Hole, side: int, share: float) -> Iterator[Task]:
    """Square windows of at least `side` pixels, in whose central `share` each hole lies.

    A connected hole, or several small ones, takes one window if its longer side is at most twice
    its thickness; else cells of that side cover it, deepest pixels first, a window around each.
    Larger holes come first.
    """
    labels, count = ndimage.label(hole, structure=np.ones((3, 3)))
    slices = ndimage.find_objects(labels)
    boxes = np.array([[y.start, x.start, y.stop, x.stop] for y, x in slices])
    longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    done = np.zeros(count, np.bool_)
    for index in np.argsort(-longest, kind="stable"):
        if done[index]:
            continue
        done[index] = True
        depth = _depth(labels, slices[index], index + 1)
        core = max(int(side * share), min(int(longest[index]), int(4 * depth.max())))
        for top, left, own in _cells(depth, boxes[index], core):
            y, x = max(top, 0), max(left, 0)
            inside = (boxes[:, :2] >= (top, left)) & (boxes[:, 2:] <= (top + core, left + core))
            joined = ~done & inside.all(axis=1)
            done |= joined
            cell = labels[y : top + core, x : left + core]
            pasted = np.concatenate([[False], joined])[cell]
            pasted |= own[y - top :, x - left :][: cell.shape[0], : cell.shape[1]]
            yield Task(_around(top, left, core, share), y, x, pasted)


def _depth(
    labels: NDArray[np.signedinteger], where: tuple[slice, ...], label: int
) -> NDArray[np.float32]:
    """How many pixels each of a hole's lies inside it, in the part of the image that it spans.

    Beyond the image's edge a hole goes on: only visible pixels bound it.
    """
    ends = [(edge.start > 0, edge.stop < n) for edge, n in zip(where, labels.shape, strict=True)]
    framed = np.pad(labels[where] == label, [(int(a), int(b)) for a, b in ends])
    depth = cv2.distanceTransform(framed.astype(np.uint8), cv2.DIST_C, 3)
    rows, columns = (slice(int(a), n - int(b)) for (a, b), n in zip(ends, depth.shape, strict=True))
    return np.asarray(depth[rows, columns])


def _cells(
    depth: NDArray[np.float32], box: NDArray[np.int64], core: int
) -> Iterator[tuple[int, int, Hole]]:
    """Corners of cells of side `core` that cover a hole, and which of their pixels are its.

    One cell has the hole in its middle; of several, each has the deepest pixel left there, so that
    thick parts are not cut.
    """
    left_over = depth.copy()
    while left_over.any():
        y, x = np.unravel_index(np.argmax(left_over), depth.shape)
        if max(depth.shape) <= core:
            y, x = (side // 2 for side in depth.shape)
        top, left = int(y) - core // 2, int(x) - core // 2
        rows, columns = slice(max(top, 0), top + core), slice(max(left, 0), left + core)
        part = left_over[rows, columns]
        own = np.zeros((core, core), np.bool_)
        own[rows.start - top :, columns.start - left :][: part.shape[0], : part.shape[1]] = part > 0
        part[:] = 0
        yield int(box[0]) + top, int(box[1]) + left, own


def _around(top: int, left: int, core: int, share: float) -> Window:
    """The smallest window with a cell of side `core` exactly in its middle `share`."""
    margin = int(np.ceil(core * (1 / share - 1) / 2 - 1e-9))
    side = core + 2 * margin
    return Window(top - margin, left - margin, side, side)


def _moved_inside(window: Window, height: int, width: int) -> Window:
    """The window moved, and where it is larger than the image cut, to lie inside."""
    high, wide = min(window.height, height), min(window.width, width)
    top = min(max(window.top, 0), height - high)
    return Window(top, min(max(window.left, 0), width - wide), high, wide)


def _cut(visible: Image, hole: Hole, window: Window) -> tuple[Image, Hole]:
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    return visible[rows, columns], hole[rows, columns]


def _cut_around(visible: Image, hole: Hole, task: Task) -> tuple[Image, Hole]:
    """A window whose middle is filled: the image is mirrored where the window overhangs it.

    Missing pixels that are another window's task are shown in the window's mean colour.
    """
    window = task.window
    rows = _mirrored(window.top, window.height, hole.shape[0])
    columns = _mirrored(window.left, window.width, hole.shape[1])
    cut, hidden = visible[np.ix_(rows, columns)], hole[np.ix_(rows, columns)]
    missing = np.zeros_like(hidden)
    top, left = task.top - window.top, task.left - window.left
    missing[top : top + task.pasted.shape[0], left : left + task.pasted.shape[1]] = task.pasted
    cut[hidden] = np.rint(cut[~hidden].mean(axis=0))
    return cut, missing


def _mirrored(start: int, count: int, size: int) -> NDArray[np.int64]:
    """Which of `size` pixels stand at `count` places from `start`, mirrored at both ends."""
    places: NDArray[np.int64] = np.arange(start, start + count) % (2 * size)
    return np.minimum(places, 2 * size - 1 - places)


def _fill_reduced(image: Image, hole: Hole, filler: Filler) -> Image:
    """What the filler makes of an image, reduced to the size that it is given at most.

    A reduced pixel is the average of its visible pixels, and missing if these are less than half
    (or, where all would be, less than elsewhere).
    """
    height, width = hole.shape
    factor = filler.largest / max(height, width)
    if factor >= 1:
        return np.asarray(filler.fill(image[None], hole)[0])
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    seen = np.where(hole[..., None], np.float32(0), image)
    share = cv2.resize((~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    average = sums / np.maximum(share, 1e-6)[..., None]
    small = np.rint(average).clip(0, 255).astype(np.uint8)
    missing = share < min(0.5, share.max())
    if missing.any():
        small = filler.fill(small[None], missing)[0]
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
