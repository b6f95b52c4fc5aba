"""Rooms: a papered wall with pictures and a window, and a floor that runs towards us."""

import numpy as np

from cebench.toy.backdrops import Backdrop, Zone, draw_sky, tree
from cebench.toy.pen import Pen
from cebench.toy.textures import (
    WOODS,
    Array,
    Colour,
    Ground,
    blend,
    fractal_noise,
    mix,
    noise_at,
    paint,
    pick,
    shade,
    smooth_noise,
)

_WALLS: tuple[Colour, ...] = (
    (226, 214, 190),
    (186, 204, 206),
    (214, 186, 172),
    (176, 190, 160),
    (206, 206, 214),
)


def room(rng: np.random.Generator, height: int, width: int) -> Backdrop:
    """A room with the eye at 1.7 m, its back wall parallel to the picture."""
    ground = Ground(
        height * rng.uniform(0.22, 0.32), rng.uniform(1.6, 1.8), width * rng.uniform(0.35, 0.65)
    )
    near = ground.scale(height - 1)
    wall = rng.uniform(0.5, 0.58) * near
    foot = int(ground.row(wall))
    canvas = np.empty((height, width, 3), dtype=np.float32)
    canvas[:foot] = _wallpaper(rng, foot, width)
    _hang_on_wall(rng, canvas, foot)
    canvas[foot:] = _floor(rng, ground, foot, height, width)
    board = max(3, round(0.09 * wall))
    canvas[foot - board : foot] = mix((244, 240, 230), (120, 84, 56), float(rng.integers(2)))
    canvas[foot - board] *= 0.8
    corner = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2
    canvas *= 1 - 0.14 * corner[..., None]
    return Backdrop(canvas, ground, {"floor": Zone(1.04 * wall, 0.97 * near)})


def _wallpaper(rng: np.random.Generator, height: int, width: int) -> Array:
    colour = pick(rng, _WALLS)
    tone = 1 + 0.04 * fractal_noise(rng, height, width, 9)
    canvas = np.asarray(np.asarray(colour, np.float32) * tone[..., None], dtype=np.float32)
    rows, columns = np.mgrid[:height, :width]
    step = int(rng.integers(10, 20))
    motif = mix(colour, paint(rng), 0.3)
    kind = rng.integers(3)
    if kind == 0:
        blend(canvas, motif, 0.7 * (columns % step < step // 2).astype(np.float32))
    elif kind == 1:
        shifted = (columns + (rows // step % 2) * step // 2) % step - step / 2
        dots = (shifted**2 + (rows % step - step / 2) ** 2) < (step / 5) ** 2
        blend(canvas, motif, 0.8 * dots.astype(np.float32))
    return canvas


def _floor(rng: np.random.Generator, ground: Ground, foot: int, height: int, width: int) -> Array:
    """Planks, tiles or a carpet, with a round rug now and then."""
    across, away = ground.metres(foot, height, width)
    away = away * (ground.camera * 0.6)
    grain = noise_at(rng, across, 0.3 * away, 0.3)
    kind = rng.integers(3)
    if kind == 0:
        plank = np.floor(across / 0.22).astype(np.int64)
        tones = rng.uniform(0.82, 1.12, 64)[plank & 63]
        seams = (across / 0.22 % 1 < 0.09) | ((away + 1.7 * (plank % 3)) % 5 < 0.06)
        colour, tone = pick(rng, WOODS), tones + 0.1 * grain - 0.25 * seams
    elif kind == 1:
        odd = (np.floor(across / 0.45) + np.floor(away / 0.9)) % 2
        colour, tone = pick(rng, ((206, 196, 180), (170, 176, 180))), 1 - 0.3 * odd + 0.05 * grain
    else:
        colour, tone = mix(paint(rng), (160, 150, 140), 0.5), 1 + 0.16 * grain
    floor = np.asarray(np.asarray(colour, np.float32) * tone[..., None], dtype=np.float32)
    if rng.random() < 0.45:
        _lay_rug(rng, floor)
    return floor


def _lay_rug(rng: np.random.Generator, floor: Array) -> None:
    rows, columns = np.mgrid[: floor.shape[0], : floor.shape[1]]
    x, y = rng.uniform(0.3, 0.7) * floor.shape[1], rng.uniform(0.4, 0.7) * floor.shape[0]
    reach = np.hypot((columns - x) / (0.34 * floor.shape[1]), (rows - y) / (0.3 * floor.shape[0]))
    first, second = paint(rng), paint(rng)
    for limit, colour in ((1.0, first), (0.86, second), (0.74, shade(first, 1.2)), (0.3, second)):
        blend(floor, colour, 0.9 * (reach < limit).astype(np.float32))
    floor *= (1 + 0.06 * smooth_noise(rng, floor.shape[0], floor.shape[1], 3))[..., None]


def _hang_on_wall(rng: np.random.Generator, canvas: Array, foot: int) -> None:
    """A window, and pictures in frames."""
    width = canvas.shape[1]
    slots = rng.permutation(3)[: rng.integers(1, 4)]
    for index, slot in enumerate(slots):
        middle = int(width * (slot + 0.5) / 3)
        if index == 0 and rng.random() < 0.6:
            half, high = int(0.13 * width), int(0.52 * foot)
            _window(
                rng, canvas, (middle - half, int(0.1 * foot), middle + half, int(0.1 * foot) + high)
            )
        else:
            half = int(rng.uniform(0.05, 0.1) * width)
            top = int(rng.uniform(0.1, 0.3) * foot)
            _picture(
                rng,
                canvas,
                (middle - half, top, middle + half, top + int(half * rng.uniform(1.2, 2))),
            )


def _window(rng: np.random.Generator, canvas: Array, box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    frame = pick(rng, ((246, 244, 238), (122, 84, 54)))
    canvas[y0 - 3 : y1 + 3, x0 - 3 : x1 + 3] = frame
    view = canvas[y0:y1, x0:x1]
    view[:], _ = draw_sky(rng, y1 - y0, x1 - x0)
    view[-max(3, (y1 - y0) // 5) :] = pick(rng, ((110, 146, 84), (96, 128, 74)))
    scale = (y1 - y0) / 9
    outside = tree(rng).render(rng, (x1 - x0) * rng.uniform(0.2, 0.8), 0.95 * (y1 - y0), scale)
    outside.paint(view)
    middle = (x0 + x1) // 2
    canvas[y0:y1, middle - 1 : middle + 2] = frame
    canvas[(y0 + y1) // 2 - 1 : (y0 + y1) // 2 + 1, x0:x1] = frame
    canvas[y1 + 2 : y1 + 6, x0 - 6 : x1 + 6] = shade(frame, 0.9)
    if rng.random() < 0.6:
        _curtains(rng, canvas, box)


def _curtains(rng: np.random.Generator, canvas: Array, box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    cloth, wide = np.asarray(paint(rng), np.float32), (x1 - x0) // 4
    folds = 1 + 0.18 * np.sin(np.arange(wide + 6) * 1.3)
    for left in (max(x0 - 6, 0), x1 - wide):
        part = canvas[max(y0 - 5, 0) : y1 + 10, left : left + wide + 6]
        part[:] = (cloth * folds[:, None])[: part.shape[1]]


def _picture(rng: np.random.Generator, canvas: Array, box: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = box
    canvas[y0 + 2 : y1 + 5, x0 : x1 + 4] *= 0.78
    canvas[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = pick(rng, WOODS)
    inner = canvas[y0:y1, x0:x1]
    inner[:] = paint(rng)
    inner[int(rng.uniform(0.4, 0.7) * (y1 - y0)) :] = paint(rng)


def cabinet(rng: np.random.Generator, high: float) -> Pen:
    """A low cabinet with drawers, `high` metres, to stand things on."""
    pen, wood, half = Pen(0.12), pick(rng, WOODS), rng.uniform(0.62, 0.85)
    for x in (-half + 0.08, half - 0.08):
        pen.box(x - 0.04, 0, x + 0.04, 0.1, shade(wood, 0.6))
    pen.box(-half, 0.07, half, high - 0.02, wood)
    pen.polygon(
        (
            (-half - 0.03, high - 0.03),
            (half + 0.03, high - 0.03),
            (half - 0.05, high + 0.05),
            (-half + 0.05, high + 0.05),
        ),
        shade(wood, 1.2),
    )
    for index in range(3):
        x = -half + 2 * half * index / 3
        pen.box(x + 0.03, 0.12, x + 2 * half / 3 - 0.03, high - 0.08, shade(wood, 0.84))
        pen.ellipse(x + half / 3, high / 2 + 0.05, 0.03, 0.03, (222, 196, 120))
    return pen
