"""People, standing at the origin, facing right, in metres."""

import numpy as np

from cebench.toy.pen import Pen, Point
from cebench.toy.textures import Colour, mix, paint, pick, shade

_SKIN: tuple[Colour, ...] = ((240, 200, 168), (216, 162, 122), (162, 108, 74), (104, 70, 52))
_HAIR: tuple[Colour, ...] = (
    (52, 36, 28),
    (104, 66, 36),
    (196, 152, 80),
    (150, 146, 142),
    (28, 26, 30),
)
_TROUSERS: tuple[Colour, ...] = ((52, 66, 104), (70, 70, 76), (110, 92, 70), (38, 38, 44))
_DARK: Colour = (36, 30, 28)


def person(pen: Pen, rng: np.random.Generator) -> None:
    """Someone standing or walking, in trousers or in a skirt; about 1.8 m tall."""
    skin, shirt, trousers = pick(rng, _SKIN), paint(rng), pick(rng, _TROUSERS)
    stride, skirt = rng.uniform(0.05, 0.3), rng.random() < 0.3
    swing, raised = rng.uniform(0.05, 0.3), rng.random() < 0.2
    _arm(pen, (-0.17, 1.36), (-0.2 - swing, 1.08), (-0.16 - swing, 0.84), shade(shirt, 0.8), skin)
    for foot, bend, tone in ((-stride, 0.0, 0.82), (stride, 0.06, 1.0)):
        leg = skin if skirt else trousers
        hip = 0.07 if foot > 0 else -0.07
        pen.line(
            ((hip, 0.9), (hip + 0.5 * foot + bend, 0.48), (foot, 0.08)), 0.16, shade(leg, tone)
        )
        pen.ellipse(foot + 0.06, 0.05, 0.14, 0.06, _DARK)
    if skirt:
        pen.polygon(((-0.17, 1.0), (0.17, 1.0), (0.32, 0.5), (-0.32, 0.5)), trousers)
    _trunk(pen, rng, shirt)
    elbow, hand = (0.24 + swing, 1.1), (0.26 + 1.4 * swing, 0.86)
    if raised:
        elbow, hand = (0.42, 1.42), (0.46, 1.74)
    _arm(pen, (0.18, 1.37), elbow, hand, shirt, skin)
    _head(pen, rng, (0.0, 1.63), skin)


def _trunk(pen: Pen, rng: np.random.Generator, shirt: Colour) -> None:
    pen.blob(
        (
            (-0.18, 0.88),
            (-0.19, 1.15),
            (-0.25, 1.38),
            (0, 1.48),
            (0.25, 1.38),
            (0.19, 1.15),
            (0.18, 0.88),
            (0, 0.84),
        ),
        shirt,
    )
    if rng.random() < 0.4:
        other = mix(shirt, (250, 250, 250), 0.7)
        for y in (1.0, 1.14, 1.28):
            pen.line(((-0.2, y), (0.2, y)), 0.05, other)
    pen.line(((-0.16, 0.92), (0.16, 0.92)), 0.05, _DARK)


def _arm(
    pen: Pen, shoulder: Point, elbow: Point, hand: Point, sleeve: Colour, skin: Colour
) -> None:
    pen.line((shoulder, elbow), 0.13, sleeve)
    pen.line((elbow, hand), 0.09, skin)
    pen.ellipse(hand[0], hand[1], 0.065, 0.065, skin)


def _head(
    pen: Pen, rng: np.random.Generator, at: Point, skin: Colour, *, helmet: bool = False
) -> None:
    x, y = at
    hair = paint(rng) if helmet else pick(rng, _HAIR)
    if rng.random() < 0.35 and not helmet:
        pen.ellipse(x - 0.03, y - 0.06, 0.18, 0.22, hair)
    pen.line(((x, y - 0.2), (x, y - 0.1)), 0.11, shade(skin, 0.85))
    pen.ellipse(x, y, 0.135, 0.17, skin)
    pen.blob(
        (
            (x - 0.15, y - 0.02),
            (x - 0.14, y + 0.13),
            (x, y + 0.2),
            (x + 0.14, y + 0.13),
            (x + 0.14, y + 0.05),
            (x, y + 0.09),
        ),
        hair,
    )
    for eye in (-0.03, 0.075):
        pen.ellipse(x + eye, y + 0.0, 0.02, 0.025, _DARK)
    pen.line(((x - 0.02, y - 0.085), (x + 0.07, y - 0.08)), 0.02, (150, 70, 64))


def rider(pen: Pen, rng: np.random.Generator, seat: Point, hands: Point, foot: Point) -> None:
    """Someone sitting at `seat`, holding on at `hands`, a foot at `foot`."""
    skin, shirt, trousers = pick(rng, _SKIN), paint(rng), pick(rng, _TROUSERS)
    sx, sy = seat
    shoulder = (sx + 0.22, sy + 0.5)
    knee = (0.5 * (sx + foot[0]) + 0.26, 0.5 * (sy + foot[1]) + 0.12)
    pen.line((seat, knee, foot), 0.17, trousers)
    pen.ellipse(foot[0] + 0.07, foot[1] - 0.02, 0.14, 0.07, _DARK)
    pen.blob(
        (
            (sx - 0.15, sy - 0.04),
            (sx - 0.06, sy + 0.35),
            (sx + 0.1, sy + 0.6),
            (sx + 0.34, sy + 0.54),
            (sx + 0.28, sy + 0.25),
            (sx + 0.16, sy - 0.04),
        ),
        shirt,
    )
    elbow = (0.5 * (shoulder[0] + hands[0]) - 0.02, 0.5 * (shoulder[1] + hands[1]) - 0.1)
    _arm(pen, shoulder, elbow, hands, shade(shirt, 0.85), skin)
    _head(pen, rng, (sx + 0.3, sy + 0.78), skin, helmet=bool(rng.random() < 0.6))
