"""Colours, noise and the ground plane that every toy picture is made of."""

import colorsys
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float32]
Colour = tuple[float, float, float]
"""Red, green, blue in 0..255."""


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (factor < 1) or lighter (factor > 1), still within 0..255."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` (0..1) of the way from `first` to `second`."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def paint(rng: np.random.Generator) -> Colour:
    """A saturated colour such as a car, a shirt or a sofa has."""
    hue, saturation, value = rng.uniform((0, 0.35, 0.35), (1, 0.8, 0.9))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return 255 * red, 255 * green, 255 * blue


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], jitter: float = 0.12) -> Colour:
    """One of `colours`, its brightness and tint changed a little."""
    colour = colours[rng.integers(len(colours))]
    factors = rng.uniform(1 - jitter, 1 + jitter) * rng.uniform(0.96, 1.04, 3)
    red, green, blue = np.clip(colour * factors, 0, 255)
    return float(red), float(green), float(blue)


WOODS: tuple[Colour, ...] = ((150, 98, 54), (104, 64, 36), (196, 152, 98), (84, 58, 44))
STONES: tuple[Colour, ...] = ((168, 84, 62), (206, 186, 150), (150, 142, 134), (222, 206, 176))
LEAVES: tuple[Colour, ...] = ((64, 116, 46), (84, 138, 54), (46, 92, 50), (118, 142, 60))


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Array:
    """(height, width) noise of about -1..1 whose features are about `cell` pixels wide."""
    rows, columns = max(2, round(height / cell) + 1), max(2, round(width / cell) + 1)
    grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    resized = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized, dtype=np.float32)


def fractal_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Array:
    """Noise of about -1..1 with features of `cell` pixels, a third of it, and single pixels."""
    coarse = smooth_noise(rng, height, width, cell)
    fine = smooth_noise(rng, height, width, max(1.5, cell / 3))
    grain = rng.uniform(-1, 1, (height, width)).astype(np.float32)
    return np.asarray(0.5 * coarse + 0.3 * fine + 0.2 * grain, dtype=np.float32)


def blend(canvas: Array, colour: Colour, share: Array | float) -> None:
    """Moves `canvas` (H, W, 3) in place towards `colour` by `share` (H, W), 0..1."""
    weight = np.asarray(share, dtype=np.float32)[..., None]
    canvas += (np.asarray(colour, dtype=np.float32) - canvas) * weight


def gradient(height: int, width: int, top: Colour, bottom: Colour) -> Array:
    """A (height, width, 3) picture that goes from `top` to `bottom`."""
    share = np.linspace(0, 1, max(height, 1), dtype=np.float32)[:, None]
    column = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share
    return np.repeat(column[:, None], width, axis=1)


class Ground(NamedTuple):
    """A flat ground seen from `camera` metres above it, looking level."""

    horizon: float
    """Row of the horizon, in pixels."""
    camera: float
    """Height of the eye, in metres."""
    centre: float
    """Column of the vanishing point, in pixels."""

    def row(self, scale: float) -> float:
        """The row where things stand that are drawn at `scale` pixels per metre."""
        return self.horizon + self.camera * scale

    def scale(self, row: float) -> float:
        """Pixels per metre at `row`: the inverse of `row()`."""
        return (row - self.horizon) / self.camera

    def metres(self, first_row: int, height: int, width: int) -> tuple[Array, Array]:
        """Metres to the right and metres away of rows first_row..height-1, each (rows, width)."""
        rows = np.arange(first_row, height, dtype=np.float32) + 0.5
        scale = np.maximum(rows - self.horizon, 0.5)[:, None] / self.camera
        columns = np.arange(width, dtype=np.float32)[None] + 0.5 - self.centre
        return columns / scale, np.broadcast_to(width / scale, (len(rows), width))


def noise_at(rng: np.random.Generator, across: Array, away: Array, size: float) -> Array:
    """Noise of -1..1 that lies on the ground, with features of `size` metres."""
    table = np.pad(fractal_noise(rng, 128, 128, 6), (0, 128), mode="symmetric")  # tiles seamlessly
    step = 6 / size
    rows = (away * step).astype(np.int64) & 255
    columns = np.floor(across * step).astype(np.int64) & 255
    return np.asarray(table[rows, columns], dtype=np.float32)
