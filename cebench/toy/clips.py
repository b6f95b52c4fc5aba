"""Short clips of one thing that moves before a panning camera, with its mask in every frame."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cebench.randomness import numpy_generator
from cebench.toy import animals, backdrops, vehicles
from cebench.toy.pen import Pen

HEIGHT, WIDTH = 120, 214
"""A quarter of DAVIS's 480p."""
_PAN = 24
"""Pixels by which the camera turns in a clip."""
_MOVERS = (vehicles.car, animals.horse, vehicles.bus, animals.dog)


@dataclass(frozen=True)
class ToyClip:
    """The frames of a clip."""

    frames: list[npt.NDArray[np.uint8]]
    """(120, 214, 3) each."""
    masks: list[npt.NDArray[np.uint8]]
    """(120, 214): 1 where the moving thing is seen."""


def draw_clip(seed: int, index: int, frames: int) -> ToyClip:
    """Clip `index`: a function of its arguments alone. The thing crosses the picture."""
    rng = numpy_generator(seed, "toy/clip", index)
    drawing = _MOVERS[index % len(_MOVERS)]
    place = backdrops.street if drawing in (vehicles.car, vehicles.bus) else backdrops.meadow
    canvas = place(rng, HEIGHT, WIDTH + _PAN).canvas
    pen = Pen(0.3)
    drawing(pen, rng)
    direction = 1 if rng.random() < 0.5 else -1
    pen.turn(mirror=direction < 0)
    x0, y0, x1, y1 = pen.extent()
    scale = min(0.45 * HEIGHT / (y1 - y0), 0.4 * WIDTH / (x1 - x0))
    sprite = pen.render(rng, 0, 0.9 * HEIGHT, scale)
    share = np.linspace(0.3, 0.7, frames)[::direction]
    columns = np.rint(share * WIDTH - (x0 + x1) / 2 * scale).astype(int)
    views = np.rint(np.linspace(0, _PAN, frames)).astype(int)
    pictures, masks = [], []
    for column, view in zip(columns.tolist(), views.tolist(), strict=True):
        moved = replace(sprite, x=sprite.x + column)
        picture = canvas[:, view : view + WIDTH].copy()
        moved.paint(picture)
        noise = 2 * rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32)
        pictures.append((picture + noise).round().clip(0, 255).astype(np.uint8))
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        there, here = moved.windows(HEIGHT, WIDTH)
        mask[there] = sprite.alpha[here] >= 0.5
        masks.append(mask)
    return ToyClip(pictures, masks)
