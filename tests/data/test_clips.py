from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cebench.data.clips import Clip, find_clips, segments
from cebench.errors import InputError


def write_frames(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(folder / f"{number:05d}.png")
    return folder


def test_davis_frames_are_clips_and_its_masks_are_not(tmp_path: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        for name in ("bear", "car"):
            write_frames(tmp_path / "DAVIS" / kind / "480p" / name, 2)
    clips = find_clips([tmp_path / "DAVIS"])
    assert [clip.path.name for clip in clips] == ["bear", "car"]
    assert len({clip.name for clip in clips}) == 2


def test_videos_give_their_frames_as_rgb(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for shade in (50, 200):
        writer.write(np.full((48, 64, 3), (0, 0, shade), np.uint8))
    writer.release()
    (clip,) = find_clips([path])
    frames = list(clip.frames())
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 2
    assert [int(frame[..., 0].mean()) for frame in frames] == pytest.approx([50, 200], abs=8)
    assert frames[1][..., 2].mean() < 20


def test_segments_are_whole_and_resized(tmp_path: Path) -> None:
    clip = Clip(write_frames(tmp_path / "a", 8), "a")
    parts = list(segments(clip, 3, 60))
    assert [len(part) for part in parts] == [3, 3]
    assert parts[0][0].shape == (60, 80, 3)
    assert [int(frame[0, 0, 0]) for part in parts for frame in part] == [0, 1, 2, 3, 4, 5]


def test_frames_shrink_by_averaging(tmp_path: Path) -> None:
    """Else what is thin would flicker, and flicker counts as motion."""
    folder = tmp_path / "a"
    folder.mkdir()
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for number in range(2):
        Image.fromarray(frame).save(folder / f"{number}.png")
    ((shrunk, _),) = segments(Clip(folder, "a"), 2, 15)
    averages = frame.reshape(15, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - averages).max() <= 0.5


@pytest.mark.parametrize("count", [1])
def test_a_clip_of_one_frame_is_one_line(tmp_path: Path, count: int) -> None:
    clip = Clip(write_frames(tmp_path / "a", count), "a")
    with pytest.raises(InputError, match="a clip of 1 frames shows no motion") as caught:
        list(segments(clip, 3, 60))
    assert "\n" not in str(caught.value)


def test_frames_of_two_sizes_are_one_line(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "a", 4)
    Image.new("RGB", (41, 30)).save(folder / "00002.png")
    with pytest.raises(InputError, match="a: frames of different sizes are no clip"):
        list(segments(Clip(folder, "a"), 2, 60))


def test_linked_clips_are_found_and_hidden_ones_left_out(tmp_path: Path) -> None:
    write_frames(tmp_path / "elsewhere" / "bear", 2)
    write_frames(tmp_path / "clips" / ".trash" / "car", 2)
    (tmp_path / "clips" / "linked").symlink_to(tmp_path / "elsewhere")
    (clip,) = find_clips([tmp_path / "clips"])
    assert clip.name == "clips/linked/bear"
    assert len(list(clip.frames())) == 2


def test_what_is_no_clip_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such video"):
        find_clips([tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found neither videos"):
        find_clips([tmp_path / "empty"])
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    (clip,) = find_clips([tmp_path / "broken.mp4"])
    with pytest.raises(InputError, match="not a video that OpenCV can read"):
        next(clip.frames())
