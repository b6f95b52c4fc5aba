"""Animals, each drawn standing at the origin, facing right, in metres."""

from dataclasses import dataclass

import numpy as np

from cebench.toy.pen import Pen, Point
from cebench.toy.textures import Colour, mix, paint, pick, shade

_DARK: Colour = (36, 30, 28)


@dataclass(frozen=True)
class _Build:
    """What tells one four-footed animal from another, in metres."""

    length: float
    leg: float
    depth: float  # of the trunk
    foot: float  # thickness of a leg
    coat: Colour


def _legs(pen: Pen, rng: np.random.Generator, build: _Build, hoof: Colour) -> None:
    half, swing = 0.42 * build.length, rng.uniform(-0.12, 0.12) * build.leg
    for x, tone, lean in (
        (-half, 0.72, swing),
        (half, 0.72, -swing),
        (-half + 0.12, 1, -swing),
        (half - 0.12, 1, swing),
    ):
        colour = shade(build.coat, tone)
        knee = (x + 0.6 * lean + 0.03, 0.5 * build.leg)
        pen.line(((x, build.leg + 0.1), knee, (x + lean, 0.05)), build.foot, colour)
        pen.line(((x + lean - 0.02, 0.04), (x + lean + 0.04, 0.04)), 0.8 * build.foot, hoof)


def _trunk_outline(build: _Build) -> tuple[Point, ...]:
    half, low, high = build.length / 2, build.leg, build.leg + build.depth
    middle = low + 0.06 * build.depth
    return (
        (-half, low + 0.35 * build.depth),
        (-0.95 * half, high - 0.1 * build.depth),
        (-0.4 * half, high),
        (0.4 * half, 0.98 * high),
        (0.98 * half, high),
        (1.02 * half, low + 0.4 * build.depth),
        (0.6 * half, low),
        (-0.1 * half, middle),
        (-0.7 * half, low + 0.1 * build.depth),
    )


def horse(pen: Pen, rng: np.random.Generator) -> None:
    """A tall animal with an arched neck, a mane and a long tail."""
    coat = pick(rng, ((122, 74, 42), (70, 46, 34), (186, 148, 104), (214, 208, 200), (46, 40, 40)))
    mane = pick(rng, ((40, 30, 26), (230, 214, 180))) if sum(coat) > 200 else (28, 24, 26)
    build = _Build(1.7, 0.86, 0.62, 0.14, coat)
    pen.line(((-0.82, 1.36), (-1.02, 1.15), (-1.04, 0.65)), 0.15, mane)
    _legs(pen, rng, build, _DARK)
    pen.blob(_trunk_outline(build), coat)
    graze = rng.random() < 0.25
    if graze:
        pen.blob(
            ((0.5, 1.42), (0.9, 1.2), (1.22, 0.62), (1.04, 0.5), (0.78, 0.85), (0.5, 0.98)), coat
        )
        pen.blob(((1.0, 0.72), (1.24, 0.7), (1.36, 0.3), (1.24, 0.16), (1.08, 0.26)), coat)
        pen.line(((0.62, 1.42), (0.98, 1.16), (1.2, 0.78)), 0.1, mane)
        return
    pen.blob(
        (
            (0.42, 1.42),
            (0.78, 1.72),
            (0.98, 2.05),
            (1.18, 1.98),
            (1.16, 1.6),
            (0.86, 1.12),
            (0.6, 1.0),
        ),
        coat,
    )
    pen.blob(
        (
            (0.94, 2.1),
            (1.14, 2.12),
            (1.4, 1.84),
            (1.56, 1.64),
            (1.48, 1.5),
            (1.3, 1.56),
            (1.06, 1.76),
        ),
        coat,
    )
    pen.polygon(((0.98, 2.04), (1.02, 2.28), (1.12, 2.08)), coat)
    pen.line(((0.98, 2.16), (0.78, 1.86), (0.5, 1.5)), 0.13, mane)
    pen.ellipse(1.24, 1.92, 0.035, 0.04, _DARK)
    pen.ellipse(1.48, 1.6, 0.06, 0.07, shade(coat, 0.65), inside=True)


def cow(pen: Pen, rng: np.random.Generator) -> None:
    """A boxy animal with patches, horns, a pale muzzle and an udder."""
    coat = pick(rng, ((236, 230, 222), (150, 84, 48), (60, 46, 42), (196, 150, 100)))
    patch = (40, 34, 34) if sum(coat) > 450 else (238, 232, 224)
    build = _Build(2.0, 0.6, 0.82, 0.19, coat)
    pen.line(((-0.96, 1.32), (-1.08, 0.95), (-1.06, 0.6)), 0.06, shade(coat, 0.8))
    pen.ellipse(-1.06, 0.55, 0.07, 0.13, patch)
    _legs(pen, rng, build, _DARK)
    pen.ellipse(-0.45, 0.6, 0.2, 0.16, (236, 170, 164))
    pen.blob(_trunk_outline(build), coat)
    for _ in range(4):
        x, y = rng.uniform((-0.75, 0.85), (0.7, 1.25))
        wide, tall = rng.uniform((0.14, 0.1), (0.32, 0.26))
        pen.blob(
            (
                (x - wide, y),
                (x - 0.3 * wide, y + tall),
                (x + wide, y + 0.3 * tall),
                (x + 0.4 * wide, y - tall),
            ),
            patch,
            inside=True,
        )
    drop = -0.55 if rng.random() < 0.3 else 0.0
    pen.blob(
        ((0.7, 1.4), (1.15, 1.5 + drop), (1.3, 1.3 + drop), (1.1, 1.0 + drop / 2), (0.72, 0.8)),
        coat,
    )
    pen.blob(
        (
            (1.02, 1.58 + drop),
            (1.26, 1.6 + drop),
            (1.58, 1.2 + drop),
            (1.5, 1.02 + drop),
            (1.26, 1.06 + drop),
            (1.04, 1.34 + drop),
        ),
        shade(coat, 0.95),
    )
    pen.ellipse(1.48, 1.1 + drop, 0.15, 0.11, (232, 186, 172))
    for x in (1.06, 1.24):
        pen.line(
            ((x, 1.56 + drop), (x + 0.04, 1.7 + drop), (x + 0.12, 1.78 + drop)),
            0.06,
            (226, 214, 186),
        )
    pen.ellipse(0.95, 1.46 + drop, 0.15, 0.06, shade(patch, 0.9))
    pen.ellipse(1.28, 1.4 + drop, 0.04, 0.05, _DARK)


def sheep(pen: Pen, rng: np.random.Generator) -> None:
    """A cloud of wool on thin dark legs, with a dark or a pale face."""
    wool = pick(rng, ((238, 232, 218), (222, 210, 190), (206, 200, 192), (92, 84, 80)), 0.06)
    face = pick(rng, ((52, 44, 42), (92, 74, 62), (226, 206, 184)))
    _legs(pen, rng, _Build(1.05, 0.36, 0.55, 0.1, face), _DARK)
    pen.ellipse(0, 0.66, 0.55, 0.32, wool)
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        x, y = 0.52 * float(np.cos(angle)), 0.66 + 0.28 * float(np.sin(angle))
        pen.ellipse(x, y, 0.17, 0.15, shade(wool, 1.0 + 0.08 * float(np.sin(angle))))
    for _ in range(9):
        x, y = rng.uniform((-0.45, 0.48), (0.4, 0.86))
        pen.ellipse(x, y, 0.1, 0.08, shade(wool, float(rng.uniform(0.86, 1.08))), inside=True)
    drop = -0.42 if rng.random() < 0.35 else 0.0
    pen.blob(
        (
            (0.5, 1.02 + drop),
            (0.7, 1.04 + drop),
            (0.98, 0.78 + drop),
            (0.9, 0.64 + drop),
            (0.66, 0.72 + drop),
        ),
        face,
    )
    pen.ellipse(0.56, 1.02 + drop, 0.17, 0.12, wool)
    pen.ellipse(0.46, 0.9 + drop, 0.13, 0.055, face)
    pen.ellipse(0.76, 0.88 + drop, 0.03, 0.03, (240, 236, 226) if sum(face) < 300 else _DARK)


def dog(pen: Pen, rng: np.random.Generator) -> None:
    """A slim animal with a raised tail, a snout, a hanging ear and a collar."""
    coat = pick(rng, ((186, 130, 74), (96, 64, 42), (54, 48, 46), (226, 214, 194), (146, 140, 136)))
    build = _Build(0.86, 0.36, 0.3, 0.1, coat)
    lift = rng.uniform(0.0, 0.2)
    pen.line(((-0.4, 0.6), (-0.58, 0.74 + lift), (-0.66, 0.92 + lift)), 0.08, shade(coat, 0.9))
    _legs(pen, rng, build, shade(coat, 0.7))
    pen.blob(_trunk_outline(build), coat)
    pen.blob(((-0.3, 0.34), (-0.2, 0.44), (0.2, 0.44), (0.3, 0.34)), shade(coat, 1.25), inside=True)
    pen.polygon(((0.22, 0.6), (0.4, 0.92), (0.6, 0.84), (0.46, 0.46)), coat)
    pen.ellipse(0.52, 0.9, 0.19, 0.16, coat)
    pen.blob(
        ((0.56, 0.98), (0.82, 0.92), (0.9, 0.84), (0.84, 0.76), (0.58, 0.76)), shade(coat, 1.06)
    )
    pen.ellipse(0.88, 0.88, 0.045, 0.04, _DARK)
    pen.blob(((0.38, 1.02), (0.5, 1.0), (0.5, 0.82), (0.42, 0.68), (0.32, 0.76)), shade(coat, 0.6))
    pen.ellipse(0.6, 0.95, 0.03, 0.035, _DARK)
    pen.line(((0.3, 0.72), (0.54, 0.66)), 0.07, paint(rng))
    if rng.random() < 0.5:
        pen.line(((0.76, 0.76), (0.78, 0.66)), 0.06, (226, 110, 112))


def cat(pen: Pen, rng: np.random.Generator) -> None:
    """A cat sitting and looking at us, or walking with its tail up; about 0.6 m tall."""
    coat = pick(rng, ((206, 132, 64), (120, 112, 106), (48, 44, 46), (232, 222, 208)))
    dark = shade(coat, 0.62)
    if rng.random() < 0.4:
        _legs(pen, rng, _Build(0.62, 0.22, 0.22, 0.085, coat), dark)
        pen.line(((-0.3, 0.36), (-0.42, 0.55), (-0.4, 0.78)), 0.075, coat)
        pen.blob(_trunk_outline(_Build(0.68, 0.2, 0.24, 0.08, coat)), coat)
        for x in (-0.2, -0.08, 0.04, 0.16):
            pen.line(((x, 0.46), (x + 0.02, 0.34)), 0.035, dark, inside=True)
        _cat_head(pen, coat, dark, (0.4, 0.52))
        return
    pen.line(((0.15, 0.06), (0.4, 0.07), (0.46, 0.22), (0.36, 0.3)), 0.08, dark)
    pen.blob(
        (
            (-0.24, 0),
            (-0.26, 0.22),
            (-0.16, 0.46),
            (0, 0.54),
            (0.16, 0.46),
            (0.26, 0.22),
            (0.24, 0),
        ),
        coat,
    )
    pen.blob(
        ((-0.1, 0.1), (-0.09, 0.34), (0, 0.42), (0.09, 0.34), (0.1, 0.1)),
        mix(coat, (250, 244, 234), 0.65),
    )
    for y in (0.14, 0.24, 0.34):
        pen.line(((-0.26, y), (-0.15, y + 0.02)), 0.035, dark, inside=True)
        pen.line(((0.26, y), (0.15, y + 0.02)), 0.035, dark, inside=True)
    for x in (-0.08, 0.08):
        pen.line(((x, 0.3), (x, 0.05)), 0.1, coat)
        pen.ellipse(x, 0.035, 0.07, 0.04, shade(coat, 1.1))
    _cat_head(pen, coat, dark, (0, 0.62))


def _cat_head(pen: Pen, coat: Colour, dark: Colour, at: Point) -> None:
    x, y = at
    for side in (-1, 1):
        pen.polygon(
            ((x + side * 0.18, y + 0.02), (x + side * 0.18, y + 0.26), (x + side * 0.03, y + 0.13)),
            coat,
        )
        pen.polygon(
            ((x + side * 0.15, y + 0.08), (x + side * 0.16, y + 0.2), (x + side * 0.07, y + 0.13)),
            (226, 160, 150),
        )
    pen.ellipse(x, y, 0.2, 0.165, coat)
    for side in (-1, 1):
        pen.ellipse(x + side * 0.085, y + 0.02, 0.045, 0.05, (186, 208, 84))
        pen.ellipse(x + side * 0.085, y + 0.02, 0.018, 0.045, (20, 20, 20))
        pen.line(
            ((x + side * 0.05, y - 0.06), (x + side * 0.16, y - 0.05)),
            0.015,
            (244, 240, 232),
            inside=True,
        )
    pen.ellipse(x, y - 0.07, 0.08, 0.055, mix(coat, (250, 244, 234), 0.6))
    pen.ellipse(x, y - 0.045, 0.025, 0.02, (212, 112, 112))
    for dx in (-0.06, 0, 0.06):
        pen.line(((x + dx, y + 0.15), (x + dx, y + 0.09)), 0.03, dark, inside=True)


def bird(pen: Pen, rng: np.random.Generator, *, flying: bool = False) -> None:
    """A bird on its feet, or in flight with raised or lowered wings; about 0.5 m, drawn large."""
    coat = (
        paint(rng)
        if rng.random() < 0.5
        else pick(rng, ((240, 240, 238), (60, 58, 66), (130, 100, 74)))
    )
    wing, beak = shade(coat, 0.7), (244, 166, 40)
    if flying:
        _flying_bird(pen, rng, coat, wing, beak)
        return
    for x in (-0.05, 0.06):
        pen.line(((x, 0.22), (x + 0.01, 0.02), (x + 0.08, 0.015)), 0.028, beak)
    pen.polygon(((-0.22, 0.34), (-0.52, 0.24), (-0.5, 0.34), (-0.2, 0.46)), wing)
    pen.blob(
        ((-0.32, 0.34), (-0.1, 0.52), (0.16, 0.56), (0.26, 0.4), (0.12, 0.22), (-0.12, 0.2)), coat
    )
    pen.ellipse(0.2, 0.6, 0.14, 0.13, coat)
    pen.polygon(((0.31, 0.64), (0.5, 0.58), (0.31, 0.54)), beak)
    pen.blob(((-0.34, 0.34), (-0.12, 0.48), (0.1, 0.44), (0.02, 0.3)), wing)
    pen.blob(
        ((0.06, 0.4), (0.22, 0.44), (0.2, 0.28), (0.06, 0.24)),
        mix(coat, (250, 246, 240), 0.5),
        inside=True,
    )
    pen.ellipse(0.23, 0.63, 0.03, 0.03, (250, 250, 250))
    pen.ellipse(0.235, 0.63, 0.018, 0.018, (10, 10, 10))


def _flying_bird(
    pen: Pen, rng: np.random.Generator, coat: Colour, wing: Colour, beak: Colour
) -> None:
    beat = rng.uniform(0.45, 0.8) * rng.choice((-0.9, 1.0))
    far = ((0.28, 0.04), (0.34, 0.5 * beat), (0.2, 0.95 * beat), (0.08, 0.6 * beat), (0.0, 0.0))
    near = (
        (0.14, 0.02),
        (0.06, 0.5 * beat),
        (-0.3, beat),
        (-0.48, 0.98 * beat),
        (-0.34, 0.5 * beat),
        (-0.22, 0.0),
    )
    pen.blob(far, shade(wing, 0.75))
    pen.polygon(((-0.25, 0.06), (-0.66, 0.12), (-0.62, -0.08), (-0.25, -0.06)), wing)
    pen.blob(((-0.36, 0), (0, 0.13), (0.3, 0.1), (0.38, 0), (0.2, -0.1), (-0.1, -0.1)), coat)
    pen.ellipse(0.4, 0.06, 0.12, 0.11, coat)
    pen.polygon(((0.5, 0.09), (0.68, 0.04), (0.5, 0)), beak)
    pen.blob(near, wing)
    pen.ellipse(0.44, 0.09, 0.022, 0.022, (10, 10, 10))
    pen.turn(rng.uniform(-0.2, 0.3))
