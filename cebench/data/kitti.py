"""The layout of KITTI's odometry benchmark: frames of one or two cameras, and their poses.

ROOT/sequences/03/image_2/000000.png ... (image_3 beside it; or image_0, a grey camera)
ROOT/poses/03.txt                        a line for each frame
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from cebench.data.images import image_files
from cebench.data.poses import Poses, read_poses
from cebench.errors import InputError

logger = logging.getLogger("cebench")

COLOUR_CAMERAS = ("image_2", "image_3")
GREY_CAMERAS = ("image_0", "image_1")
HELD_OUT_SEQUENCES = ("06", "09")
"""The source's test sequences."""


@dataclass(frozen=True)
class CameraClip:
    """Consecutive frames of one camera and the pose of each."""

    sequence: str
    camera: str
    frames: tuple[Path, ...]
    poses: Poses

    @property
    def name(self) -> str:
        """The sequence and the camera, `SEQUENCE/CAMERA`."""
        return f"{self.sequence}/{self.camera}"

    def part(self, start: int, stop: int) -> "CameraClip":
        """The frames start .. stop - 1."""
        return replace(self, frames=self.frames[start:stop], poses=self.poses[start:stop])


def is_kitti(root: Path) -> bool:
    """Whether `root` looks like KITTI's odometry benchmark."""
    return (root / "sequences").is_dir()


def find_camera_clips(root: Path) -> list[CameraClip]:
    """The clips of every sequence that has poses: both colour cameras, or else the grey ones.

    Sequences without poses (KITTI's 11 to 21) are left out and named in a log line.

    Raises:
        InputError: no sequence has poses, a sequence has no frames, one frame only, or another
            number of frames than of poses.
    """
    folders = sorted(p for p in (root / "sequences").iterdir() if p.is_dir())
    if not folders:
        raise InputError(f"{root / 'sequences'}: expected KITTI's folders 00, 01 ...; found none")
    clips, without = [], []
    for folder in folders:
        poses = root / "poses" / f"{folder.name}.txt"
        if poses.is_file():
            clips += _clips(folder, read_poses(poses), poses)
        else:
            without.append(folder.name)
    if not clips:
        raise InputError(
            f"{root}: no poses for the sequences {', '.join(without)}; expected "
            f"{root / 'poses' / (without[0] + '.txt')}"
        )
    if without:
        logger.info(f"{root}: sequences {', '.join(without)} have no poses and are left out")
    return clips


def split_clips(
    clips: list[CameraClip], held_out_share: float
) -> tuple[list[CameraClip], list[CameraClip]]:
    """Clips to learn from and held-out ones: the source's sequences 06 and 09 where all is there.

    Without these, or with nothing else, it is the last `held_out_share` of every clip's frames.
    InputError where a part would have fewer than two frames.
    """
    held_out = [clip for clip in clips if clip.sequence in HELD_OUT_SEQUENCES]
    training = [clip for clip in clips if clip.sequence not in HELD_OUT_SEQUENCES]
    if held_out and training:
        return training, held_out
    training, held_out = [], []
    for clip in clips:
        count = len(clip.frames)
        first = count - max(2, round(held_out_share * count))
        if first < 2:
            raise InputError(
                f"clip {clip.name} has {count} frames: too few to learn from some and hold out "
                "others; at least 4 are needed"
            )
        training.append(clip.part(0, first))
        held_out.append(clip.part(first, count))
    return training, held_out


def _clips(folder: Path, poses: Poses, path: Path) -> list[CameraClip]:
    names = [n for n in COLOUR_CAMERAS if (folder / n).is_dir()]
    names = names or [n for n in GREY_CAMERAS if (folder / n).is_dir()]
    if not names:
        expected = ", ".join((*COLOUR_CAMERAS, *GREY_CAMERAS))
        raise InputError(f"{folder}: has none of the cameras {expected}")
    return [_clip(folder / name, poses, path) for name in names]


def _clip(camera: Path, poses: Poses, path: Path) -> CameraClip:
    frames = tuple(image_files(camera))
    if len(frames) != len(poses):
        raise InputError(
            f"{camera}: {len(frames)} frames, but {path} has {len(poses)} poses; "
            "every frame needs its line"
        )
    if len(frames) < 2:
        raise InputError(f"{camera}: a clip of one frame shows no motion; at least 2 are needed")
    return CameraClip(camera.parent.name, camera.name, frames, poses)
