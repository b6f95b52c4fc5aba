"""Camera poses in KITTI's form, the motion between two of them, and its classes.

Source: pulkitag/learning-to-see-by-moving, kitti_utils.py (`get_pose_label`, `get_pose_stats`) and
kitti_new.py (`get_pose_label_normalized`).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cebench.errors import InputError

Poses = NDArray[np.float64]
"""(N, 3, 4): rotation and position of the camera of each frame in the sequence's first frame; x to
the right, y down, z ahead, metres."""

MOTION_LABELS = ("x", "z", "yaw")
"""The three motions that a car makes: to the side, ahead, and about the vertical axis."""
EDGES = np.linspace(-10, 10, 20)
MOTION_CLASSES = 22
"""Outputs for each label: two beyond EDGES and 19 between; the source has one more, never used."""


def read_poses(path: Path) -> Poses:
    """The poses of a file of KITTI's: 12 numbers a line, a 3 x 4 matrix row by row.

    Raises:
        InputError: there is no such file, or a line is not 12 finite numbers with a rotation.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the poses {path}: {error}") from None
    rows = [line.split() for line in lines if line.strip()]
    try:
        poses = np.array([[float(word) for word in row] for row in rows]).reshape(-1, 3, 4)
    except ValueError:
        raise InputError(f"{path}: expected 12 numbers in every line (KITTI's poses)") from None
    if not len(poses) or not np.isfinite(poses).all():
        raise InputError(f"{path}: expected at least one line of 12 finite numbers")
    rotations = poses[:, :, :3]
    off = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max((1, 2))
    if off.max() > 1e-3:
        raise InputError(f"{path}: line {int(off.argmax()) + 1} holds no rotation matrix")
    return poses


def relative_motion(
    first: Poses, second: Poses, frame: Literal["sequence", "camera"]
) -> NDArray[np.float64]:
    """The motion from the first camera to the second: (N, 3) x and z in metres, yaw in radians.

    Yaw is the middle Euler angle of R2^T R1 as a product of rotations about x, y and z.

    Args:
        first: (N, 3, 4).
        second: (N, 3, 4).
        frame: the axes of x and z: those of the `sequence`, as in the source, which an image pair
            cannot tell, or those of the first `camera`.
    """
    moved = second[:, :, 3] - first[:, :, 3]
    if frame == "camera":
        moved = np.einsum("nji,nj->ni", first[:, :, :3], moved)
    turned = second[:, :, :3].transpose(0, 2, 1) @ first[:, :, :3]
    yaw = np.arcsin(turned[:, 0, 2].clip(-1, 1))
    return np.stack((moved[:, 0], moved[:, 2], yaw), axis=1)


@dataclass(frozen=True)
class MotionClasses:
    """Scales motions by those of consecutive frames, and sorts them into MOTION_CLASSES bins."""

    mean: NDArray[np.float64]
    """(3,) of the motion between consecutive frames."""
    scale: NDArray[np.float64]
    """(3,) what one unit of EDGES is: the larger standard deviation of x and z; that of yaw."""

    @classmethod
    def of_consecutive(
        cls, sequences: list[Poses], frame: Literal["sequence", "camera"]
    ) -> "MotionClasses":
        """From all pairs of consecutive frames (the source draws 100 of each sequence)."""
        motions = np.concatenate([relative_motion(p[:-1], p[1:], frame) for p in sequences])
        deviation = motions.std(axis=0).clip(min=1e-9)
        across = deviation[:2].max()
        return cls(motions.mean(axis=0), np.array([across, across, deviation[2]]))

    def __call__(self, motions: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N, 3) motions to (N, 3) classes, 0..20."""
        return np.digitize((motions - self.mean) / self.scale, EDGES)


def window_side(side: int, most_shift: float, most_turn: float) -> int:
    """Pixels of the square that holds every view of `side` pixels, with a border of one.

    Args:
        side: of a view.
        most_shift: of a view from the middle, along each axis, in pixels.
        most_turn: of a view either way, in radians, up to a quarter turn.
    """
    reach = side * (math.cos(most_turn) + math.sin(most_turn)) / 2 + most_shift
    return 2 * math.ceil(reach) + 2
