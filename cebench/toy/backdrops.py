"""Places out of doors (street, railway, water, sky, meadow) and the zones where things stand."""

from dataclasses import dataclass, field

import numpy as np

from cebench.toy.facades import draw_facade
from cebench.toy.pen import Pen
from cebench.toy.textures import (
    LEAVES,
    Array,
    Colour,
    Ground,
    blend,
    fractal_noise,
    gradient,
    mix,
    noise_at,
    pick,
    shade,
    smooth_noise,
)


@dataclass(frozen=True)
class Zone:
    """Where things may stand: a range of scales in pixels per metre, and of metres across."""

    low: float
    high: float
    left: float = -1e6
    right: float = 1e6


@dataclass(frozen=True)
class Backdrop:
    """An empty place. Zones are named road, rail, land, water, sky and floor."""

    canvas: Array
    """(H, W, 3), 0..255."""
    ground: Ground
    zones: dict[str, Zone]
    haze: Colour | None = None
    """The colour in which far things fade; None indoors."""
    oncoming: bool = False
    """The rails run away from us rather than across the picture."""
    props: tuple[tuple[Pen, float, float], ...] = field(default=())
    """Unlabelled things: drawing, column in pixels, scale."""


_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((84, 144, 214), (196, 222, 240)),
    ((112, 160, 206), (226, 228, 222)),
    ((150, 160, 172), (212, 214, 214)),
    ((92, 104, 166), (246, 194, 150)),
)
_GRASS: tuple[Colour, ...] = ((96, 138, 58), (122, 148, 66), (78, 122, 62), (150, 152, 78))


def draw_sky(rng: np.random.Generator, height: int, width: int) -> tuple[Array, Colour]:
    """A (height, width, 3) sky with clouds, and its colour at the lower edge."""
    top, bottom = _SKIES[rng.integers(len(_SKIES))]
    canvas = gradient(height, width, pick(rng, (top,), 0.08), bottom)
    # Drawn half as wide and stretched, clouds lie flat; those near the horizon are thinner.
    low, narrow = max(height, 4), max(width // 2, 4)
    noise = smooth_noise(rng, low, narrow, max(8, low / 3))
    noise += 0.5 * smooth_noise(rng, low, narrow, max(5, low / 9))
    noise += 0.25 * smooth_noise(rng, low, narrow, max(2.5, low / 22))
    noise = np.repeat(noise, 2, axis=1)[:height]
    noise = np.pad(noise, ((0, 0), (0, width - noise.shape[1])), mode="edge")
    cover = np.clip(1.5 * noise - rng.uniform(-0.1, 0.8), 0, 1)
    lit = np.clip(0.5 + 2 * (noise - np.roll(noise, 5, axis=0)), 0, 1)
    blend(canvas, shade(bottom, 0.86), 0.8 * cover)
    blend(canvas, (255, 253, 248), 0.8 * cover * lit)
    return canvas, bottom


def _land(rng: np.random.Generator, height: int, width: int, ground: Ground, haze: Colour) -> Array:
    """Sky above the horizon and a meadow below it, with hills on the horizon."""
    canvas = np.empty((height, width, 3), dtype=np.float32)
    first = int(ground.horizon)
    canvas[:first], sky = draw_sky(rng, first, width)
    across, away = ground.metres(first, height, width)
    tone = 0.22 * noise_at(rng, across, away, 1.2) + 0.1 * smooth_noise(
        rng, height - first, width, 40
    )
    canvas[first:] = np.asarray(pick(rng, _GRASS), np.float32) * (1 + tone)[..., None]
    fade = np.clip(1 - (np.arange(first, height) - first) / (0.3 * (height - first)), 0, 1) * 0.45
    blend(canvas[first:], haze, np.broadcast_to(fade[:, None], tone.shape).astype(np.float32))
    _draw_hills(rng, canvas, first, sky)
    return canvas


def _draw_hills(rng: np.random.Generator, canvas: Array, horizon: int, haze: Colour) -> None:
    width = canvas.shape[1]
    rows = np.arange(horizon)[:, None]
    for distance in (0.65, 0.4)[: rng.integers(1, 3)]:
        crest = (
            1 + smooth_noise(rng, 2, width, width / 3)[0] + 0.2 * smooth_noise(rng, 2, width, 9)[0]
        )
        edge = horizon - 0.16 * horizon * crest * rng.uniform(0.5, 1.3)
        cover = np.clip(rows - edge[None] + 0.5, 0, 1)
        tone = 1 + 0.12 * fractal_noise(rng, horizon, width, 6)
        colour = np.asarray(mix(pick(rng, LEAVES), haze, distance), np.float32)
        canvas[:horizon] += (colour * tone[..., None] - canvas[:horizon]) * cover[..., None]


def tree(rng: np.random.Generator) -> Pen:
    """A broad tree or a fir, 4 to 7 m tall."""
    pen, leaf, tall = Pen(0.3), pick(rng, LEAVES), rng.uniform(4, 7)
    pen.line(((0, 0), (0, 0.6 * tall)), 0.07 * tall, (92, 66, 46))
    if rng.random() < 0.35:
        for level in np.linspace(0.2, 0.72, 4):
            half, base = 0.26 * tall * (1.1 - level), level * tall
            points = ((-half, base), (half, base), (0, base + 0.34 * tall))
            pen.polygon(points, shade(leaf, 0.6 + 0.4 * float(level)))
        return pen
    for index in range(9):
        x, y = rng.uniform((-0.22, 0.48), (0.22, 0.86)) * tall
        size = rng.uniform(0.11, 0.17) * tall
        pen.ellipse(x, y, size, 0.85 * size, shade(leaf, 0.7 + 0.06 * index))
    return pen


def bush(rng: np.random.Generator) -> Pen:
    """A low bush, 1 m tall."""
    pen, leaf = Pen(0.3), pick(rng, LEAVES)
    for index in range(8):
        x, y = rng.uniform((-0.6, 0.2), (0.6, 0.6))
        pen.ellipse(x, y, 0.36, 0.3, shade(leaf, 0.65 + 0.07 * index))
    return pen


def _lamp_post() -> Pen:
    pen, iron = Pen(0.1), (52, 58, 60)
    pen.line(((0, 0), (0, 4.6), (0.3, 4.9), (0.9, 4.9)), 0.12, iron)
    pen.polygon(((0.6, 4.9), (1.2, 4.9), (1.1, 4.7), (0.7, 4.7)), (250, 240, 196))
    pen.box(-0.15, 0, 0.15, 0.4, iron)
    return pen


def _trees_behind(
    rng: np.random.Generator, ground: Ground, width: int, count: int, scale: float
) -> list[tuple[Pen, float, float]]:
    low = 0.35 * scale
    return [
        (tree(rng), float(rng.uniform(0, width)), float(rng.uniform(low, scale)))
        for _ in range(count)
    ]


def _foreground(
    rng: np.random.Generator, width: int, scale: float
) -> list[tuple[Pen, float, float]]:
    """Now and then a bush that hides a part of what stands behind it."""
    if rng.random() > 0.2:
        return []
    return [(bush(rng), float(rng.uniform(0.05, 0.95) * width), scale)]


def meadow(rng: np.random.Generator, height: int, width: int) -> Backdrop:
    """Grass with flowers, hills, trees and perhaps a fence."""
    ground = Ground(
        height * rng.uniform(0.3, 0.45), rng.uniform(1.7, 2.2), width * rng.uniform(0.3, 0.7)
    )
    haze = (206, 218, 226)
    canvas = _land(rng, height, width, ground, haze)
    far = ground.scale(ground.horizon + 0.07 * height)
    near = ground.scale(height - 2)
    if rng.random() < 0.5:
        across, away = ground.metres(int(ground.horizon), height, width)
        blossom = noise_at(rng, across, away, 0.35) > 0.62
        colour = pick(rng, ((250, 246, 226), (248, 220, 80), (222, 96, 90)))
        blend(canvas[int(ground.horizon) :], colour, 0.8 * blossom.astype(np.float32))
    props = _trees_behind(rng, ground, width, int(rng.integers(0, 4)), 1.1 * far)
    if rng.random() < 0.4:
        props.append((_fence(width / far), width / 2, far))
    props += _foreground(rng, width, 0.95 * near)
    return Backdrop(canvas, ground, {"land": Zone(1.25 * far, near)}, haze, props=tuple(props))


def _fence(length: float) -> Pen:
    pen, wood = Pen(0.2), (138, 108, 78)
    for x in np.arange(-length / 2, length / 2, 1.6):
        pen.box(float(x), 0, float(x) + 0.14, 1.15, wood)
    for y in (0.45, 0.9):
        pen.line(((-length / 2, y), (length / 2, y)), 0.12, shade(wood, 1.15))
    return pen


def street(rng: np.random.Generator, height: int, width: int) -> Backdrop:
    """A road across the picture between pavements, before houses or open country."""
    ground = Ground(
        height * rng.uniform(0.32, 0.42), rng.uniform(2.2, 2.8), width * rng.uniform(0.3, 0.7)
    )
    near = ground.scale(height - 1)
    far, kerb, edge = 0.26 * near, 0.36 * near, rng.uniform(0.88, 1.1) * near
    haze = (208, 214, 220)
    canvas = _land(rng, height, width, ground, haze)
    town = rng.random() < 0.65
    if town:
        _draw_houses(rng, canvas, int(ground.row(far)))
    _draw_road(rng, canvas, ground, (far, kerb, edge), town)
    props = [(_lamp_post(), float(rng.uniform(0, width)), 1.1 * far)] if rng.random() < 0.6 else []
    props += _trees_behind(rng, ground, width, int(rng.integers(0, 3)), 1.05 * far)
    props += _foreground(rng, width, near)
    zones = {"road": Zone(1.2 * kerb, 0.95 * edge), "land": Zone(1.15 * far, 0.97 * near)}
    return Backdrop(canvas, ground, zones, haze, props=tuple(props))


def _draw_houses(rng: np.random.Generator, canvas: Array, base: int) -> None:
    left, width = -int(rng.integers(0, 40)), canvas.shape[1]
    while left < width:
        wide, tall = int(rng.uniform(0.34, 0.6) * width), int(rng.uniform(0.75, 1.25) * base)
        front = draw_facade(rng, tall, wide, sky=False)
        x0, x1, y0 = max(left, 0), min(left + wide, width), max(base - tall, 0)
        canvas[y0:base, x0:x1] = front[tall - (base - y0) :, x0 - left : x1 - left]
        left += wide if rng.random() < 0.7 else wide + int(rng.integers(6, 30))


def _draw_road(
    rng: np.random.Generator,
    canvas: Array,
    ground: Ground,
    scales: tuple[float, float, float],
    town: bool,
) -> None:
    """Pavement from the first scale on, road between the second and the third."""
    height, width = canvas.shape[:2]
    far, kerb, edge = (int(ground.row(scale)) for scale in scales)
    across, away = ground.metres(far, height, width)
    grain = noise_at(rng, across, away, 0.5)
    below = canvas[far:]
    if town:
        slabs = (np.abs(across % 1.2) < 0.05) | (np.abs(away % 3.0) < 0.12)
        tone = 1 + 0.1 * grain - 0.12 * slabs
        below[:] = (
            np.asarray(pick(rng, ((176, 170, 162), (150, 150, 152))), np.float32) * tone[..., None]
        )
    tarmac = np.asarray(pick(rng, ((88, 88, 92), (112, 108, 104), (70, 72, 78))), np.float32)
    below[kerb - far : edge - far] = (tarmac * (1 + 0.16 * grain)[..., None])[
        kerb - far : edge - far
    ]
    for row in (kerb, edge):
        below[row - far : row - far + 2] = (206, 202, 194)
    middle = int(ground.row(0.5 * (scales[1] + scales[2]) * 0.85)) - far
    thick = max(2, height // 55)
    dashes = (across[middle] % 3.0) < 1.7
    below[middle : middle + thick, dashes] = (232, 228, 210)


def railway(rng: np.random.Generator, height: int, width: int) -> Backdrop:
    """Rails across the picture, or running away from us beside a platform."""
    ground = Ground(
        height * rng.uniform(0.34, 0.42), rng.uniform(2.2, 2.8), width * rng.uniform(0.35, 0.65)
    )
    near, haze = ground.scale(height - 1), (208, 216, 222)
    canvas = _land(rng, height, width, ground, haze)
    first = int(ground.horizon) + 2
    across, away = ground.metres(first, height, width)
    grain = noise_at(rng, across, away, 0.4)
    oncoming = bool(rng.random() < 0.4)
    if oncoming:
        track = np.clip(2.2 - np.abs(across), 0, 1) * np.clip((away[:, :1] < 200) + 0.0, 0, 1)
        sleepers, rails = (
            (np.abs(across) < 1.3) & (away % 2.4 < 0.9),
            np.abs(np.abs(across) - 0.72) < 0.09,
        )
        _draw_platform(canvas[first:], across, away, grain)
        zones = {
            "rail": Zone(0.35 * near, 0.8 * near, -0.01, 0.01),
            "land": Zone(0.4 * near, 0.97 * near, 2.9, 6),
        }
    else:
        scale = rng.uniform(0.42, 0.6) * near
        depth = width / scale
        track = np.clip(2.6 - 1.4 * np.abs(away - depth), 0, 1)
        sleepers = (np.abs(away - depth) < 1.6) & (across % 1.1 < 0.42)
        rails = np.abs(np.abs(away - depth) - 0.85) < 0.22
        zones = {"rail": Zone(scale, scale), "land": Zone(1.25 * scale, 0.97 * near)}
    gravel = np.asarray((142, 132, 120), np.float32) * (1 + 0.3 * grain)[..., None]
    canvas[first:] += (gravel - canvas[first:]) * track[..., None].astype(np.float32)
    blend(canvas[first:], (84, 66, 52), 0.85 * sleepers.astype(np.float32))
    blend(canvas[first:], (196, 196, 200), 0.9 * rails.astype(np.float32))
    props = _trees_behind(rng, ground, width, int(rng.integers(1, 4)), 0.3 * near)
    props += _foreground(rng, width, near)
    return Backdrop(canvas, ground, zones, haze, oncoming, tuple(props))


def _draw_platform(below: Array, across: Array, away: Array, grain: Array) -> None:
    """Slabs to the right of the rails, with a yellow line along the edge."""
    reach = (across > 2.5) & (away < 120)
    joints = (across % 1.0 < 0.06) | (away % 2.5 < 0.12)
    slabs = np.asarray((178, 174, 168), np.float32) * (1 + 0.12 * grain - 0.12 * joints)[..., None]
    below[reach] = slabs[reach]
    below[(across > 2.75) & (across < 2.95) & reach] = (240, 206, 60)
    below[(across > 2.4) & (across < 2.56) & (away < 120)] = (96, 92, 88)


def water(rng: np.random.Generator, height: int, width: int) -> Backdrop:
    """A lake or the sea, a far shore, and sand in front."""
    ground = Ground(
        height * rng.uniform(0.36, 0.48), rng.uniform(2.8, 3.4), width * rng.uniform(0.3, 0.7)
    )
    near, first = ground.scale(height - 1), int(ground.horizon)
    canvas = np.empty((height, width, 3), dtype=np.float32)
    canvas[:first], haze = draw_sky(rng, first, width)
    if rng.random() < 0.6:
        _draw_hills(rng, canvas, first, haze)
    across, away = ground.metres(first, height, width)
    deep = pick(rng, ((36, 92, 138), (44, 118, 128), (66, 110, 150)))
    canvas[first:] = gradient(height - first, width, mix(deep, haze, 0.6), deep)
    swell = noise_at(rng, 0.35 * across, away, 1.6) + 0.35 * np.sin(1.1 * away + across * 0.2)
    blend(canvas[first:], (232, 244, 248), np.clip(swell - 0.35, 0, 0.6))
    blend(canvas[first:], shade(deep, 0.6), np.clip(-swell - 0.3, 0, 0.5))
    beach = rng.uniform(0.74, 0.84) * near
    shore = width / beach * (1 + 0.03 * smooth_noise(rng, 2, width, width / 4)[:1])
    sand = np.asarray(pick(rng, ((222, 196, 148), (206, 180, 138))), np.float32)
    grain = 1 + 0.1 * noise_at(rng, across, away, 0.5)
    dry = np.clip((shore - away) * 2, 0, 1)[..., None]
    canvas[first:] += (sand * grain[..., None] - canvas[first:]) * dry
    blend(
        canvas[first:],
        (250, 250, 246),
        0.8 * (np.abs(away - shore - 0.25) < 0.22).astype(np.float32),
    )
    zones = {"water": Zone(0.2 * near, 0.8 * beach), "land": Zone(1.06 * beach, 1.0 * near)}
    zones["sky"] = Zone(0.12 * height, 0.4 * height)
    return Backdrop(canvas, ground, zones, haze)


def open_sky(rng: np.random.Generator, height: int, width: int) -> Backdrop:
    """Nearly all sky, with a strip of land far below."""
    ground = Ground(height * rng.uniform(0.8, 0.92), 2.0, width * rng.uniform(0.3, 0.7))
    haze = (210, 222, 232)
    canvas = _land(rng, height, width, ground, haze)
    far = ground.scale(height - 2)
    props = _trees_behind(rng, ground, width, int(rng.integers(1, 6)), max(far, 3.0))
    return Backdrop(canvas, ground, {"sky": Zone(0, 0)}, haze, props=tuple(props))
