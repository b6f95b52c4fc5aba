"""Where something moves in a clip, and where it is some frames later.

Source: Wang and Gupta (ICCV 2015), section 3: SURF points, motion less that of the camera
(improved trajectories), the window with most moving points, tracked by KCF. Here the points are
Shi and Tomasi's corners, which OpenCV has without a patent's shadow.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from cebench.data.clips import Frame
from cebench.errors import InputError

Tracker = Literal["kcf", "csrt"]
_MOST_POINTS = 2000
_LEAST_QUALITY = 1e-3
"""Least quality of a corner, as a share of the best one's: low, so that the background has its
points too."""
_MOVING_PIXELS = 0.5
"""A point that moves farther than this against the camera's motion is moving."""


@dataclass(frozen=True)
class MotionSearch:
    """What counts as motion."""

    window: int = 227
    """Side of a patch in pixels of the resized frame."""
    least_moving: float = 0.25
    """Share of the points; with fewer the frame shows next to nothing that moves."""
    most_moving: float = 0.75
    """With more it is the camera that moves, or noise."""
    tracker: Tracker = "kcf"

    def __post_init__(self) -> None:
        if self.least_moving > self.most_moving:
            raise InputError(
                f"least_moving {self.least_moving:g} is above most_moving {self.most_moving:g}: "
                "no frame would count"
            )


def moving_points(first: Frame, second: Frame) -> tuple[NDArray[np.float32], float]:
    """Points of `first` that move against the camera, (M, 2) x and y, and their share of all.

    The camera's motion is a homography, fitted to all points by RANSAC. (0, 2) and 0 where there
    are too few points to fit one.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (first, second)]
    none = np.empty((0, 2), dtype=np.float32), 0.0
    points = cv2.goodFeaturesToTrack(grey[0], _MOST_POINTS, _LEAST_QUALITY, 5)
    if points is None or len(points) < 8:
        return none
    moved, found, _ = cv2.calcOpticalFlowPyrLK(grey[0], grey[1], points, points.copy())
    kept = found.ravel() == 1
    here, there = points[kept].reshape(-1, 2), moved[kept].reshape(-1, 2)
    if len(here) < 8:
        return none
    cv2.setRNGSeed(0)
    camera, _ = cv2.findHomography(here, there, cv2.RANSAC, 1.0)
    if camera is None:
        return none
    carried = cv2.perspectiveTransform(here[:, None], camera)[:, 0]
    moving = np.linalg.norm(there - carried, axis=1) > _MOVING_PIXELS
    return here[moving], float(moving.mean())


def busiest_window(
    points: NDArray[np.float32], height: int, width: int, side: int
) -> tuple[int, int]:
    """Corner (x, y) of the square that holds most points; of equals the middlemost.

    Args:
        points: (M, 2) x and y, M >= 1.
        height: of the frame, at least `side`.
        width: of the frame, at least `side`.
        side: of the square.
    """
    columns, rows = points.astype(np.int64).T
    grid = np.zeros((height, width), dtype=np.uint8)
    np.add.at(grid, (rows.clip(0, height - 1), columns.clip(0, width - 1)), 1)
    sums = cv2.integral(grid)
    counts = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    ys, xs = np.nonzero(counts == counts.max())
    nearest = np.hypot(ys - ys.mean(), xs - xs.mean()).argmin()
    return int(xs[nearest]), int(ys[nearest])


def tracked_pair(frames: list[Frame], search: MotionSearch) -> tuple[Frame, Frame] | None:
    """The patch that moves in the first frame, and the same in the last; None where none is sure.

    Args:
        frames: at least two, all of one size, at least `search.window` high and wide.
        search: what counts as motion.
    """
    points, share = moving_points(frames[0], frames[1])
    if not len(points) or not search.least_moving <= share <= search.most_moving:
        return None
    height, width = frames[0].shape[:2]
    x, y = busiest_window(points, height, width, search.window)
    tracker = cv2.TrackerKCF.create() if search.tracker == "kcf" else cv2.TrackerCSRT.create()
    tracker.init(_bgr(frames[0]), (x, y, search.window, search.window))
    later_x, later_y = x, y
    for frame in frames[1:]:
        found, (later_x, later_y, *_) = tracker.update(_bgr(frame))
        if not found:
            return None
    later = _cut(frames[-1], round(later_x), round(later_y), search.window)
    return _cut(frames[0], x, y, search.window), later


def _cut(frame: Frame, x: int, y: int, side: int) -> Frame:
    """The square at (x, y), moved into the frame."""
    top = min(max(y, 0), frame.shape[0] - side)
    left = min(max(x, 0), frame.shape[1] - side)
    return frame[top : top + side, left : left + side]


def _bgr(frame: Frame) -> Frame:
    return np.ascontiguousarray(frame[:, :, ::-1])
