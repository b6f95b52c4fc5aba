"""The holes of the paper's section 3.3 and some others, made on any device. True = missing.

Each kind is a function of uniform random numbers and of nothing else: the image has no say, and one
mask none in another. A program that draws the numbers from (seed, step) can make any part of a
batch's masks anywhere. On a CPU work stops where all masks are finished; on a GPU every attempt is
made, since asking which masks are finished would stall it. The result is the same.

Count and size of the random blocks, and the deformation of the random regions, are not in the
paper and no code for them was released; the values below are this project's choice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cebench.data.hole_kinds import BLOCK_SIDES
from cebench.data.silhouettes import BANK_SIDE, FRAMED_SIDE, read_silhouettes, silhouette_bank
from cebench.data.voc.devkit import VocYear

ATTEMPTS = 16
"""Blocks or silhouettes tried for a mask at most; about seven are needed."""
REGION_EXTENTS = (0.15, 0.50)
"""Longer side of a pasted silhouette before its deformation, likewise."""
REGION_STRETCH = 2.0
"""Largest ratio of stretching along one direction against the direction across it."""

NOISE_CELL = 9999 / 599
"""Pixels between two nodes of the noise: 600 are spread over 10,000 (train_random.lua)."""
NOISE_THRESHOLD = 0.25
NOISE_SHARES = (0.20, 0.30)
"""The hidden share lies strictly between these; of another window the next is drawn."""
NOISE_WINDOWS = 80
"""Windows drawn for a mask at most: an eleventh of those of 227 px is accepted, so that one mask in
two thousand has another share."""


class Holes(Protocol):
    """A kind of hole."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of the uniform numbers that one mask takes."""

    def __call__(self, uniforms: Tensor) -> Tensor:
        """(N, *sample_shape) float32 in [0, 1) to (N, size, size) bool, on the numbers' device."""


def middle(length: int, side: int) -> slice:
    """The central `side` of `length` positions, from (length - side) // 2."""
    start = (length - side) // 2
    return slice(start, start + side)


@dataclass(frozen=True)
class CentralHole:
    """One square in the middle, in rows and columns from (size - side) // 2.

    The paper's hole is 113 of 227; the released 128-pixel code predicts 64 and hides 56 of them.
    """

    size: int
    side: int
    sample_shape: tuple[int, ...] = field(default=(0,), init=False)

    def __call__(self, uniforms: Tensor) -> Tensor:
        """(N, 0) to (N, size, size) bool: the same square in every mask."""
        shape = (len(uniforms), self.size, self.size)
        holes = torch.zeros(shape, dtype=torch.bool, device=uniforms.device)
        hidden = middle(self.size, self.side)
        holes[:, hidden, hidden] = True
        return holes


@dataclass(frozen=True)
class RandomBlocks:
    """Possibly overlapping squares at uniform positions, until the next would hide over 1/4."""

    size: int
    sides: tuple[float, float] = BLOCK_SIDES
    """Least and largest side, as a fraction of the image's."""
    overhang: bool = True
    """Whether a block may reach beyond the image: with it every pixel is hidden equally often by a
    block; without, a corner hardly ever."""
    sample_shape: tuple[int, ...] = field(default=(ATTEMPTS, 3), init=False)

    def __call__(self, uniforms: Tensor) -> Tensor:
        """Masks (N, size, size) of uniform numbers; a block takes side, row and column."""
        low, high = self.sides
        sides = ((low + (high - low) * uniforms[..., 0]) * self.size).round().clamp_(min=1)
        sides = sides[..., None]
        if self.overhang:  # At least a pixel of a block is inside.
            starts = (uniforms[..., 1:] * (self.size + sides - 1)).floor() - (sides - 1)
        else:
            starts = (uniforms[..., 1:] * (self.size - sides + 1)).floor()
        pixels = torch.arange(self.size, device=uniforms.device)
        # (N, attempts, 2, size): whether a row or column is the block's.
        inside = pixels >= starts[..., None]
        inside &= pixels < (starts + sides)[..., None]
        growing = _GrowingHoles(len(uniforms), self.size, uniforms.device)
        for attempt in range(ATTEMPTS):
            rows = growing.rows(inside[:, attempt, 0])
            in_row = inside[:, attempt, 0].flatten()[rows, None]
            growing.add(rows, in_row.byte() * inside[:, attempt, 1][rows // self.size].byte())
        return growing.holes()


@dataclass(frozen=True, eq=False)
class RandomRegions:
    """Deformed silhouettes of objects pasted anywhere, until the next would hide over 1/4."""

    size: int
    bank: Tensor
    """(K, 130, 130) uint8, each silhouette in the middle, its longer side 128; the frame is 0."""
    sides: Tensor
    """(K, 2) width and height of each, float32."""
    sample_shape: tuple[int, ...] = field(default=(ATTEMPTS, 8), init=False)

    @classmethod
    def from_shapes(cls, size: int, shapes: Sequence[np.ndarray]) -> "RandomRegions":
        """From (H, W) bool arrays of any size, each True on one object.

        InputError when no shape has a True pixel.
        """
        bank = silhouette_bank(shapes)
        sides = np.stack([bank.any(1).sum(1), bank.any(2).sum(1)], axis=1)
        return cls(size, torch.from_numpy(bank), torch.from_numpy(sides).float())

    @classmethod
    def from_voc(cls, size: int, voc: VocYear, image_set: str | Path) -> "RandomRegions":
        """From the objects of a segmentation image set; the paper takes VOC2012's."""
        return cls.from_shapes(size, read_silhouettes(voc, image_set))

    def to(self, device: torch.device | str) -> "RandomRegions":
        """A copy with its silhouettes on `device`, where the uniform numbers must be."""
        return replace(self, bank=self.bank.to(device), sides=self.sides.to(device))

    def __call__(self, uniforms: Tensor) -> Tensor:
        """Masks (N, size, size) of uniform numbers; a silhouette takes number, place and shape."""
        size = self.size
        index = (uniforms[..., 0] * len(self.bank)).to(torch.int32)
        start, centres = index * FRAMED_SIDE**2, uniforms[..., 1:3] * size
        to_image, to_silhouette = _deformations(uniforms[..., 3:], size)
        # How many rows above and below its centre the pasted silhouette reaches.
        reach = (to_image[..., 1, :].abs() * self.sides[index]).sum(-1) / 2 + 1
        pixels = torch.arange(size, device=uniforms.device) + 0.5
        growing = _GrowingHoles(len(uniforms), size, uniforms.device)
        for attempt in range(ATTEMPTS):
            x, y = centres[:, attempt].unbind(1)
            near = (pixels - y[:, None]).abs() < reach[:, attempt, None]
            rows = growing.rows(near)
            sample = rows // size
            across = pixels - x[sample, None]
            down = (pixels[rows % size] - y[sample])[:, None]
            # (R, size) places in the silhouettes; all that is beyond one falls on its frame.
            column, row = (
                (part[:, :1] * across).add_(part[:, 1:] * down + FRAMED_SIDE / 2)
                for part in to_silhouette[sample, attempt].unbind(1)
            )
            row.clamp_(0, FRAMED_SIDE - 1).floor_()
            place = column.clamp_(0, FRAMED_SIDE - 1).add_(row, alpha=FRAMED_SIDE)
            address = place.to(torch.int32).add_(start[sample, attempt, None])
            pasted = self.bank.view(-1).index_select(0, address.view(-1)).view(address.shape)
            growing.add(rows, pasted)
        return growing.holes()


@dataclass(frozen=True)
class NoisePattern:
    """Blobs of low-frequency noise, as the released code for random regions makes them.

    Source: pathak22/context-encoder, train_random.lua: uniform noise, enlarged by Catmull-Rom
    interpolation, is missing where it falls below the threshold. Of `NOISE_WINDOWS` windows the
    first with an accepted share is taken, or if none has one, that with the share nearest to 1/4.
    """

    size: int

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """For each window its two offsets from the nodes, and the nodes that it sees."""
        return (NOISE_WINDOWS, 2 + self._nodes**2)

    @property
    def _nodes(self) -> int:
        """Nodes along a side: those inside at the largest offset, and two beyond either end."""
        return math.floor((self.size - 1) / NOISE_CELL + 1) + 4

    def __call__(self, uniforms: Tensor) -> Tensor:
        """Masks of noise, True = missing, from uniform numbers; see `Holes`."""
        count, size, device = len(uniforms), self.size, uniforms.device
        holes = torch.zeros(count, size, size, dtype=torch.bool, device=device)
        distance = torch.ones(count, device=device)
        middle, accepted = sum(NOISE_SHARES) / 2, (NOISE_SHARES[1] - NOISE_SHARES[0]) / 2
        for window in range(NOISE_WINDOWS):
            index = _where(distance >= accepted)
            drawn = uniforms[index, window]
            noise = drawn[:, 2:].unflatten(1, (self._nodes, self._nodes))
            across, down = (self._interpolation(offset) for offset in drawn[:, :2].unbind(1))
            missing = down @ noise @ across.mT < NOISE_THRESHOLD
            here, before = (missing.sum((1, 2)) / size**2 - middle).abs(), distance[index]
            taken = (here < before) & (before >= accepted)
            distance.index_copy_(0, index, torch.where(taken, here, before))
            kept = torch.where(taken[:, None, None], missing, holes.index_select(0, index))
            holes.index_copy_(0, index, kept)
        return holes

    def _interpolation(self, offsets: Tensor) -> Tensor:
        """(N,) offsets in cells to Catmull-Rom weights, (N, size, nodes)."""
        nodes = torch.arange(self._nodes, device=offsets.device)
        pixels = torch.arange(self.size, device=offsets.device) / NOISE_CELL + 1
        d = (offsets[:, None, None] + pixels[:, None] - nodes).abs()
        inner = (1.5 * d - 2.5) * d * d + 1
        outer = ((2.5 - 0.5 * d) * d - 4) * d + 2
        return torch.where(d < 1, inner, torch.where(d < 2, outer, 0))


@dataclass(frozen=True)
class ScatteredPixels:
    """Single pixels, each missing with probability `share` whatever its neighbours are.

    Not of the paper's section 3.3: the masking noise of denoising autoencoders (Vincent et al.,
    JMLR 2010).
    """

    size: int
    share: float
    sample_shape: tuple[int, ...] = field(default=(2,), init=False)

    def __call__(self, uniforms: Tensor) -> Tensor:
        """Masks (N, size, size); two numbers are the key of a hash, instead of one per pixel."""
        high, low = (uniforms * 2**16).int().unbind(1)
        pixels = torch.arange(self.size**2, dtype=torch.int32, device=uniforms.device)
        # Steps of the golden ratio through the last rounds of MurmurHash3, all modulo 2^32.
        x = ((high << 16) + low)[:, None] + pixels * _signed(0x9E3779B9)
        x = (x ^ (x >> 16 & 0xFFFF)) * _signed(0x85EBCA6B)
        x = (x ^ (x >> 13 & 0x7FFFF)) * _signed(0xC2B2AE35)
        missing = x < round(self.share * 2**32) - 2**31
        return missing.view(-1, self.size, self.size)


class _GrowingHoles:
    """N holes to which shapes are added until the next would hide more than a quarter.

    A shape that is too large for an empty hole is passed over.
    """

    def __init__(self, count: int, size: int, device: torch.device) -> None:
        self.size = size
        # Bytes, since arithmetic on bool broadcasts many times slower on a CPU.
        self.lines = torch.zeros(count * size, size, dtype=torch.uint8, device=device)
        self.area = torch.zeros(count, dtype=torch.int32, device=device)
        self.full = torch.zeros(count, dtype=torch.bool, device=device)

    def rows(self, near: Tensor) -> Tensor:
        """Numbers of the image rows to look at, of all N * size: at least those that are `near`.

        near: (N, size) bool, the rows that the next shapes may touch.
        """
        return _where((near & ~self.full[:, None]).flatten())

    def add(self, rows: Tensor, shapes: Tensor) -> None:
        """Add to each hole its shape, given by its `rows`: (R, size) uint8, 1 = missing."""
        sample, before = rows // self.size, self.lines.index_select(0, rows)
        fresh = (shapes & ~before).sum(1, dtype=torch.int32)
        area = self.area.index_add(0, sample, fresh)
        fits = area <= self.size**2 // 4
        self.full |= ~fits & (self.area > 0)
        fits &= ~self.full
        self.area = torch.where(fits, area, self.area)
        self.lines.index_copy_(0, rows, shapes.mul_(fits[sample, None]).bitwise_or_(before))

    def holes(self) -> Tensor:
        """(N, size, size) bool; one that is empty after all attempts gets its middle pixel."""
        holes = self.lines.view(torch.bool).view(-1, self.size, self.size)
        holes[:, self.size // 2, self.size // 2] |= self.area == 0
        return holes


def _signed(number: int) -> int:
    """The int32 with the bits of an unsigned number of 32 bits."""
    return (number + 2**31) % 2**32 - 2**31


def _where(chosen: Tensor) -> Tensor:
    """Numbers of the True elements of a vector; on a GPU, which would have to wait, of all."""
    if chosen.is_cuda:
        return torch.arange(len(chosen), device=chosen.device)
    return chosen.nonzero().squeeze(1)


def _deformations(uniforms: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Random deformations: turned, mirrored or not, stretched, turned again.

    Args:
        uniforms: (..., 5) extent, mirror, stretch and two turns.
        size: side of the image that the silhouettes are pasted into.

    Returns:
        (..., 2, 2), from a silhouette's x, y to the image's, and (..., 2, 2), its inverse.
    """
    extent, mirror, stretch, first, second = uniforms.unbind(-1)
    low, high = REGION_EXTENTS
    scale = (low + (high - low) * extent) * size / BANK_SIDE
    ratio = REGION_STRETCH ** (stretch - 0.5)
    mirrored = torch.where(mirror < 0.5, -1, 1)
    stretches = torch.stack([mirrored * ratio * scale, scale / ratio], -1)
    before, after = _rotations(first), _rotations(second)
    to_image = after * stretches[..., None, :] @ before
    to_silhouette = before.mT / stretches[..., None, :] @ after.mT
    return to_image, to_silhouette


def _rotations(turns: Tensor) -> Tensor:
    """(...) turns to (..., 2, 2) rotations."""
    sine, cosine = torch.sin(2 * math.pi * turns), torch.cos(2 * math.pi * turns)
    return torch.stack([cosine, -sine, sine, cosine], -1).view(*turns.shape, 2, 2)
