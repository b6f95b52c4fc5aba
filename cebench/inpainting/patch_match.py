"""Content-aware fill: a hole filled with patches of the same image, found by PatchMatch.

Barnes et al. 2009 for the search (random guesses, neighbours' offsets, shrinking random windows;
all pixels at once), Wexler et al. 2007 for the votes that turn patches into pixels, both from a
small copy of the image to the full one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cebench.errors import InputError
from cebench.randomness import numpy_generator

PATCH = 7
"""Pixels; patches are squares of this side at every scale."""

_RADIUS = PATCH // 2
_SCALE_STEP = 0.5**0.5
_FEWEST_SOURCES = 64
_ROUNDS, _COARSE_ROUNDS = 6, 20
"""Search and vote, at every scale and at the smallest."""
_INWARD_DECAY = 1.3
"""How much less a patch counts with every pixel that it lies further inside the hole."""
_NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0))

Pixels = NDArray[np.float32]
"""(H, W, 3), 0..255."""
Hole = NDArray[np.bool_]
"""(H, W), True = missing."""
Points = NDArray[np.int64]
"""(T, 2): y, x of patch centres."""


class _Level(NamedTuple):
    """An image at one scale."""

    pixels: Pixels
    hole: Hole
    sources: Hole
    """Centres of patches that are wholly visible."""


@dataclass
class _Field:
    """For each patch that touches the hole, the visible patch most like it so far."""

    targets: Points
    neighbours: list[NDArray[np.int64]]
    """For each of _NEIGHBOURS, the number of the target there (or one's own number)."""
    sources: Points
    distances: NDArray[np.float32]


def patch_match_fill(image: NDArray[np.uint8], hole: Hole, seed: int) -> NDArray[np.uint8]:
    """The image with its hole filled; what is in the hole never matters.

    Args:
        image: (H, W, 3), 0..255, at least 7 x 7 pixels.
        hole: at least one pixel, True = missing.
        seed: of the random guesses.

    Raises:
        InputError: no 7 x 7 patch of the image is wholly visible.
    """
    levels = _pyramid(image, hole)
    pixels, offsets = levels[0].pixels, None
    for number, level in enumerate(levels):
        generator = numpy_generator(seed, "patch-match", number)
        if number == 0:
            mask = level.hole.astype(np.uint8)
            start = cv2.inpaint(np.rint(pixels).astype(np.uint8), mask, 3, cv2.INPAINT_TELEA)
        else:
            start = cv2.resize(pixels, level.hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = np.where(level.hole[..., None], start, level.pixels).astype(np.float32)
        field = _first_guess(level, offsets, generator)
        rounds = _ROUNDS if number else _COARSE_ROUNDS
        for _ in range(rounds):
            _search(field, pixels, level, generator)
            _vote(field, pixels, level.hole)
        offsets = _offsets(field, level.hole.shape)
    filled = image.copy()
    filled[hole] = np.rint(pixels[hole]).clip(0, 255).astype(np.uint8)
    return filled


def _pyramid(image: NDArray[np.uint8], hole: Hole) -> list[_Level]:
    """Smallest scale first: the last at which enough patches are visible and the hole is thick."""
    levels = [_reduced(image, hole, 1.0)]
    if not levels[0].sources.any():
        raise InputError(
            f"patch-match needs a patch of {PATCH} x {PATCH} pixels that is wholly visible; this "
            "hole leaves none"
        )
    scale = _SCALE_STEP
    while distance_transform_edt(levels[-1].hole).max() > _RADIUS:
        level = _reduced(image, hole, scale)
        if min(level.hole.shape) < PATCH or level.sources.sum() < _FEWEST_SOURCES:
            break
        levels.append(level)
        scale *= _SCALE_STEP
    return levels[::-1]


def _reduced(image: NDArray[np.uint8], hole: Hole, scale: float) -> _Level:
    """Averages of visible pixels; a pixel of which any part is missing is missing."""
    size = tuple(max(1, round(side * scale)) for side in hole.shape)
    visible = (~hole).astype(np.float32)
    share = cv2.resize(visible, size[::-1], interpolation=cv2.INTER_AREA)
    sums = cv2.resize(image * visible[..., None], size[::-1], interpolation=cv2.INTER_AREA)
    pixels = (sums / np.maximum(share, 1e-6)[..., None]).astype(np.float32)
    missing = share < 1 - 1e-6
    sources = _inside(missing.shape) & ~_dilated(missing)
    return _Level(pixels, missing, sources)


def _inside(shape: tuple[int, ...]) -> Hole:
    """Centres of patches that lie wholly inside an image of this shape."""
    inside = np.zeros(shape, np.bool_)
    inside[_RADIUS : shape[0] - _RADIUS, _RADIUS : shape[1] - _RADIUS] = True
    return inside


def _dilated(hole: Hole) -> Hole:
    """Centres of patches that touch the hole."""
    square = np.ones((PATCH, PATCH), np.uint8)
    return np.asarray(cv2.dilate(hole.astype(np.uint8), square) > 0)


def _first_guess(
    level: _Level, offsets: NDArray[np.int64] | None, generator: np.random.Generator
) -> _Field:
    """Random visible patches; from the second scale on the scale before says which."""
    targets = np.argwhere(_dilated(level.hole) & _inside(level.hole.shape))
    number = np.full(level.hole.shape, -1)
    number[tuple(targets.T)] = own = np.arange(len(targets))
    neighbours = []
    for step in _NEIGHBOURS:
        y, x = (targets + step).T
        there = number[y, x]  # a target lies _RADIUS from the border
        neighbours.append(np.where(there >= 0, there, own))
    candidates = np.argwhere(level.sources)
    sources = candidates[generator.integers(0, len(candidates), len(targets))]
    if offsets is not None:
        height, width = level.hole.shape
        ratio = np.array([height / offsets.shape[0], width / offsets.shape[1]])
        before = offsets[tuple((targets / ratio).astype(np.int64).T)]
        guess = targets + np.rint(before * ratio).astype(np.int64)
        valid = _is_source(level, guess)
        sources[valid] = guess[valid]
    return _Field(targets, neighbours, sources, np.empty(0, np.float32))


def _is_source(level: _Level, points: Points) -> NDArray[np.bool_]:
    height, width = level.sources.shape
    y, x = points.T
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return np.asarray(inside & level.sources[y.clip(0, height - 1), x.clip(0, width - 1)])


def _search(field: _Field, pixels: Pixels, level: _Level, generator: np.random.Generator) -> None:
    """One iteration of PatchMatch: distances anew, neighbours' offsets, random windows."""
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (PATCH, PATCH), axis=(0, 1))
    flat = np.ascontiguousarray(patches).reshape(*patches.shape[:2], -1)
    wanted = flat[tuple((field.targets - _RADIUS).T)]

    def distances(which: NDArray[np.int64], sources: Points) -> NDArray[np.float32]:
        difference = flat[tuple((sources - _RADIUS).T)] - wanted[which]
        return np.asarray(np.einsum("td,td->t", difference, difference))

    def consider(sources: Points) -> None:
        valid = np.flatnonzero(_is_source(level, sources))
        found = distances(valid, sources[valid])
        better = valid[found < field.distances[valid]]
        field.distances[better] = found[found < field.distances[valid]]
        field.sources[better] = sources[better]

    field.distances = distances(np.arange(len(wanted)), field.sources)
    for neighbour, step in zip(field.neighbours, _NEIGHBOURS, strict=True):
        consider(field.sources[neighbour] - step)
    radius = max(level.hole.shape)
    while radius >= 1:
        consider(field.sources + generator.integers(-radius, radius + 1, field.sources.shape))
        radius //= 2


def _vote(field: _Field, pixels: Pixels, hole: Hole) -> None:
    """Every missing pixel becomes the weighted mean of what the patches over it show there."""
    spread = max(float(np.percentile(field.distances, 75)), 1e-6)
    inward = distance_transform_edt(hole)[tuple(field.targets.T)]
    # Farther than that a float32 is 0, and a pixel under far patches alone would have no vote.
    likeness = np.exp(-np.minimum(field.distances / (2 * spread), 50))
    weight = (likeness * _INWARD_DECAY**-inward)[:, None]
    shown = np.dstack([pixels, np.ones_like(hole, np.float32)]).reshape(-1, 4)
    total = np.zeros(shown.shape)
    row = np.array([hole.shape[1], 1])
    sources, targets = (field.sources - _RADIUS) @ row, (field.targets - _RADIUS) @ row
    for step in np.ndindex(PATCH, PATCH):
        shift = step[0] * hole.shape[1] + step[1]
        total[targets + shift] += shown[sources + shift] * weight
    missing = total[hole.ravel()]
    pixels[hole] = missing[:, :3] / missing[:, 3:]


def _offsets(field: _Field, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(H, W, 2): from each pixel to its source; a pixel that is no target has its nearest one's."""
    known = np.zeros(shape, np.bool_)
    known[tuple(field.targets.T)] = True
    offsets = np.zeros((*shape, 2), np.int64)
    offsets[tuple(field.targets.T)] = field.sources - field.targets
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(offsets[tuple(nearest)])
