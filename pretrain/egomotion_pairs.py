"""The pairs of images that `egomotion` learns from: frames of KITTI, or views of single images."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from cebench.data.kitti import CameraClip, find_camera_clips, is_kitti, split_clips
from cebench.data.photos import Photo
from cebench.data.poses import (
    MOTION_CLASSES,
    MOTION_LABELS,
    MotionClasses,
    relative_motion,
)
from cebench.data.store.ragged import RaggedImages
from cebench.data.views import shifted_and_turned
from cebench.errors import InputError

from .crops import Crops
from .first_checks import ONE_DRIVE
from .run_context import DataOptions


@dataclass(frozen=True)
class PairDraw:
    """N pairs: what is asked of them, and how to make the images of some."""

    labels: np.ndarray
    """(N, L) int64, a class per label."""
    images: Callable[[slice], tuple[Tensor, Tensor]]
    """The first and the second images of a slice of the pairs: (n, 3, side, side), 0..255."""


class Pairs(Protocol):
    """A source of pairs."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels."""

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Classes of each label."""

    @property
    def count(self) -> int:
        """Images learned from."""

    def draw(self, generator: np.random.Generator, count: int, *, held_out: bool) -> PairDraw:
        """`count` random pairs of the images to learn from, or of the held-out ones."""


class FramePairs:
    """Two frames of one camera, up to `most_frames` apart, cropped at the same place.

    Args:
        images: all frames: those of the training clips, then those of the held-out ones; see
            `check_frame_sizes`.
        training: clips to learn from.
        held_out: the others.
        side: of the crops, in pixels.
        most_frames: largest distance of the two.
        frame: see `relative_motion`.
        slow: asks instead whether the frames are up to `most_frames` apart or farther, where
            some clip is long enough for that (`check_far_frames`).
        device: where the crops go.
    """

    def __init__(
        self,
        images: RaggedImages,
        training: list[CameraClip],
        held_out: list[CameraClip],
        *,
        side: int,
        most_frames: int,
        frame: Literal["sequence", "camera"],
        slow: bool,
        device: torch.device,
    ) -> None:
        clips = [*training, *held_out]
        lengths = np.array([len(clip.frames) for clip in clips])
        ends = np.cumsum(lengths)
        self.starts, self.ends = (np.repeat(v, lengths) for v in (ends - lengths, ends))
        self.count = int(lengths[: len(training)].sum())
        self.images, self.side, self.device = images.to_if_fits(device), side, device
        self.heights, self.widths = images.heights.numpy(), images.widths.numpy()
        self.poses = np.concatenate([clip.poses for clip in clips])
        self.most_frames, self.frame, self.slow = most_frames, frame, slow
        self.classes = MotionClasses.of_consecutive([clip.poses for clip in training], frame)
        self.names: tuple[str, ...] = ("near",) if slow else MOTION_LABELS
        self.class_counts: tuple[int, ...] = (2,) if slow else (MOTION_CLASSES,) * 3

    def draw(self, generator: np.random.Generator, count: int, *, held_out: bool) -> PairDraw:
        """Frames uniformly among all, so that a clip counts by its length and a camera a half."""
        total = len(self.starts)
        first = (
            generator.integers(self.count, total, count)
            if held_out
            else generator.integers(0, self.count, count)
        )
        near = np.ones(count, dtype=np.bool_)
        if self.slow:
            near = (generator.random(count) < 0.5) | ~self._has_far_frames(first)
        second = self._second(first, near, generator)
        labels = near[:, None].astype(np.int64) if self.slow else self._motion(first, second)
        y0 = (generator.random(count) * (self.heights[first] - self.side + 1)).astype(np.int64)
        x0 = (generator.random(count) * (self.widths[first] - self.side + 1)).astype(np.int64)

        def images(own: slice) -> tuple[Tensor, Tensor]:
            one, other = (self._crops(index[own], y0[own], x0[own]) for index in (first, second))
            return one, other

        return PairDraw(labels, images)

    def _room(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many frames of its clip lie before and behind each frame."""
        return index - self.starts[index], self.ends[index] - 1 - index

    def _has_far_frames(self, index: np.ndarray) -> np.ndarray:
        """Whether the clip of each frame has one more than `most_frames` from it."""
        has: np.ndarray = np.maximum(*self._room(index)) > self.most_frames
        return has

    def _second(
        self, first: np.ndarray, near: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """The other frame of each pair: round(U * most_frames) away, not beyond the clip's ends.

        Of a far pair it is most_frames + 1 or more away, on the other side where the one that was
        drawn has no such frame; `first` must have one.
        """
        back, share = generator.random(len(first)) < 0.5, generator.random(len(first))
        before, behind = self._room(first)
        least = self.most_frames + 1
        back = np.where(near, back, (back & (before >= least)) | (behind < least))
        room = np.where(back, before, behind)
        far = least + np.rint(share * (room - least))
        distance = np.where(near, np.rint(share * self.most_frames), far).astype(np.int64)
        second: np.ndarray = first + np.where(back, -1, 1) * np.minimum(distance, room)
        return second

    def _motion(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return self.classes(relative_motion(self.poses[first], self.poses[second], self.frame))

    def _crops(self, index: np.ndarray, y0: np.ndarray, x0: np.ndarray) -> Tensor:
        image, top, left = (torch.from_numpy(v) for v in (index, y0, x0))
        upright = torch.zeros(len(index), dtype=torch.bool)
        return self.images.integer_crops(image, top, left, upright, self.side, self.device)


class ViewPairs:
    """Two views of one image, each shifted and turned at random; both are interpolated.

    Args:
        crops: the images; its side is that of the window, see `window_side`.
        side: of a view, in pixels.
        most_shift: largest distance of two views along an axis, in pixels.
        most_turn: largest angle between two views, in radians.
        class_counts: of the shift along x, along y and of the turn: equal parts of their ranges.
    """

    names = ("x", "y", "turn")

    def __init__(
        self,
        crops: Crops,
        *,
        side: int,
        most_shift: float,
        most_turn: float,
        class_counts: tuple[int, int, int],
    ) -> None:
        self.crops, self.side = crops, side
        self.most = np.array((most_shift, most_shift, most_turn))
        self.class_counts = class_counts
        self.count = len(crops.training)

    def draw(self, generator: np.random.Generator, count: int, *, held_out: bool) -> PairDraw:
        """Uniform images, windows, and shifts and turns of both views."""
        among = self.crops.held_out if held_out else self.crops.training
        index = among[generator.integers(0, len(among), count)]
        limits = np.stack((self.crops.heights[index], self.crops.widths[index]), axis=1)
        corners = (generator.random((count, 2)) * (limits - self.crops.side + 1)).astype(np.int64)
        flip = generator.random(count) < 0.5
        views = (generator.random((2, count, 3)) - 0.5) * self.most

        def images(own: slice) -> tuple[Tensor, Tensor]:
            parts = (index[own], corners[own, 0], corners[own, 1], flip[own])
            image, y0, x0, mirrored = (torch.from_numpy(part) for part in parts)
            windows = self.crops.images.integer_crops(
                image, y0, x0, mirrored, self.crops.side, self.crops.device
            ).float()
            one, other = (self._view(windows, view[own]) for view in views)
            return one, other

        return PairDraw(self._classes(*views), images)

    def _view(self, windows: Tensor, view: np.ndarray) -> Tensor:
        values = torch.from_numpy(view).float().to(windows.device)
        return shifted_and_turned(windows, values[:, :2], values[:, 2], self.side)

    def _classes(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(N, 3): the motion of the second view along the axes of the first, in equal parts."""
        moved = second - first
        cosine, sine = np.cos(first[:, 2]), np.sin(first[:, 2])
        x, y = moved[:, 0], moved[:, 1]
        seen = np.stack((cosine * x + sine * y, cosine * y - sine * x, moved[:, 2]), axis=1)
        counts = np.array(self.class_counts)
        parts = np.floor((seen / self.most + 1) / 2 * counts).astype(np.int64)
        clipped: np.ndarray = parts.clip(0, counts - 1)
        return clipped


def find_clips(
    given: DataOptions, held_out_share: float
) -> tuple[Path, list[CameraClip], list[CameraClip]]:
    """The folder of --data, the clips to learn from and the held-out ones."""
    if len(given.data) != 1 or not is_kitti(given.data[0]):
        raise InputError(ONE_DRIVE)
    if given.exclude:
        raise InputError(
            "--exclude: egomotion compares KITTI's frames with no photographs; leave it out"
        )
    root = given.data[0]
    return root, *split_clips(find_camera_clips(root), held_out_share)


def check_far_frames(clips: Sequence[CameraClip], most_frames: int, whose: str) -> None:
    """InputError unless a clip has two frames more than `most_frames` apart."""
    longest = max(len(clip.frames) for clip in clips)
    if longest < most_frames + 2:
        raise InputError(
            f"{whose}, the longest has {longest} frames; objective=slowness needs "
            f"{most_frames + 2} with most_frames={most_frames}"
        )


def check_frame_sizes(clips: Sequence[CameraClip], short_side: int) -> None:
    """InputError unless the frames of each clip have one size where `short_side` pixels are theirs.

    Reads the heads of the files alone.
    """
    with ThreadPoolExecutor() as pool:
        for clip in clips:
            photos = [Photo(frame) for frame in clip.frames]
            sizes = list(pool.map(lambda photo: photo.dimensions(short_side), photos))
            for frame, size in zip(clip.frames, sizes, strict=True):
                if size != sizes[0]:
                    raise InputError(
                        f"{frame}: {size[0]} x {size[1]} pixels at short_side={short_side}, but "
                        f"{sizes[0][0]} x {sizes[0][1]} the first of its clip; a crop needs one "
                        "place in all frames of a clip"
                    )


def frames_and_files(
    root: Path, training: list[CameraClip], held_out: list[CameraClip]
) -> tuple[list[Path], list[Path]]:
    """The frames of the clips in turn, and all files with the tables of poses learned from."""
    frames = [frame for clip in (*training, *held_out) for frame in clip.frames]
    tables = {root / "poses" / f"{clip.sequence}.txt" for clip in training}
    return frames, [*frames, *sorted(tables)]
