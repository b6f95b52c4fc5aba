"""What stands where in a toy picture: casts that belong together, sizes by depth, free columns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cebench.toy import animals, backdrops, furniture, people, vehicles
from cebench.toy.backdrops import Backdrop, Zone
from cebench.toy.pen import Pen
from cebench.toy.rooms import cabinet, room


@dataclass(frozen=True)
class Cast:
    """A place, the two classes it is drawn for, and what else may turn up there."""

    place: Callable[[np.random.Generator, int, int], Backdrop]
    leads: tuple[str, str]
    extras: tuple[str, ...]


_STREET = ("car", "person", "person", "bicycle", "motorbike", "bus", "dog", "person")
_MEADOW = ("cow", "sheep", "horse", "dog", "person", "bird", "sheep")
_ROOM = ("chair", "pottedplant", "person", "cat", "tvmonitor", "sofa", "dog", "bottle")
CASTS: tuple[Cast, ...] = (
    Cast(backdrops.street, ("car", "bus"), _STREET),
    Cast(backdrops.water, ("boat", "person"), ("boat", "bird", "boat", "dog", "person")),
    Cast(backdrops.meadow, ("cow", "sheep"), _MEADOW),
    Cast(room, ("diningtable", "bottle"), ("chair", "chair", "person", "bottle", "pottedplant")),
    Cast(backdrops.open_sky, ("aeroplane", "bird"), ("bird", "aeroplane", "bird")),
    Cast(backdrops.street, ("bicycle", "motorbike"), _STREET),
    Cast(room, ("sofa", "cat"), _ROOM),
    Cast(backdrops.railway, ("train", "person"), ("person", "dog", "person")),
    Cast(backdrops.meadow, ("horse", "dog"), _MEADOW),
    Cast(room, ("diningtable", "chair"), ("chair", "bottle", "person", "cat", "bottle")),
    Cast(room, ("tvmonitor", "pottedplant"), _ROOM),
)
"""Every class leads in at least one cast, so any 11 consecutive images can show all 20 classes."""


@dataclass(frozen=True)
class Thing:
    """A drawing and its place; `name` is its class, or empty for what is not annotated."""

    name: str
    pen: Pen
    x: float
    y: float
    """Pixel where the drawing's origin, its foot, is."""
    scale: float
    """Pixels per metre."""
    depth: float
    """The scale of the ground where it stands: far things first. Negative for what flies."""
    grounded: bool = True
    """It casts a shadow on the ground."""

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels, within the picture or not."""
        x0, y0, x1, y1 = self.pen.extent()
        left, right = self.x + x0 * self.scale, self.x + x1 * self.scale
        return left, self.y - y1 * self.scale, right, self.y - y0 * self.scale


_DRAWINGS: dict[str, Callable[[Pen, np.random.Generator], None]] = {
    "aeroplane": vehicles.aeroplane,
    "bicycle": vehicles.bicycle,
    "bird": animals.bird,
    "boat": vehicles.boat,
    "bottle": furniture.bottle,
    "bus": vehicles.bus,
    "car": vehicles.car,
    "cat": animals.cat,
    "chair": furniture.chair,
    "cow": animals.cow,
    "diningtable": furniture.diningtable,
    "dog": animals.dog,
    "horse": animals.horse,
    "motorbike": vehicles.motorbike,
    "person": people.person,
    "pottedplant": furniture.pottedplant,
    "sheep": animals.sheep,
    "sofa": furniture.sofa,
    "train": vehicles.train,
    "tvmonitor": furniture.tvmonitor,
}
_ROUGHNESS = {"cow": 0.16, "dog": 0.18, "sheep": 0.24, "cat": 0.18, "sofa": 0.16, "tvmonitor": 0.04}
_ENLARGED = {"bird": 1.8, "bottle": 1.5, "cat": 1.4, "dog": 1.3, "sheep": 1.2, "train": 0.72}
"""Small things are drawn larger than life, or they would be a few pixels wide."""
_WHEELED = ("car", "bus", "motorbike", "bicycle")
_SEATS = {
    "bicycle": (vehicles.SADDLE, vehicles.HANDLEBAR, vehicles.PEDAL),
    "motorbike": (vehicles.SADDLE, vehicles.HANDLEBAR, vehicles.PEDAL),
    "horse": ((-0.05, 1.5), (0.5, 1.55), (0.15, 0.75)),
}
"""Where a rider has seat, hands and foot."""


def place_things(
    rng: np.random.Generator,
    place: Backdrop,
    leads: tuple[str, ...],
    extras: tuple[str, ...],
) -> list[Thing]:
    """The leads, up to three of the extras, and the place's own props, from far to near."""
    most = 4 if "sky" not in place.zones or "land" in place.zones else 3
    others = [str(name) for name in rng.choice(extras, size=rng.integers(0, most))]
    things: list[Thing] = []
    for index, name in enumerate((*leads, *others)):
        things += _place(rng, place, name, things, lead=index < len(leads))
    for pen, x, scale in place.props:
        things.append(Thing("", pen, x, place.ground.row(scale), scale, scale))
    return sorted(things, key=lambda thing: thing.depth)


def _place(
    rng: np.random.Generator, place: Backdrop, name: str, others: list[Thing], *, lead: bool
) -> list[Thing]:
    """The thing, with what it stands on or with who rides it."""
    flying = name in ("aeroplane", "bird") and "sky" in place.zones
    pen = Pen(_ROUGHNESS.get(name, 0.1))
    if name == "bird":
        animals.bird(pen, rng, flying=flying)
    elif name == "train":
        vehicles.train(pen, rng, oncoming=place.oncoming)
    else:
        _DRAWINGS[name](pen, rng)
    mirror = bool(rng.random() < 0.5) and not place.oncoming
    pen.turn(mirror=mirror)
    if flying:
        return [_in_the_air(rng, place, name, pen, others, lead=lead)]
    if name in ("bottle", "cat"):
        below = [o for o in others if o.name == ("diningtable" if name == "bottle" else "sofa")]
        if below and (name == "bottle" or rng.random() < 0.5):
            return [_on_top(rng, name, pen, below[0])]
    thing = _on_the_ground(rng, place, name, pen, others, lead=lead)
    if name in ("bottle", "tvmonitor"):
        return _on_a_cabinet(rng, thing)
    if name in _SEATS and rng.random() < 0.35:
        return [thing, _riding(rng, thing, mirror)]
    return [thing]


def _on_the_ground(
    rng: np.random.Generator,
    place: Backdrop,
    name: str,
    pen: Pen,
    others: list[Thing],
    *,
    lead: bool,
) -> Thing:
    zone = _zone(place, name)
    enlarged = 1.0 if place.oncoming and name == "train" else _ENLARGED.get(name, 1.0)
    height, width = place.canvas.shape[:2]
    x0, y0, x1, y1 = pen.extent()
    fits = min(0.95 * width / (x1 - x0), 0.92 * height / (y1 - y0)) / enlarged
    high = max(zone.low, min(zone.high, fits))
    share = rng.uniform(0.35, 1.0) if lead else rng.uniform(0.0, 0.7)
    depth = zone.low + (high - zone.low) * share
    scale = depth * enlarged
    y = place.ground.row(depth)
    limits = (
        max(0.0, place.ground.centre + zone.left * depth),
        min(float(width), place.ground.centre + zone.right * depth),
    )
    x = _free_column(rng, Thing(name, pen, 0, y, scale, depth), limits, others, lead=lead)
    return Thing(name, pen, x, y, scale, depth)


def _zone(place: Backdrop, name: str) -> Zone:
    preferred = {"train": "rail", "boat": "water", **dict.fromkeys(_WHEELED, "road")}.get(name, "")
    for kind in (preferred, "land", "floor"):
        if kind in place.zones:
            return place.zones[kind]
    raise ValueError(f"{name} has nowhere to stand among {', '.join(place.zones)}")


def _free_column(
    rng: np.random.Generator,
    thing: Thing,
    limits: tuple[float, float],
    others: list[Thing],
    *,
    lead: bool,
) -> float:
    """The column, of several, where `thing` (now at column 0) overlaps the others least.

    It lies between the limits, except that one thing in six may reach over them by a third.
    """
    left, _, right, _ = thing.bounds()
    low, high = limits[0] - left, limits[1] - right
    if low > high:
        low, high = high, low
    if rng.random() < 1 / 6:
        low, high = low - (right - left) / 3, high + (right - left) / 3
    tries = 6 if lead or rng.random() < 0.7 else 1
    columns = rng.uniform(low, high, tries)
    crowds = [sum(_overlap(thing, float(column), other) for other in others) for column in columns]
    return float(columns[int(np.argmin(crowds))])


def _overlap(thing: Thing, column: float, other: Thing) -> float:
    """Share of the smaller of the two boxes that they have in common."""
    ax0, ay0, ax1, ay1 = thing.bounds()
    bx0, by0, bx1, by1 = other.bounds()
    wide = min(ax1 + column, bx1) - max(ax0 + column, bx0)
    tall = min(ay1, by1) - max(ay0, by0)
    smaller = min((ax1 - ax0) * (ay1 - ay0), (bx1 - bx0) * (by1 - by0))
    return max(0.0, wide) * max(0.0, tall) / smaller


def _in_the_air(
    rng: np.random.Generator,
    place: Backdrop,
    name: str,
    pen: Pen,
    others: list[Thing],
    *,
    lead: bool,
) -> Thing:
    width = place.canvas.shape[1]
    x0, y0, x1, y1 = pen.extent()
    small, large = (0.4, 0.75) if name == "aeroplane" else (0.2, 0.38)
    share = rng.uniform(small, large) if lead else rng.uniform(small / 2, large / 2)
    room_above = place.ground.horizon * 0.95
    scale = min(share * width / (x1 - x0), 0.8 * room_above / (y1 - y0))
    y = rng.uniform(y1 * scale, room_above + y0 * scale)
    thing = Thing(name, pen, 0, y, scale, scale - 1e3, grounded=False)
    x = _free_column(rng, thing, (0, width), others, lead=lead)
    return Thing(name, pen, x, y, scale, thing.depth, grounded=False)


def _on_top(rng: np.random.Generator, name: str, pen: Pen, below: Thing) -> Thing:
    """A bottle on a table, or a cat on a sofa."""
    left, _, right, _ = below.bounds()
    x = rng.uniform(0.75 * left + 0.25 * right, 0.25 * left + 0.75 * right)
    rise = 0.46 if name == "cat" else furniture.TABLE_TOP - rng.uniform(0.0, 0.06)
    scale = below.scale * _ENLARGED[name]
    return Thing(
        name, pen, x, below.y - rise * below.scale, scale, below.depth + 0.01, grounded=False
    )


def _on_a_cabinet(rng: np.random.Generator, thing: Thing) -> list[Thing]:
    stand = Thing(
        "", cabinet(rng, furniture.SHELF), thing.x, thing.y, thing.depth, thing.depth - 0.01
    )
    y = thing.y - furniture.SHELF * thing.depth
    return [
        stand,
        Thing(thing.name, thing.pen, thing.x, y, thing.scale, thing.depth, grounded=False),
    ]


def _riding(rng: np.random.Generator, mount: Thing, mirror: bool) -> Thing:
    pen = Pen()
    people.rider(pen, rng, *_SEATS[mount.name])
    pen.turn(mirror=mirror)
    return Thing("person", pen, mount.x, mount.y, mount.scale, mount.depth + 0.01, grounded=False)
