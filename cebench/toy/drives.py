"""A drive through a toy street: flat cards in space, seen by a stereo camera whose pose is exact.

Every card is a plane, so a homography shows it exactly as a pinhole camera would.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cebench.randomness import numpy_generator
from cebench.toy.facades import draw_facade
from cebench.toy.scenes import draw_scene
from cebench.toy.textures import Array, fractal_noise, gradient

HEIGHT, WIDTH = 94, 310
"""A quarter of KITTI's frames."""
FOCAL = 180.0
BASELINE = 0.54
"""Distance between the stereo cameras in metres."""
EYE = 1.65
"""Height of the camera above the road, metres."""
_NEAREST = 0.5
"""A card that comes nearer than this, in metres, is not drawn."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drive:
    """What both cameras see, and where the left one is."""

    left: list[npt.NDArray[np.uint8]]
    """(94, 310, 3) each."""
    right: list[npt.NDArray[np.uint8]]
    poses: npt.NDArray[np.float64]
    """(N, 3, 4) rotation and position in the first frame's axes: x right, y down, z ahead."""


@dataclass(frozen=True)
class _Card:
    """A textured rectangle in space."""

    texture: Array
    corner: Vector
    """(3,) of the texture's upper left corner, metres."""
    across: Vector
    """(3,) from there to the upper right corner."""
    down: Vector
    """(3,) from there to the lower left corner."""


def draw_drive(seed: int, index: int, frames: int) -> Drive:
    """Drive `index`: a function of its arguments alone; speed and steering change smoothly."""
    rng = numpy_generator(seed, "toy/drive", index)
    poses = _poses(rng, frames)
    cards = _street(rng, seed, index, length=float(poses[-1, 2, 3]))
    sky = gradient(HEIGHT, WIDTH, (120, 160, 215), (215, 225, 235))
    shift = np.array([BASELINE, 0, 0])
    left = [_view(sky, cards, pose[:, :3], pose[:, 3]) for pose in poses]
    right = [_view(sky, cards, pose[:, :3], pose[:, 3] + pose[:, :3] @ shift) for pose in poses]
    return Drive(left, right, poses)


def _poses(rng: np.random.Generator, frames: int) -> npt.NDArray[np.float64]:
    time = np.arange(frames) / 10
    speed = 0.8 + 0.4 * np.sin(2 * np.pi * (0.25 * time + rng.random()))
    turning = 0.03 * np.sin(2 * np.pi * (0.3 * time + rng.random()))
    yaw = np.concatenate(([0.0], np.cumsum(turning[1:])))
    cosine, sine = np.cos(yaw), np.sin(yaw)
    ahead = np.stack((sine, np.zeros(frames), cosine), axis=1)
    steps = speed[1:, None] * ahead[:-1]
    poses = np.zeros((frames, 3, 4))
    poses[:, 0, 0], poses[:, 0, 2], poses[:, 2, 0], poses[:, 2, 2] = cosine, sine, -sine, cosine
    poses[:, 1, 1] = 1
    poses[1:, :, 3] = np.cumsum(steps, axis=0)
    return poses


def _street(rng: np.random.Generator, seed: int, index: int, length: float) -> list[_Card]:
    """Backdrop, road, then house fronts, each from far to near."""
    far = length + 45
    scene = draw_scene(seed, "toy/drive-backdrop", index).pixels.astype(np.float32)
    cards = [_upright(scene, 0, far, 90, 30)]
    road = np.repeat(110 + 40 * fractal_noise(rng, 96, 128, 8)[:, :, None], 3, axis=2)
    for z in np.arange(far, -4, -4):
        tile = np.roll(road, int(rng.integers(128)), axis=1)
        corner = np.array([-20, EYE, z])
        cards.append(_Card(tile, corner, np.array([40.0, 0, 0]), np.array([0, 0, -4.0])))
    for z in np.arange(far - 6, 3, -5):
        x = rng.choice((-1, 1)) * rng.uniform(4, 9)
        cards.append(_upright(draw_facade(rng, 72, 72), x, z, 5, 6))
    return cards


def _upright(texture: Array, x: float, z: float, width: float, height: float) -> _Card:
    """A card that stands on the road at (x, z) and faces the start of the street."""
    corner = np.array([x - width / 2, EYE - height, z])
    return _Card(texture, corner, np.array([width, 0, 0.0]), np.array([0, height, 0.0]))


def _view(
    sky: Array, cards: list[_Card], rotation: Vector, position: Vector
) -> npt.NDArray[np.uint8]:
    """(94, 310, 3): the cards over the sky, seen from a pose."""
    canvas = sky.copy()
    intrinsics = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    for card in cards:
        height, width = card.texture.shape[:2]
        plane = np.stack((card.across / width, card.down / height, card.corner - position), axis=1)
        homography = intrinsics @ rotation.T @ plane
        depths = homography[2] @ np.array([[0, width, 0, width], [0, 0, height, height], [1] * 4])
        if depths.min() > _NEAREST:
            cv2.warpPerspective(
                card.texture,
                homography,
                (WIDTH, HEIGHT),
                dst=canvas,
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_TRANSPARENT,
            )
    return canvas.round().clip(0, 255).astype(np.uint8)
