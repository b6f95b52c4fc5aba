"""Street facades: the same windows again and again, row by row, as in the paper's Figure 1."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cebench.toy.textures import (
    STONES,
    Array,
    Colour,
    fractal_noise,
    gradient,
    mix,
    paint,
    pick,
    shade,
    smooth_noise,
)

_FINE = 2  # supersampling of lines
_Box = tuple[float, float, float, float]
_PLASTER: tuple[Colour, ...] = ((226, 196, 148), (208, 158, 122), (196, 206, 196), (230, 222, 206))
_SHUTTERS: tuple[Colour, ...] = ((62, 96, 76), (74, 96, 128), (132, 66, 56), (226, 220, 206))
_SLATE: tuple[Colour, ...] = ((92, 96, 108), (140, 78, 58), (110, 104, 100))


@dataclass(frozen=True)
class _Style:
    """What all windows of one facade share."""

    wall: Colour
    trim: Colour
    frame: Colour
    glass: Colour
    shutter: Colour | None
    awning: Colour
    panes: int
    arched: bool
    balconies: int  # every how many floors; 0 for none


def draw_facade(rng: np.random.Generator, height: int, width: int, *, sky: bool = True) -> Array:
    """A (height, width, 3) picture, 0..255, of one house front; `sky` leaves a strip above it."""
    roof = int(rng.uniform(0.05, 0.16) * height) if sky else 0
    brick = bool(rng.random() < 0.5)
    style = _style(rng, brick)
    canvas = gradient(height * _FINE, width * _FINE, (124, 168, 220), (214, 228, 240))
    canvas[roof * _FINE :] = _wall(rng, (height - roof) * _FINE, width * _FINE, style.wall, brick)
    picture = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    _draw_floors(
        rng, ImageDraw.Draw(picture), style, (0, roof * _FINE, width * _FINE, height * _FINE)
    )
    picture = _seen_askew(rng, picture)
    light = 1 + 0.07 * smooth_noise(rng, height, width, width / 2) + rng.uniform(-0.1, 0.08)
    grain = light + 0.05 * fractal_noise(rng, height, width, 5)
    return np.asarray(picture.reduce(_FINE), dtype=np.float32) * grain[..., None]


def _seen_askew(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """The picture as a camera that is not quite level sees it; only what lies inside is shown."""
    width, height = picture.size
    a, b, c, d = rng.uniform(0, 0.045, 4) * height
    corners = (0, a, 0, height - b, width, height - c, width, d)
    return picture.transform(picture.size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def _style(rng: np.random.Generator, brick: bool) -> _Style:
    wall = pick(rng, STONES if brick else _PLASTER)
    trim = mix(wall, (248, 242, 230), 0.6) if rng.random() < 0.7 else shade(wall, 0.7)
    return _Style(
        wall=wall,
        trim=trim,
        frame=pick(rng, ((244, 242, 236), (70, 60, 54), (96, 60, 40))),
        glass=pick(rng, ((72, 92, 112), (104, 132, 152), (52, 60, 70))),
        shutter=pick(rng, _SHUTTERS, 0.2) if rng.random() < 0.4 else None,
        awning=paint(rng),
        panes=int(rng.integers(1, 4)),
        arched=bool(rng.random() < 0.25),
        balconies=int(rng.integers(0, 3)),
    )


def _wall(rng: np.random.Generator, height: int, width: int, colour: Colour, brick: bool) -> Array:
    """Bricks with mortar between them, or mottled plaster."""
    mottled = 0.08 * smooth_noise(rng, height, width, 24)
    if not brick:
        return np.asarray(
            np.asarray(colour, np.float32) * (1 + mottled)[..., None], dtype=np.float32
        )
    course, length = int(rng.integers(5, 8)), int(rng.integers(12, 18))
    rows = np.arange(height)[:, None] // course
    along = np.arange(width)[None] + (rows % 2) * (length // 2)
    tones = rng.uniform(0.8, 1.14, (height // course + 1, width // length + 2)).astype(np.float32)
    tone = tones[rows, along // length] + mottled
    mortar = (np.arange(height)[:, None] % course == 0) | (along % length == 0)
    bricks = np.asarray(colour, np.float32) * tone[..., None]
    pale = np.asarray(mix(colour, (214, 206, 196), 0.55), np.float32)
    return np.where(mortar[..., None], pale, bricks).astype(np.float32)


def _draw_floors(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, style: _Style, house: _Box
) -> None:
    """Roof edge, floors of windows with a string course between them, and the ground floor."""
    left, top, right, bottom = house
    unit = (right - left) / 100
    floors = int(rng.integers(3, 6))
    columns = max(2, round(floors * (right - left) / (bottom - top) * rng.uniform(0.9, 1.3)))
    ground = top + (bottom - top) * (1 - 1.25 / (floors + 0.25))
    eaves = top + 0.06 * (ground - top)
    draw.rectangle((left, top, right, eaves), fill=_ink(pick(rng, _SLATE)))
    draw.rectangle((left, eaves, right, eaves + 2.5 * unit), fill=_ink(style.trim))
    draw.line(
        (left, eaves + 3 * unit, right, eaves + 3 * unit),
        fill=_ink(shade(style.wall, 0.6)),
        width=2,
    )
    step_x, step_y = (right - left) / columns, (ground - eaves - 3 * unit) / (floors - 1)
    share = rng.uniform(0.42, 0.56)
    for floor in range(floors - 1):
        y = eaves + 3 * unit + floor * step_y
        _course(draw, style, left, right, y + step_y, unit)
        balcony = style.balconies > 0 and floor % style.balconies == 0
        for column in range(columns):
            x = left + (column + 0.5 - share / 2) * step_x
            window = (x, y + 0.2 * step_y, x + share * step_x, y + 0.86 * step_y)
            _draw_window(rng, draw, style, window, balcony)
    _draw_ground_floor(rng, draw, style, (left, ground, right, bottom), columns)


def _course(
    draw: ImageDraw.ImageDraw, style: _Style, x0: float, x1: float, y: float, unit: float
) -> None:
    draw.rectangle((x0, y - unit, x1, y + 0.4 * unit), fill=_ink(style.trim))
    draw.line((x0, y + 0.8 * unit, x1, y + 0.8 * unit), fill=_ink(shade(style.wall, 0.65)), width=2)


def _draw_window(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, style: _Style, window: _Box, balcony: bool
) -> None:
    x0, y0, x1, y1 = window
    edge = max(2.0, 0.1 * (x1 - x0))
    if style.arched:
        draw.pieslice(
            (x0 - edge, y0 - edge - 2, x1 + edge, y0 + (x1 - x0)), 180, 360, fill=_ink(style.trim)
        )
    draw.rectangle((x0 - edge, y0 - edge, x1 + edge, y1), fill=_ink(style.trim))
    draw.rectangle(
        (x0 - 1.6 * edge, y1, x1 + 1.6 * edge, y1 + edge), fill=_ink(shade(style.trim, 1.1))
    )
    draw.line(
        (x0 - edge, y1 + edge + 2, x1 + edge, y1 + edge + 2),
        fill=_ink(shade(style.wall, 0.55)),
        width=2,
    )
    _draw_panes(rng, draw, style, window)
    if style.shutter:
        wide = 0.34 * (x1 - x0)
        for side in (x0 - edge - wide, x1 + edge):
            draw.rectangle((side, y0, side + wide, y1), fill=_ink(style.shutter))
            for y in np.arange(y0 + 3, y1, 5):
                draw.line((side + 1, y, side + wide - 1, y), fill=_ink(shade(style.shutter, 0.7)))
    if balcony:
        _draw_railing(draw, (x0 - 2.5 * edge, y1 - 0.3 * (y1 - y0), x1 + 2.5 * edge, y1 + edge))


def _draw_panes(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, style: _Style, window: _Box
) -> None:
    x0, y0, x1, y1 = window
    glass = shade(style.glass, rng.uniform(0.8, 1.25))
    if rng.random() < 0.08:
        glass = (240, 206, 130)
    draw.rectangle(window, fill=_ink(glass))
    draw.polygon(((x0, y0), (x1, y0), (x0, 0.4 * y0 + 0.6 * y1)), fill=_ink(shade(glass, 1.25)))
    if rng.random() < 0.35:
        drop = y0 + rng.uniform(0.2, 0.6) * (y1 - y0)
        draw.rectangle((x0, y0, x1, drop), fill=_ink(mix(style.frame, (236, 230, 220), 0.7)))
    ink, bar = _ink(style.frame), 2
    draw.rectangle(window, outline=ink, width=bar)
    draw.line(((x0 + x1) / 2, y0, (x0 + x1) / 2, y1), fill=ink, width=bar)
    for row in range(1, style.panes):
        y = y0 + (y1 - y0) * row / style.panes
        draw.line((x0, y, x1, y), fill=ink, width=bar)


def _draw_railing(draw: ImageDraw.ImageDraw, box: _Box) -> None:
    x0, y0, x1, y1 = box
    ink = (44, 44, 48)
    for x in np.arange(x0, x1 + 1, 4):
        draw.line((x, y0, x, y1), fill=ink)
    draw.line((x0, y0, x1, y0), fill=ink, width=3)
    draw.rectangle((x0 - 2, y1, x1 + 2, y1 + 3), fill=(156, 150, 142))


def _draw_ground_floor(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, style: _Style, floor: _Box, columns: int
) -> None:
    """A door in one column; shop windows under an awning, or windows, in the others."""
    left, top, right, bottom = floor
    step, shops = (right - left) / columns, rng.random() < 0.5
    base = shade(style.trim, 0.8) if shops else shade(style.wall, 0.8)
    draw.rectangle((left, top + 3, right, bottom), fill=_ink(base))
    door, wood, high = int(rng.integers(columns)), shade(style.awning, 0.6), bottom - top
    for column in range(columns):
        x = left + column * step
        if column == door:
            _draw_door(
                draw, style, (x + 0.22 * step, top + 0.22 * high, x + 0.78 * step, bottom), wood
            )
        elif shops:
            pane = (x + 0.06 * step, top + 0.32 * high, x + 0.94 * step, bottom - 0.12 * high)
            _draw_panes(rng, draw, style, pane)
            _draw_awning(draw, style, (x, top + 0.1 * high, x + step, top + 0.36 * high))
        else:
            _draw_window(
                rng,
                draw,
                style,
                (x + 0.26 * step, top + 0.26 * high, x + 0.74 * step, top + 0.78 * high),
                False,
            )
    draw.rectangle((left, bottom - 0.05 * high, right, bottom), fill=(128, 124, 120))


def _draw_door(draw: ImageDraw.ImageDraw, style: _Style, box: _Box, wood: Colour) -> None:
    x0, y0, x1, y1 = box
    draw.rectangle((x0 - 3, y0 - 4, x1 + 3, y1), fill=_ink(style.trim))
    draw.rectangle(box, fill=_ink(wood))
    middle, quarter = (x0 + x1) / 2, 0.25 * (y1 - y0)
    draw.rectangle((x0 + 2, y0 + 2, x1 - 2, y0 + quarter), fill=_ink(style.glass))
    draw.line((middle, y0, middle, y1), fill=_ink(shade(wood, 0.6)), width=2)
    for x in (x0 + 3, middle + 3):
        panel = (x, y0 + 1.5 * quarter, x + (x1 - x0) / 2 - 6, y0 + 2.5 * quarter)
        if panel[2] > panel[0]:
            draw.rectangle(panel, outline=_ink(shade(wood, 1.4)))
    draw.ellipse(
        (middle - 5, y0 + 2.6 * quarter, middle - 2, y0 + 2.6 * quarter + 3), fill=(226, 196, 96)
    )


def _draw_awning(draw: ImageDraw.ImageDraw, style: _Style, box: _Box) -> None:
    x0, y0, x1, y1 = box
    stripes = 6
    for index in range(stripes):
        a, b = (x0 + (x1 - x0) * k / stripes for k in (index, index + 1))
        colour = style.awning if index % 2 else (244, 240, 232)
        draw.polygon(((a + 2, y0), (b + 2, y0), (b, y1), (a, y1)), fill=_ink(colour))
    draw.line((x0, y1, x1, y1), fill=_ink(shade(style.awning, 0.6)), width=2)


def _ink(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(channel) for channel in colour)
    return red, green, blue
