from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data.kitti import find_camera_clips, is_kitti, split_clips
from cebench.errors import InputError


def make(root: Path, sequence: str, cameras: tuple[str, ...], frames: int, poses: int) -> None:
    for camera in cameras:
        folder = root / "sequences" / sequence / camera
        folder.mkdir(parents=True)
        for number in range(frames):
            Image.new("L", (8, 4), number).save(folder / f"{number:06d}.png")
    (root / "poses").mkdir(exist_ok=True)
    if poses:
        lines = np.tile(np.eye(3, 4), (poses, 1, 1))
        lines[:, 2, 3] = np.arange(poses)
        np.savetxt(root / "poses" / f"{sequence}.txt", lines.reshape(poses, 12))


def test_colour_cameras_come_before_grey_ones(tmp_path: Path) -> None:
    make(tmp_path, "00", ("image_0", "image_1", "image_2", "image_3"), 5, 5)
    make(tmp_path, "03", ("image_0",), 4, 4)
    assert is_kitti(tmp_path)
    clips = find_camera_clips(tmp_path)
    assert [clip.name for clip in clips] == ["00/image_2", "00/image_3", "03/image_0"]
    assert [path.name for path in clips[2].frames] == [f"00000{n}.png" for n in range(4)]


def test_sequences_06_and_09_are_held_out(tmp_path: Path) -> None:
    for sequence in ("00", "06", "09", "10"):
        make(tmp_path, sequence, ("image_2",), 3, 3)
    training, held_out = split_clips(find_camera_clips(tmp_path), 0.1)
    assert [clip.sequence for clip in training] == ["00", "10"]
    assert [clip.sequence for clip in held_out] == ["06", "09"]


@pytest.mark.parametrize("sequence", ["03", "06"])
def test_the_last_frames_of_a_lone_sequence_are_held_out(tmp_path: Path, sequence: str) -> None:
    make(tmp_path, sequence, ("image_2",), 30, 30)
    training, held_out = split_clips(find_camera_clips(tmp_path), 0.1)
    assert (len(training[0].frames), len(held_out[0].frames)) == (27, 3)
    assert held_out[0].frames[0].name == "000027.png"
    np.testing.assert_array_equal(held_out[0].poses[:, 2, 3], [27, 28, 29])


def test_sequences_without_poses_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "03", ("image_2",), 4, 4)
    make(tmp_path, "11", ("image_2",), 4, 0)
    with caplog.at_level("INFO", logger="cebench"):
        clips = find_camera_clips(tmp_path)
    assert [clip.sequence for clip in clips] == ["03"]
    assert "sequences 11 have no poses" in caplog.text


@pytest.mark.parametrize(
    ("cameras", "frames", "poses", "message"),
    [
        (("image_2",), 5, 0, "no poses for the sequences 03"),
        (("image_2",), 5, 4, "5 frames, but .* has 4 poses"),
        (("image_2",), 1, 1, "a clip of one frame"),
        (("image_9",), 3, 3, "none of the cameras"),
    ],
)
def test_what_does_not_match_is_one_line(
    tmp_path: Path, cameras: tuple[str, ...], frames: int, poses: int, message: str
) -> None:
    make(tmp_path, "03", cameras, frames, poses)
    with pytest.raises(InputError, match=message) as caught:
        find_camera_clips(tmp_path)
    assert "\n" not in str(caught.value)


def test_too_short_a_clip_to_hold_frames_out(tmp_path: Path) -> None:
    make(tmp_path, "03", ("image_2",), 3, 3)
    with pytest.raises(InputError, match="at least 4 are needed"):
        split_clips(find_camera_clips(tmp_path), 0.1)
