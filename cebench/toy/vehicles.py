"""Things that carry people, each drawn standing at the origin, facing right, in metres."""

import numpy as np

from cebench.toy.pen import Pen, Point
from cebench.toy.textures import Colour, mix, paint, pick, shade

_GLASS: Colour = (150, 186, 204)
_RUBBER: Colour = (34, 34, 38)
_STEEL: Colour = (178, 182, 188)
_LAMP: Colour = (255, 240, 190)
_RED: Colour = (206, 40, 34)

SADDLE: Point = (-0.28, 1.02)
"""Where a rider sits on a bicycle or a motorbike."""
HANDLEBAR: Point = (0.42, 1.12)
PEDAL: Point = (0.06, 0.3)


def _wheel(pen: Pen, x: float, radius: float) -> None:
    pen.ellipse(x, radius, radius, radius, _RUBBER)
    pen.ellipse(x, radius, 0.6 * radius, 0.6 * radius, _STEEL)
    pen.ellipse(x, radius, 0.22 * radius, 0.22 * radius, (90, 90, 96))


def _pane(pen: Pen, points: tuple[Point, ...]) -> None:
    """A window with a bright streak across its upper part."""
    pen.polygon(points, _GLASS)
    (x0, y0), (x1, y1), (x2, y2) = points[0], points[1], points[2]
    streak = ((x0, y0), (0.5 * (x0 + x1), 0.5 * (y0 + y1)), (x2, y2))
    pen.polygon(streak, shade(_GLASS, 1.22), inside=True)


def car(pen: Pen, rng: np.random.Generator) -> None:
    """A saloon, hatchback or van from the side, or a car from the front."""
    body = paint(rng) if rng.random() < 0.75 else pick(rng, ((228, 228, 230), (70, 74, 82)))
    if rng.random() < 0.3:
        _car_front(pen, body)
        return
    tail = rng.uniform(-1.95, -1.1)  # where the roof ends: hatchback or saloon
    nose, roof = rng.uniform(0.85, 1.2), rng.uniform(1.38, 1.56)
    pen.polygon(((-1.9, 0.22), (1.95, 0.22), (1.95, 0.5), (-1.9, 0.5)), (48, 48, 52))
    cabin = ((tail, 0.85), (tail + 0.35, roof), (0.25, roof), (nose, 0.88))
    pen.polygon(cabin, shade(body, 0.9))
    lower = ((-2.1, 0.35), (-2.12, 0.75), (-1.95, 0.95), (0.9, 0.97), (1.75, 0.84), (2.1, 0.66))
    pen.polygon((*lower, (2.12, 0.36)), body)
    _pane(
        pen, ((tail + 0.25, 0.95), (tail + 0.45, roof - 0.09), (-0.42, roof - 0.08), (-0.42, 0.95))
    )
    _pane(pen, ((-0.32, 0.95), (-0.32, roof - 0.08), (0.2, roof - 0.08), (nose - 0.14, 0.95)))
    pen.line(((-0.37, 0.4), (-0.37, 0.92)), 0.03, shade(body, 0.7))
    pen.line(((-2.0, 0.6), (2.0, 0.58)), 0.04, shade(body, 0.75), inside=True)
    pen.line(((-0.65, 0.8), (-0.5, 0.8)), 0.05, shade(body, 0.55))
    pen.ellipse(1.98, 0.66, 0.13, 0.09, _LAMP)
    pen.ellipse(-2.02, 0.72, 0.1, 0.1, _RED)
    for x in (-1.28, 1.3):
        pen.ellipse(x, 0.36, 0.43, 0.43, (30, 30, 34), inside=True)
        _wheel(pen, x, 0.36)


def _car_front(pen: Pen, body: Colour) -> None:
    for x in (-0.68, 0.68):
        pen.box(x - 0.14, 0, x + 0.14, 0.4, _RUBBER)
    pen.polygon(((-0.8, 0.8), (-0.58, 1.45), (0.58, 1.45), (0.8, 0.8)), shade(body, 0.85))
    pen.blob(
        ((-0.9, 0.25), (-0.94, 0.7), (-0.75, 0.95), (0.75, 0.95), (0.94, 0.7), (0.9, 0.25)), body
    )
    _pane(pen, ((-0.68, 0.92), (-0.52, 1.36), (0.52, 1.36), (0.68, 0.92)))
    pen.box(-0.42, 0.42, 0.42, 0.6, (40, 40, 44))
    pen.box(-0.24, 0.26, 0.24, 0.38, (236, 236, 226))
    pen.line(((-0.6, 0.78), (0.6, 0.78)), 0.03, shade(body, 0.75))
    for side in (-1, 1):
        pen.ellipse(side * 0.66, 0.62, 0.17, 0.12, _LAMP)
        pen.ellipse(side * 1.0, 0.95, 0.1, 0.08, shade(body, 0.8))


def bus(pen: Pen, rng: np.random.Generator) -> None:
    """A town bus from the side or from the front, with one or two decks."""
    body, double = paint(rng), bool(rng.random() < 0.3)
    if rng.random() < 0.3:
        _bus_front(pen, body, double)
        return
    top, length = (3.9 if double else 2.8), rng.uniform(3.2, 3.8)
    corner = 0.25
    pen.polygon(
        (
            (-length, 0.32),
            (length, 0.32),
            (length, top - corner),
            (length - corner, top),
            (corner - length, top),
            (-length, top - corner),
        ),
        body,
    )
    pen.box(-length, 0.95, length, 1.15, mix(body, (250, 250, 250), 0.75), inside=True)
    pen.box(-length, top - 0.3, length, top - 0.2, shade(body, 0.75), inside=True)
    count = 6
    step = (2 * length - 1.7) / count
    for floor in (1.35, 2.6)[: 1 + double]:
        for index in range(count):
            x = 0.15 - length + index * step
            _pane(
                pen,
                (
                    (x, floor),
                    (x, floor + 0.85),
                    (x + step - 0.12, floor + 0.85),
                    (x + step - 0.12, floor),
                ),
            )
    pen.box(length - 1.45, 0.45, length - 0.65, 2.25, shade(body, 0.6))
    for x in (length - 1.38, length - 1.02):
        _pane(pen, ((x, 0.6), (x, 2.15), (x + 0.3, 2.15), (x + 0.3, 0.6)))
    _pane(
        pen, ((length - 0.5, 1.2), (length - 0.5, 2.3), (length - 0.05, 2.3), (length - 0.02, 1.2))
    )
    pen.ellipse(length - 0.1, 0.7, 0.12, 0.14, _LAMP)
    for x in (-length + 1.3, length - 2.0):
        pen.ellipse(x, 0.46, 0.55, 0.55, (30, 30, 34), inside=True)
        _wheel(pen, x, 0.46)


def _bus_front(pen: Pen, body: Colour, double: bool) -> None:
    top = 3.9 if double else 2.9
    for x in (-0.9, 0.9):
        pen.box(x - 0.18, 0, x + 0.18, 0.5, _RUBBER)
    pen.polygon(
        ((-1.25, 0.3), (1.25, 0.3), (1.25, top - 0.2), (1.1, top), (-1.1, top), (-1.25, top - 0.2)),
        body,
    )
    pen.box(-1.25, 0.3, 1.25, 0.5, shade(body, 0.6))
    _pane(pen, ((-1.1, 1.15), (-1.1, 2.3), (1.1, 2.3), (1.1, 1.15)))
    pen.line(((0, 1.15), (0, 2.3)), 0.06, shade(body, 0.6))
    pen.box(-0.85, 2.4, 0.85, 2.68, (28, 28, 30))
    pen.line(((-0.6, 2.54), (0.45, 2.54)), 0.1, (250, 176, 40))
    if double:
        _pane(pen, ((-1.1, 2.85), (-1.1, 3.6), (1.1, 3.6), (1.1, 2.85)))
    for side in (-1, 1):
        pen.ellipse(side * 0.95, 0.78, 0.17, 0.14, _LAMP)
        pen.line(((side * 1.2, 2.3), (side * 1.45, 2.2)), 0.06, _RUBBER)
        pen.box(side * 1.45 - 0.1, 1.75, side * 1.45 + 0.1, 2.25, _RUBBER)


def train(pen: Pen, rng: np.random.Generator, *, oncoming: bool = False) -> None:
    """A train from the side, nose to the right, or coming towards us out of the distance."""
    body = paint(rng)
    stripe = mix(body, (255, 255, 255), 0.8) if rng.random() < 0.6 else paint(rng)
    if oncoming:
        _train_front(pen, body, stripe)
        return
    for x in np.arange(-6.2, 5.0, 2.0):
        _wheel(pen, float(x), 0.34)
        pen.box(float(x) - 0.8, 0.34, float(x) + 0.8, 0.55, (58, 56, 54))
    pen.polygon(
        ((-7, 0.5), (5.6, 0.5), (6.4, 0.9), (6.3, 1.4), (5.2, 2.9), (4.7, 3.2), (-7, 3.2)), body
    )
    pen.box(-7, 3.02, 5, 3.2, shade(body, 0.6), inside=True)
    pen.box(-7, 0.5, 6.5, 0.72, (70, 70, 74), inside=True)
    pen.box(-7, 1.0, 6.5, 1.3, stripe, inside=True)
    for index, x in enumerate(np.arange(-6.7, 3.8, 1.15)):
        left = float(x)
        if index % 4 == 3:
            pen.box(left, 0.75, left + 0.85, 2.75, shade(body, 0.72))
        _pane(pen, ((left + 0.05, 1.6), (left + 0.05, 2.5), (left + 0.8, 2.5), (left + 0.8, 1.6)))
    _pane(pen, ((4.3, 1.7), (4.3, 2.6), (5.0, 2.6), (5.8, 1.7)))
    pen.line(((-0.6, 0.6), (-0.6, 3.1)), 0.12, (40, 40, 44))
    pen.line(((-4.4, 3.2), (-3.7, 3.7), (-4.2, 4.0), (-3.2, 4.02)), 0.07, (70, 70, 74))
    pen.ellipse(6.15, 1.1, 0.16, 0.14, _LAMP)


def _train_front(pen: Pen, body: Colour, stripe: Colour) -> None:
    far = 0.42  # how much smaller the far end is
    side = ((1.35, 0.5), (1.35, 3.2), (3.6, 0.6 + 3.2 * far), (3.6, 0.75 + 0.5 * far))
    pen.polygon(side, shade(body, 0.7))
    for start, stop in ((0.06, 0.3), (0.36, 0.54), (0.6, 0.74), (0.8, 0.9)):
        x0, x1 = 1.35 + 2.25 * start, 1.35 + 2.25 * stop
        high0, high1 = 2.5 - 0.8 * start, 2.5 - 0.8 * stop
        low0, low1 = 1.6 - 0.25 * start, 1.6 - 0.25 * stop
        _pane(pen, ((x0, low0), (x0, high0), (x1, high1), (x1, low1)))
    pen.polygon(
        (
            (-1.3, 0.35),
            (1.3, 0.35),
            (1.4, 0.6),
            (1.4, 2.8),
            (1.0, 3.35),
            (-1.0, 3.35),
            (-1.4, 2.8),
            (-1.4, 0.6),
        ),
        body,
    )
    pen.polygon(((-1.4, 0.6), (1.4, 0.6), (1.4, 1.35), (-1.4, 1.35)), stripe)
    _pane(pen, ((-1.2, 1.6), (-1.2, 2.6), (-0.1, 2.6), (-0.1, 1.6)))
    _pane(pen, ((0.1, 1.6), (0.1, 2.6), (1.2, 2.6), (1.2, 1.6)))
    pen.box(-0.6, 2.8, 0.6, 3.05, (30, 30, 34))
    for x in (-0.95, 0.95):
        pen.ellipse(x, 0.98, 0.22, 0.2, _LAMP)
        pen.ellipse(x, 0.32, 0.24, 0.2, (60, 60, 64))
    pen.box(-1.25, 0.05, 1.25, 0.4, (66, 62, 60))


def aeroplane(pen: Pen, rng: np.random.Generator) -> None:
    """An airliner from the side, climbing or level, or its outline from below; about 8 m long."""
    hull = pick(rng, ((236, 238, 242), (216, 220, 226), (244, 236, 214)), 0.05)
    trim = paint(rng)
    if rng.random() < 0.3:
        _aeroplane_below(pen, shade(hull, 0.86), trim)
        pen.turn(rng.uniform(-0.5, 0.5))
        return
    pen.polygon(((-0.2, 0.1), (-2.0, 0.75), (-2.5, 0.75), (-1.0, 0.05)), shade(hull, 0.72))
    pen.polygon(((-2.9, 0.2), (-4.1, 1.5), (-3.4, 1.5), (-2.2, 0.3)), trim)
    pen.blob(
        (
            (-4.2, 0.35),
            (-2.5, 0.42),
            (2.8, 0.42),
            (3.7, 0.2),
            (4.1, -0.08),
            (3.6, -0.35),
            (-1.5, -0.38),
            (-3.2, 0.05),
        ),
        hull,
    )
    pen.polygon(
        ((-4.2, -0.02), (-2.5, 0.0), (4.2, -0.06), (4.2, 0.04), (-2.5, 0.1)), trim, inside=True
    )
    for x in np.arange(-2.4, 2.8, 0.42):
        pen.ellipse(float(x), 0.2, 0.09, 0.09, (56, 74, 96))
    pen.polygon(((3.2, 0.16), (3.2, 0.33), (3.55, 0.2), (3.7, 0.06)), (50, 66, 90))
    pen.polygon(((-3.0, 0.1), (-4.4, 0.5), (-4.0, 0.5), (-2.5, 0.1)), shade(trim, 0.85))
    pen.ellipse(-0.55, -0.62, 0.48, 0.2, shade(trim, 0.9))
    pen.polygon(((0.8, -0.18), (-1.9, -1.25), (-2.5, -1.25), (-1.0, -0.2)), shade(hull, 0.84))
    pen.turn(rng.uniform(-0.1, 0.35))


def _aeroplane_below(pen: Pen, hull: Colour, trim: Colour) -> None:
    for side in (-1, 1):
        pen.polygon(
            ((0.9, 0.25 * side), (-1.5, 3.3 * side), (-2.1, 3.3 * side), (-0.8, 0.25 * side)),
            shade(hull, 0.93),
        )
        pen.polygon(
            ((-1.4, 2.8 * side), (-1.5, 3.3 * side), (-2.1, 3.3 * side), (-1.8, 2.8 * side)), trim
        )
        pen.polygon(
            ((-2.9, 0.1 * side), (-3.9, 1.2 * side), (-4.2, 1.2 * side), (-3.7, 0.1 * side)), trim
        )
        pen.ellipse(0.1, 1.15 * side, 0.45, 0.18, shade(hull, 0.7))
    pen.blob(
        (
            (-4.2, 0),
            (-2.8, 0.3),
            (2.8, 0.38),
            (3.8, 0.2),
            (4.1, 0),
            (3.8, -0.2),
            (2.8, -0.38),
            (-2.8, -0.3),
        ),
        hull,
    )


def boat(pen: Pen, rng: np.random.Generator) -> None:
    """A sailing boat or a motor boat, its hull a little below the water line."""
    hull, stripe = paint(rng), pick(rng, ((246, 244, 238), (230, 214, 180)))
    if rng.random() < 0.5:
        hull, stripe = stripe, hull
    (_sails if rng.random() < 0.62 else _cabin)(pen, rng)
    pen.polygon(((-2.0, 0.85), (2.4, 0.95), (1.6, -0.02), (-1.6, -0.02)), hull)
    pen.polygon(((-2.0, 0.85), (2.4, 0.95), (2.2, 0.68), (-1.94, 0.62)), stripe, inside=True)
    pen.polygon(
        ((-1.7, 0.12), (1.8, 0.12), (1.6, -0.02), (-1.6, -0.02)), shade(hull, 0.55), inside=True
    )


def _sails(pen: Pen, rng: np.random.Generator) -> None:
    height, cloth = (
        rng.uniform(4.2, 5.4),
        pick(rng, ((250, 248, 240), (236, 220, 188), (212, 92, 64)), 0.05),
    )
    pen.line(((0.2, 0.6), (0.2, height)), 0.12, (110, 78, 50))
    pen.polygon(((0.05, 1.25), (0.05, height - 0.1), (-1.0, 2.6), (-1.75, 1.2)), cloth)
    pen.polygon(((0.35, 1.1), (0.35, height - 0.5), (1.3, 2.4), (2.2, 1.1)), shade(cloth, 0.86))
    for y in (1.9, 2.7, 3.5):
        pen.line(((-1.7, y), (0.1, y + 0.1)), 0.04, shade(cloth, 0.8), inside=True)
    pen.polygon(((0.2, height), (0.2, height + 0.35), (-0.45, height + 0.18)), paint(rng))


def _cabin(pen: Pen, rng: np.random.Generator) -> None:
    wall = pick(rng, ((244, 242, 236), (222, 226, 230)))
    pen.polygon(((-1.4, 0.8), (-1.3, 1.7), (0.7, 1.7), (1.2, 0.8)), wall)
    for x in (-1.15, -0.45, 0.25):
        _pane(pen, ((x, 1.12), (x, 1.52), (x + 0.5, 1.52), (x + 0.5, 1.12)))
    pen.box(-1.5, 1.68, 0.85, 1.82, paint(rng))
    pen.box(-0.75, 1.8, -0.25, 2.5, paint(rng))
    pen.line(((0.4, 1.8), (0.4, 2.7)), 0.06, (90, 90, 94))


def bicycle(pen: Pen, rng: np.random.Generator) -> None:
    """A bicycle from the side; one sees through its wheels and frame."""
    frame, radius = paint(rng), 0.36
    back, front, crank = (-0.56, radius), (0.6, radius), (-0.02, 0.34)
    saddle, head = (-0.22, 0.88), (0.42, 0.92)
    for x, y in (back, front):
        pen.ring(x, y, radius - 0.03, 0.07, _RUBBER)
        for angle in np.linspace(0, np.pi, 4, endpoint=False):
            dx, dy = 0.31 * float(np.cos(angle)), 0.31 * float(np.sin(angle))
            pen.line(((x - dx, y - dy), (x + dx, y + dy)), 0.012, _STEEL)
        pen.ellipse(x, y, 0.05, 0.05, (80, 80, 84))
    for tube in (
        (back, crank, head),
        (back, saddle),
        (saddle, crank),
        (saddle, head),
        (head, front),
    ):
        pen.line(tube, 0.06, frame)
    pen.line(((-0.36, 0.95), (-0.12, 0.95)), 0.09, (40, 34, 32))
    pen.line((head, (0.4, 1.02), (0.26, 1.06)), 0.05, (60, 60, 64))
    pen.ellipse(crank[0], crank[1], 0.1, 0.1, (70, 70, 74))
    pen.line(((-0.12, 0.2), (0.1, 0.48)), 0.04, (50, 50, 54))


def motorbike(pen: Pen, rng: np.random.Generator) -> None:
    """A motorbike from the side: fat tyres, tank, engine and exhaust."""
    body = paint(rng)
    for x in (-0.72, 0.78):
        pen.ring(x, 0.34, 0.26, 0.17, _RUBBER)
        pen.ellipse(x, 0.34, 0.12, 0.12, _STEEL)
    pen.line(((-0.72, 0.34), (-0.1, 0.42)), 0.1, (70, 70, 74))
    pen.line(((0.78, 0.34), (0.5, 1.0)), 0.09, _STEEL)
    pen.polygon(((-0.32, 0.24), (0.3, 0.24), (0.38, 0.66), (-0.3, 0.66)), (92, 94, 100))
    for y in (0.34, 0.44, 0.54):
        pen.line(((-0.2, y), (0.25, y)), 0.03, (150, 152, 158))
    pen.line(((0.1, 0.26), (-0.4, 0.22), (-1.0, 0.34)), 0.09, (200, 202, 206))
    pen.blob(((-0.25, 0.66), (-0.1, 0.92), (0.3, 0.98), (0.55, 0.84), (0.3, 0.64)), body)
    pen.blob(((-1.02, 0.86), (-0.6, 0.96), (-0.15, 0.8), (-0.2, 0.68), (-0.7, 0.74)), (38, 34, 34))
    pen.polygon(((-1.05, 0.84), (-0.85, 0.64), (-0.45, 0.66), (-0.55, 0.76)), body)
    pen.polygon(((0.5, 0.68), (0.78, 0.76), (1.08, 0.66), (0.8, 0.66)), body)
    pen.line(((0.5, 0.98), (0.34, 1.1)), 0.06, (50, 50, 54))
    pen.ellipse(0.66, 0.92, 0.12, 0.12, _LAMP)
