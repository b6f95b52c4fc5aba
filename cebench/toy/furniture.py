"""Things in rooms, each drawn standing at the origin, in metres."""

import numpy as np

from cebench.toy.pen import Pen
from cebench.toy.textures import LEAVES, WOODS, Colour, mix, paint, pick, shade

TABLE_TOP = 0.78
"""Height of a dining table, on which bottles stand."""
SHELF = 0.5
"""Height of the cabinet that a television stands on."""


def bottle(pen: Pen, rng: np.random.Generator) -> None:
    """A bottle with neck, cap and label; larger than life (0.5 m) to be seen in a small picture."""
    glass = pick(rng, ((38, 96, 54), (112, 62, 28), (52, 96, 150), (168, 198, 190), (196, 52, 44)))
    neck, wide = rng.uniform(0.3, 0.36), rng.uniform(0.075, 0.1)
    pen.polygon(
        (
            (-wide, 0),
            (wide, 0),
            (wide, neck - 0.06),
            (0.04, neck + 0.04),
            (0.036, 0.5),
            (-0.036, 0.5),
            (-0.04, neck + 0.04),
            (-wide, neck - 0.06),
        ),
        glass,
    )
    pen.box(-0.045, 0.45, 0.045, 0.53, paint(rng))
    pen.box(-wide, 0.08, wide, 0.22, pick(rng, ((244, 238, 220), (226, 196, 110), (240, 240, 244))))
    pen.box(-0.6 * wide, 0.12, 0.6 * wide, 0.16, paint(rng))
    pen.line(((-0.6 * wide, 0.24), (-0.6 * wide, neck - 0.06)), 0.025, shade(glass, 1.6))


def chair(pen: Pen, rng: np.random.Generator) -> None:
    """A wooden chair turned a little to the right: four legs, seat and a slatted back."""
    wood = pick(rng, WOODS) if rng.random() < 0.6 else paint(rng)
    seat = paint(rng) if rng.random() < 0.5 else shade(wood, 1.15)
    dark, high = shade(wood, 0.7), rng.uniform(0.95, 1.1)
    for x, y in ((-0.14, 0.1), (0.3, 0.1)):
        pen.line(((x, 0.45), (x, y)), 0.055, dark)
    for x in (-0.26, 0.18):
        pen.line(((x + 0.12, 0.46), (x + 0.06, high)), 0.06, wood)
    for y in np.linspace(0.62, high - 0.03, 3):
        pen.line(((-0.18, float(y)), (0.26, float(y))), 0.075, shade(wood, 0.9))
    pen.polygon(((-0.32, 0.42), (0.18, 0.42), (0.34, 0.53), (-0.16, 0.53)), seat)
    pen.polygon(((-0.32, 0.42), (0.18, 0.42), (0.18, 0.36), (-0.32, 0.36)), wood)
    pen.polygon(((0.18, 0.42), (0.34, 0.53), (0.34, 0.47), (0.18, 0.36)), dark)
    for x in (-0.29, 0.15):
        pen.line(((x, 0.4), (x, 0.02)), 0.06, wood)


def diningtable(pen: Pen, rng: np.random.Generator) -> None:
    """A table seen from above its edge, bare or with a cloth, laid with plates."""
    wood, half = pick(rng, WOODS), rng.uniform(0.75, 1.05)
    back, depth = 0.8 * half, 0.24
    for x in (-back + 0.08, back - 0.08):
        pen.line(((x, TABLE_TOP), (x, 0.2)), 0.07, shade(wood, 0.6))
    for x in (-half + 0.1, half - 0.1):
        pen.line(((x, TABLE_TOP - 0.1), (x, 0.03)), 0.1, shade(wood, 0.85))
    top = TABLE_TOP - 0.1
    cloth = paint(rng) if rng.random() < 0.55 else None
    if cloth:
        hem = top - 0.2
        pen.polygon(
            ((-half, top), (half, top), (half - 0.03, hem), (-half + 0.03, hem)), shade(cloth, 0.72)
        )
        pen.line(((-half + 0.05, hem + 0.05), (half - 0.05, hem + 0.05)), 0.03, (248, 244, 236))
    else:
        pen.box(-half, top - 0.1, half, top, shade(wood, 0.75))
    pen.polygon(
        ((-half, top), (half, top), (back, top + depth), (-back, top + depth)), cloth or wood
    )
    for x in (-0.55, 0.0, 0.55):
        if rng.random() < 0.7:
            pen.ellipse(x * half, top + 0.1, 0.17, 0.06, (244, 242, 236))
            pen.ellipse(
                x * half,
                top + 0.105,
                0.11,
                0.036,
                pick(rng, ((214, 206, 196), (196, 92, 60), (122, 156, 74))),
            )


def sofa(pen: Pen, rng: np.random.Generator) -> None:
    """Two or three seats between arm rests, with cushions."""
    cloth, seats = paint(rng), int(rng.integers(2, 4))
    half = 0.36 * seats
    dark = shade(cloth, 0.75)
    for x in (-half - 0.12, half + 0.12):
        pen.line(((x, 0.1), (x, 0.02)), 0.07, (70, 48, 34))
    pen.blob(
        (
            (-half - 0.1, 0.3),
            (-half - 0.08, 0.86),
            (-0.5 * half, 0.92),
            (0.5 * half, 0.92),
            (half + 0.08, 0.86),
            (half + 0.1, 0.3),
        ),
        dark,
    )
    for index in range(seats):
        x = -half + 0.72 * (index + 0.5)
        pen.blob(
            ((x - 0.34, 0.42), (x - 0.33, 0.82), (x + 0.33, 0.82), (x + 0.34, 0.42)),
            shade(cloth, 0.92),
        )
    pen.box(-half, 0.08, half, 0.34, shade(cloth, 0.82))
    for index in range(seats):
        x = -half + 0.72 * (index + 0.5)
        pen.box(x - 0.345, 0.3, x + 0.345, 0.46, shade(cloth, 1.12))
    for side in (-1, 1):
        x = side * (half + 0.1)
        pen.blob(
            ((x - 0.13, 0.08), (x - 0.15, 0.55), (x, 0.64), (x + 0.15, 0.55), (x + 0.13, 0.08)),
            cloth,
        )
        pen.ellipse(x, 0.54, 0.1, 0.08, shade(cloth, 1.15))
    for _ in range(int(rng.integers(0, 3))):
        x, pillow = rng.uniform(-half + 0.2, half - 0.2), paint(rng)
        pen.polygon(((x - 0.18, 0.46), (x - 0.2, 0.72), (x + 0.16, 0.76), (x + 0.2, 0.47)), pillow)
        pen.line(((x - 0.16, 0.6), (x + 0.16, 0.62)), 0.03, mix(pillow, (250, 250, 250), 0.6))


def tvmonitor(pen: Pen, rng: np.random.Generator) -> None:
    """A screen in a dark frame on a foot, with a picture, a test pattern or only a reflection."""
    half, high = rng.uniform(0.46, 0.66), rng.uniform(0.62, 0.78)
    frame = pick(rng, ((30, 30, 34), (58, 58, 62), (190, 190, 194)))
    pen.polygon(((-0.24, 0), (0.24, 0), (0.16, 0.05), (-0.16, 0.05)), shade(frame, 0.8))
    pen.box(-0.06, 0.03, 0.06, 0.14, shade(frame, 0.7))
    pen.box(-half, 0.1, half, high + 0.1, frame)
    x0, y0, x1, y1 = -half + 0.06, 0.17, half - 0.06, high + 0.04
    kind = rng.integers(3)
    if kind == 0:
        pen.box(x0, y0, x1, y1, (34, 44, 56))
        pen.polygon(
            ((x0, y1), (x0 + 0.5 * half, y1), (x0 + 0.1 * half, y0), (x0, y0)), (86, 104, 122)
        )
    elif kind == 1:
        for index, colour in enumerate(
            (
                (222, 222, 222),
                (214, 208, 44),
                (52, 200, 206),
                (66, 190, 62),
                (200, 60, 190),
                (200, 50, 44),
                (48, 60, 190),
            )
        ):
            step = (x1 - x0) / 7
            pen.box(x0 + index * step, y0, x0 + (index + 1) * step, y1, colour)
    else:
        _programme(pen, rng, (x0, y0, x1, y1))
    pen.ellipse(half - 0.06, 0.135, 0.02, 0.02, (90, 230, 110))


def _programme(
    pen: Pen, rng: np.random.Generator, screen: tuple[float, float, float, float]
) -> None:
    """A landscape with a sun, as seen on television."""
    x0, y0, x1, y1 = screen
    middle = y0 + 0.45 * (y1 - y0)
    pen.box(x0, y0, x1, y1, mix(paint(rng), (120, 190, 250), 0.6))
    pen.ellipse(rng.uniform(x0 + 0.2, x1 - 0.2), y1 - 0.16, 0.09, 0.09, (255, 236, 150))
    peak = rng.uniform(x0 + 0.2, x1 - 0.2)
    pen.polygon(((x0, middle), (peak, y1 - 0.14), (x1, middle), (x1, y0), (x0, y0)), paint(rng))
    pen.box(x0, y0, x1, y0 + 0.12, shade(paint(rng), 0.8))


def pottedplant(pen: Pen, rng: np.random.Generator) -> None:
    """A clay or glazed pot with long leaves, round leaves or a cactus; up to 1.1 m."""
    pot = pick(rng, ((186, 98, 62), (214, 206, 196), (70, 96, 130), (60, 56, 58)))
    leaf, high = pick(rng, LEAVES), rng.uniform(0.8, 1.1)
    kind = rng.random()
    if kind < 0.2:
        _cactus(pen, shade(leaf, 1.05), high)
    else:
        for angle in np.linspace(0.35, np.pi - 0.35, 9) + rng.uniform(-0.12, 0.12, 9):
            reach = (high - 0.3) * rng.uniform(0.7, 1.0)
            _leaf(pen, float(angle), reach, shade(leaf, float(rng.uniform(0.75, 1.3))), kind < 0.6)
    if kind > 0.75:
        for _ in range(5):
            x, y = rng.uniform((-0.25, 0.55), (0.25, high - 0.1))
            pen.ellipse(x, y, 0.06, 0.06, (236, 90, 120))
    pen.polygon(((-0.2, 0.3), (0.2, 0.3), (0.15, 0), (-0.15, 0)), pot)
    pen.box(-0.23, 0.27, 0.23, 0.36, shade(pot, 1.12))
    pen.line(((-0.16, 0.16), (0.16, 0.16)), 0.03, shade(pot, 0.7), inside=True)


def _leaf(pen: Pen, angle: float, reach: float, colour: Colour, slender: bool) -> None:
    dx, dy = float(np.cos(angle)), float(np.sin(angle))
    tip = (0.8 * reach * dx, 0.34 + reach * dy - 0.25 * reach * abs(dx))
    bend = (0.5 * reach * dx, 0.34 + 0.7 * reach * dy)
    broad = 0.05 if slender else 0.11
    pen.line(((0, 0.32), bend), 0.035, shade(colour, 0.7))
    pen.blob(
        (
            (0.1 * dx, 0.34),
            (bend[0] - broad * dy, bend[1] + broad),
            tip,
            (bend[0] + broad * dy, bend[1] - broad),
        ),
        colour,
    )


def _cactus(pen: Pen, green: Colour, high: float) -> None:
    pen.line(((0, 0.3), (0, high - 0.12)), 0.22, green)
    pen.line(((0.08, 0.55), (0.26, 0.58), (0.27, 0.78)), 0.12, shade(green, 0.9))
    pen.line(((-0.08, 0.62), (-0.25, 0.64), (-0.26, 0.86)), 0.12, shade(green, 1.1))
    for x in (-0.05, 0.0, 0.05):
        pen.line(((x, 0.36), (x, high - 0.1)), 0.012, shade(green, 1.4))
