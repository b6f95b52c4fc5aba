"""One toy picture: a place, the things in it from far to near, and what of each can be seen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cebench.errors import CebenchError
from cebench.randomness import numpy_generator
from cebench.toy.backdrops import Backdrop
from cebench.toy.pen import Sprite
from cebench.toy.placing import CASTS, Cast, Thing, place_things
from cebench.toy.textures import Array

Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]

DROPPED_SIDE, DROPPED_SHARE = 4, 0.1
"""A thing is left out of the picture where the shorter side of its visible box is below 4 pixels,
or less than a tenth of its silhouette (counting the part outside the picture) can be seen."""
DIFFICULT_SIDE, DIFFICULT_SHARE = 8, 0.3
"""It is `difficult` where that side is below 8 pixels, or less than 0.3 can be seen."""
OCCLUDED_SHARE = 0.95
"""It is `occluded` where less than 0.95 of its part within the picture can be seen."""


@dataclass(frozen=True)
class ToyObject:
    """One annotated thing; the box is that of its visible pixels, 0-based and half-open."""

    name: str
    box: Box
    truncated: bool
    """A part of its silhouette lies outside the picture."""
    occluded: bool
    difficult: bool


@dataclass(frozen=True)
class ToyImage:
    """A picture with its ground truth."""

    pixels: npt.NDArray[np.uint8]
    """(H, W, 3) RGB."""
    instances: npt.NDArray[np.uint8]
    """(H, W): 0 background, k the visible pixels of objects[k - 1]; far things come first."""
    objects: tuple[ToyObject, ...]


def draw_scene(seed: int, stream: str, index: int) -> ToyImage:
    """Image `index` of `stream`: a function of its arguments alone.

    The cast is CASTS[index % 11]. In every other round through the casts, from the first on, both
    leads are there, else one of them; each has at least one object that is not difficult.
    """
    rounds, turn = divmod(index, len(CASTS))
    cast = CASTS[turn]
    leads = cast.leads if rounds % 2 == 0 else (cast.leads[rounds // 2 % 2],)
    for attempt in range(100):
        image = _try_scene(numpy_generator(seed, stream, index, attempt), cast, leads)
        if set(leads) <= {item.name for item in image.objects if not item.difficult}:
            return image
    raise CebenchError(f"no toy picture shows {' and '.join(leads)}: seed {seed}, {stream} {index}")


def _try_scene(rng: np.random.Generator, cast: Cast, leads: tuple[str, ...]) -> ToyImage:
    height, width = _frame(rng)
    place = cast.place(rng, height, width)
    things = place_things(rng, place, leads, cast.extras)
    relief = float(rng.uniform(0.35, 0.6))
    drawn = [(t, t.pen.render(rng, t.x, t.y, t.scale, relief=relief)) for t in things]
    kept = _without_hidden(drawn, height, width)
    canvas, instances = _paint(place, kept)
    objects = tuple(_describe(*shown, instances, k + 1) for k, shown in enumerate(_named(kept)))
    return ToyImage(_expose(rng, canvas), instances, objects)


def _frame(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width: two thirds landscape, the others portrait or square."""
    short, long = int(rng.integers(150, 181)), int(rng.integers(200, 241))
    shape = rng.random()
    if shape < 2 / 3:
        return short, long
    return (long, short) if shape < 0.87 else (short + 20, short + 20)


def _named(drawn: list[tuple[Thing, Sprite]]) -> list[tuple[Thing, Sprite]]:
    return [(thing, sprite) for thing, sprite in drawn if thing.name]


def _without_hidden(
    drawn: list[tuple[Thing, Sprite]], height: int, width: int
) -> list[tuple[Thing, Sprite]]:
    """From near to far, leaves out what would hardly be seen, so that it hides nothing either."""
    free = np.ones((height, width), dtype=np.bool_)
    kept = []
    for thing, sprite in reversed(drawn):
        there, here = sprite.windows(height, width)
        solid = _solid(sprite)
        seen = solid[here] & free[there]
        if thing.name and _is_below(seen, solid, DROPPED_SIDE, DROPPED_SHARE):
            continue
        free[there] &= ~solid[here]
        kept.append((thing, sprite))
    return kept[::-1]


def _solid(sprite: Sprite) -> Mask:
    """The crisp silhouette: pixels that are covered by half or more."""
    return np.asarray(sprite.alpha >= 0.5)


def _is_below(seen: Mask, silhouette: Mask, side: int, share: float) -> bool:
    if not seen.any():
        return True
    x0, y0, x1, y1 = _extent(seen)
    return min(x1 - x0, y1 - y0) < side or bool(seen.sum() < share * silhouette.sum())


def _extent(mask: Mask) -> Box:
    """The box around a mask that is not empty, 0-based and half-open."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _paint(
    place: Backdrop, kept: list[tuple[Thing, Sprite]]
) -> tuple[Array, npt.NDArray[np.uint8]]:
    """The picture from far to near, and the number of the thing that each pixel shows."""
    canvas = place.canvas
    height, width = canvas.shape[:2]
    near = place.ground.scale(height - 1)
    instances = np.zeros((height, width), dtype=np.uint8)
    count = 0
    for thing, sprite in kept:
        if thing.grounded:
            _cast_shadow(canvas, thing)
        veil = 0.4 * min(1.0, max(0.0, 1 - thing.depth / (0.6 * near)))
        share = veil if place.haze and thing.depth > 0 else 0.0
        sprite.paint(canvas, place.haze or (0, 0, 0), share)
        there, here = sprite.windows(height, width)
        count += bool(thing.name)
        instances[there][_solid(sprite)[here]] = count if thing.name else 0
    return canvas, instances


def _cast_shadow(canvas: Array, thing: Thing) -> None:
    """A soft dark ellipse on the ground where the thing stands."""
    left, _, right, _ = thing.bounds()
    half, high = (
        max(2.0, 0.54 * (right - left)),
        max(2.0, min(0.07 * (right - left), 0.3 * thing.scale)),
    )
    middle = (left + right) / 2
    y0, y1 = (int(np.clip(thing.y + d, 0, canvas.shape[0])) for d in (-high, high + 1))
    x0, x1 = (int(np.clip(middle + d, 0, canvas.shape[1])) for d in (-half, half + 1))
    rows, columns = np.ogrid[y0:y1, x0:x1]
    reach = ((rows - thing.y) / high) ** 2 + ((columns - middle) / half) ** 2
    canvas[y0:y1, x0:x1] *= (1 - 0.5 * np.clip(1 - reach, 0, 1))[..., None].astype(np.float32)


def _describe(
    thing: Thing, sprite: Sprite, instances: npt.NDArray[np.uint8], number: int
) -> ToyObject:
    seen, silhouette = instances == number, _solid(sprite)
    _, here = sprite.windows(seen.shape[0], seen.shape[1])
    within = int(silhouette[here].sum())
    return ToyObject(
        name=thing.name,
        box=_extent(seen),
        truncated=within < int(silhouette.sum()),
        occluded=bool(seen.sum() < OCCLUDED_SHARE * within),
        difficult=_is_below(seen, silhouette, DIFFICULT_SIDE, DIFFICULT_SHARE),
    )


def _expose(rng: np.random.Generator, canvas: Array) -> npt.NDArray[np.uint8]:
    """What a camera makes of it: exposure, contrast, a tint and a little sensor noise."""
    gain = rng.uniform(0.85, 1.12) * rng.uniform(0.96, 1.04, 3)
    contrast = rng.uniform(0.88, 1.1)
    noise = 2.5 * rng.standard_normal(canvas.shape[:2], dtype=np.float32)
    picture = (canvas - 118) * (contrast * gain).astype(np.float32) + 118 * gain.astype(np.float32)
    return np.clip(picture + noise[..., None], 0, 255).astype(np.uint8)
