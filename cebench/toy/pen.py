"""A pen that records shapes in metres, and the sprite that a recorded drawing becomes in pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from cebench.toy.textures import Array, Colour, smooth_noise

Point = tuple[float, float]
_SUPERSAMPLING = 2
_RIM = 2  # pixels of air around a sprite, so that its soft edge is not cut


@dataclass(frozen=True)
class _Mark:
    points: npt.NDArray[np.float64]  # (n, 2) metres
    colour: Colour
    width: float  # of a line, in metres; 0 for a filled polygon
    inside: bool  # paints only where the silhouette already is


class Pen:
    """Records filled shapes and lines: x to the right and y upwards in metres, y = 0 the ground.

    `roughness` is the strength (0..1) of the texture that rendering lays over the drawing.
    """

    def __init__(self, roughness: float = 0.1) -> None:
        self.roughness = roughness
        self._marks: list[_Mark] = []

    def polygon(self, points: Sequence[Point], colour: Colour, *, inside: bool = False) -> None:
        """A polygon; with `inside` a pattern that never widens the silhouette."""
        self._marks.append(_Mark(np.asarray(points, dtype=np.float64), colour, 0.0, inside))

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, *, inside: bool = False
    ) -> None:
        """An upright rectangle."""
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour, inside=inside)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, *, inside: bool = False
    ) -> None:
        """An ellipse about (x, y)."""
        self._marks.append(_Mark(_ellipse(x, y, rx, ry), colour, 0.0, inside))

    def blob(self, points: Sequence[Point], colour: Colour, *, inside: bool = False) -> None:
        """A smooth closed outline through `points`."""
        outline = _smooth_outline(np.asarray(points, dtype=np.float64))
        self._marks.append(_Mark(outline, colour, 0.0, inside))

    def line(
        self, points: Sequence[Point], width: float, colour: Colour, *, inside: bool = False
    ) -> None:
        """A round-ended line through `points`, `width` metres thick."""
        self._marks.append(_Mark(np.asarray(points, dtype=np.float64), colour, width, inside))

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """A circle one can see through."""
        outline = _ellipse(x, y, radius, radius)
        self._marks.append(_Mark(np.vstack((outline, outline[:1])), colour, width, False))

    def turn(self, angle: float = 0.0, *, mirror: bool = False) -> None:
        """Turns all that was drawn so far by `angle` radians, then mirrors it left to right."""
        cosine, sine = np.cos(angle), np.sin(angle)
        matrix = np.array([[cosine, sine], [-sine, cosine]])
        if mirror:
            matrix[:, 0] *= -1
        self._marks = [_Mark(m.points @ matrix, m.colour, m.width, m.inside) for m in self._marks]

    def extent(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of the silhouette, in metres."""
        outer = [mark for mark in self._marks if not mark.inside]
        low = np.min([mark.points.min(0) - mark.width / 2 for mark in outer], axis=0)
        high = np.max([mark.points.max(0) + mark.width / 2 for mark in outer], axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def render(
        self, rng: np.random.Generator, x: float, y: float, scale: float, *, relief: float = 0.5
    ) -> "Sprite":
        """The drawing with its origin at pixel (x, y), at `scale` pixels per metre.

        `relief` is how strongly light from the upper left rounds the shapes.
        """
        x0, y0, x1, y1 = self.extent()
        left, top = int(x + x0 * scale) - _RIM, int(y - y1 * scale) - _RIM
        width = int(x + x1 * scale) + _RIM - left + 1
        height = int(y - y0 * scale) + _RIM - top + 1
        size = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
        colours, silhouette = Image.new("RGB", size), Image.new("L", size)
        origin = np.array([x - left, y - top]) * _SUPERSAMPLING
        step = np.array([scale, -scale]) * _SUPERSAMPLING
        for mark in self._marks:
            points = [(float(px), float(py)) for px, py in mark.points * step + origin]
            stroke = mark.width * scale * _SUPERSAMPLING
            _draw(ImageDraw.Draw(colours), points, _rgb(mark.colour), stroke)
            if not mark.inside:
                _draw(ImageDraw.Draw(silhouette), points, 255, stroke)
        covered = Image.composite(colours, Image.new("RGB", size), silhouette)
        alpha = silhouette.reduce(_SUPERSAMPLING)
        light = _relief(alpha, relief) + self.roughness * _texture(rng, height, width)
        rgb = np.asarray(covered.reduce(_SUPERSAMPLING), dtype=np.float32) * light[..., None]
        share = np.asarray(alpha, dtype=np.float32) / np.float32(255)
        return Sprite(rgb.astype(np.float32), share.astype(np.float32), left, top)


@dataclass(frozen=True)
class Sprite:
    """A drawing in pixels; its upper left corner (x, y) may lie outside the picture."""

    rgb: Array
    """(h, w, 3), 0..255, already multiplied by `alpha`."""
    alpha: Array
    """(h, w), the covered share of each pixel, 0..1."""
    x: int
    y: int

    def windows(self, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part of a (height, width) picture that the sprite covers, and that part of it."""
        y0, x0 = max(self.y, 0), max(self.x, 0)
        y1 = max(y0, min(self.y + self.alpha.shape[0], height))
        x1 = max(x0, min(self.x + self.alpha.shape[1], width))
        here = (slice(y0 - self.y, y1 - self.y), slice(x0 - self.x, x1 - self.x))
        return (slice(y0, y1), slice(x0, x1)), here

    def paint(self, canvas: Array, haze: Colour = (0, 0, 0), share: float = 0.0) -> None:
        """Lays the sprite over `canvas` (H, W, 3) in place, veiled by `share` of `haze`."""
        there, here = self.windows(*canvas.shape[:2])
        alpha = self.alpha[here][..., None]
        veiled = self.rgb[here] * (1 - share) + np.asarray(haze, np.float32) * (alpha * share)
        canvas[there] = canvas[there] * (1 - alpha) + veiled


def _ellipse(x: float, y: float, rx: float, ry: float) -> npt.NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack((x + rx * np.cos(angles), y + ry * np.sin(angles)), axis=1)


def _smooth_outline(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The closed Catmull-Rom curve through `points`, five samples a piece."""
    before, after, later = (np.roll(points, -shift, axis=0)[:, None] for shift in (-1, 1, 2))
    here = points[:, None]
    t = np.linspace(0, 1, 5, endpoint=False)[None, :, None]
    curve = here + 0.5 * t * (
        after
        - before
        + t
        * (2 * before - 5 * here + 4 * after - later + t * (3 * (here - after) + later - before))
    )
    return np.asarray(curve.reshape(-1, 2), dtype=np.float64)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(channel) for channel in colour)
    return red, green, blue


def _draw(
    draw: ImageDraw.ImageDraw,
    points: list[Point],
    fill: int | tuple[int, int, int],
    stroke: float,
) -> None:
    if not stroke:
        draw.polygon(points, fill=fill)
        return
    thickness = max(2, round(stroke))
    draw.line(points, fill=fill, width=thickness, joint="curve" if thickness > 4 else None)
    if thickness > 4:
        for x, y in (points[0], points[-1]):
            half = thickness / 2 - 0.5
            draw.ellipse((x - half, y - half, x + half, y + half), fill=fill)


def _relief(alpha: Image.Image, strength: float) -> Array:
    """Brightness (h, w) about 1 that rounds a flat silhouette, lit from the upper left."""
    radius = max(1.0, min(alpha.size) / 14)
    soft = np.asarray(alpha.filter(ImageFilter.BoxBlur(radius)), dtype=np.float32) / 255
    shift = max(1, round(radius))
    padded = np.pad(soft, shift)
    slope = padded[2 * shift :, 2 * shift :] - padded[: -2 * shift, : -2 * shift]
    down = np.linspace(0.1, -0.16, len(soft), dtype=np.float32)[:, None]
    return np.asarray(1 + strength * slope + down, dtype=np.float32)


def _texture(rng: np.random.Generator, height: int, width: int) -> Array:
    grain = rng.uniform(-1, 1, (height, width)).astype(np.float32)
    return np.asarray(0.6 * smooth_noise(rng, height, width, 4) + 0.6 * grain, dtype=np.float32)
