"""Clips: videos, or folders of frames, read a few seconds at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cebench.data.images import IMAGE_SUFFIXES, image_files, read_image
from cebench.data.listing import files_below
from cebench.errors import InputError

VIDEO_SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".mpg", ".webm")
MOST_FRAME_SIDE = 8192
"""Pixels; a video that declares more is refused."""

Frame = NDArray[np.uint8]
"""(H, W, 3) RGB."""


@dataclass(frozen=True)
class Clip:
    """A video file, or a folder whose image files are consecutive frames."""

    path: Path
    name: str
    """Relative to its source, with /."""

    @property
    def files(self) -> list[Path]:
        """The video, or the frames in their order."""
        if self.path.is_dir():
            return [path for path in image_files(self.path) if path.parent == self.path]
        return [self.path]

    def frames(self) -> Iterator[Frame]:
        """Every frame in turn; InputError if one cannot be read."""
        if self.path.is_dir():
            yield from map(read_image, self.files)
            return
        video = cv2.VideoCapture(str(self.path))
        try:
            sides = [video.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
            if not video.isOpened() or not 0 < min(sides) <= max(sides) <= MOST_FRAME_SIDE:
                raise InputError(f"{self.path}: not a video that OpenCV can read; re-encode it")
            while (found := video.read())[0]:
                yield np.asarray(found[1][:, :, ::-1], dtype=np.uint8)
        finally:
            video.release()


def find_clips(sources: Sequence[Path]) -> list[Clip]:
    """Every video and every folder of frames below the sources, sorted by name.

    Of a folder in DAVIS's layout only JPEGImages counts; links are followed, hidden folders left
    out.

    Raises:
        InputError: a source does not exist or holds no clip; a link leads nowhere or in a circle.
    """
    clips = []
    for source in sources:
        if not source.exists():
            raise InputError(f"{source}: no such video or folder of frames")
        found = _below(source / "JPEGImages" if (source / "JPEGImages").is_dir() else source)
        if not found:
            raise InputError(
                f"{source}: found neither videos ({', '.join(VIDEO_SUFFIXES)}) nor folders of "
                "frames"
            )
        clips += [Clip(path, path.relative_to(source.parent).as_posix()) for path in found]
    return clips


def segments(clip: Clip, length: int, short_side: int) -> Iterator[list[Frame]]:
    """The clip in parts of `length` consecutive frames, each with its shorter side at `short_side`.

    One part is in memory at a time; frames that do not fill a part are left out.

    Raises:
        InputError: the clip has a single frame or frames of two sizes, or one cannot be read.
    """
    part: list[Frame] = []
    count, shape = 0, None
    for frame in clip.frames():
        if shape not in (None, frame.shape):
            raise InputError(f"{clip.path}: frames of different sizes are no clip; leave it out")
        count, shape = count + 1, frame.shape
        part.append(_resized(frame, short_side))
        if len(part) == length:
            yield part
            part = []
    if count < 2:
        raise InputError(f"{clip.path}: a clip of {count} frames shows no motion; give longer ones")


def _below(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() in VIDEO_SUFFIXES else []
    folders, videos = set(), set()
    for path in files_below(source):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            folders.add(path.parent)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            videos.add(path)
    return sorted(folders | videos)


def _resized(frame: Frame, short_side: int) -> Frame:
    height, width = frame.shape[:2]
    factor = short_side / min(height, width)
    size = (max(short_side, round(width * factor)), max(short_side, round(height * factor)))
    if size == (width, height):
        return frame
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, size, interpolation=how), dtype=np.uint8)
