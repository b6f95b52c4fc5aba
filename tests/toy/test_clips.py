"""Toy clips and drives: layouts, masks, and poses that explain what the cameras see."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cebench.data.kitti import find_camera_clips
from cebench.toy.clips import draw_clip
from cebench.toy.drives import BASELINE, EYE, FOCAL, HEIGHT, WIDTH, Drive, draw_drive
from cebench.toy.trees import write_davis_clip, write_kitti_sequence


@pytest.fixture(scope="module")
def drive() -> Drive:
    return draw_drive(0, 0, 8)


def test_the_same_seed_draws_the_same(drive: Drive) -> None:
    again, other = draw_drive(0, 0, 8), draw_drive(1, 0, 8)
    assert all((a == b).all() for a, b in zip(drive.left, again.left, strict=True))
    assert (drive.left[0] != other.left[0]).any()
    clips = [draw_clip(seed, 0, 3).frames[2] for seed in (0, 0, 1)]
    assert (clips[0] == clips[1]).all()
    assert (clips[0] != clips[2]).any()


def test_poses_begin_at_the_origin_and_are_rotations_about_the_vertical(drive: Drive) -> None:
    rotations, places = drive.poses[:, :, :3], drive.poses[:, :, 3]
    np.testing.assert_array_equal(drive.poses[0], np.eye(3, 4))
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1), np.eye(3) + 0 * rotations, atol=1e-12
    )
    assert (places[:, 1] == 0).all()
    assert (np.diff(places[:, 2]) > 0.3).all()


@pytest.mark.parametrize("other", ["next frame", "right camera"])
def test_the_road_moves_as_the_pose_says(drive: Drive, other: str) -> None:
    """The road is the plane y = EYE, which a homography of the relative pose carries over."""
    intrinsics = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    rotation, shift = np.eye(3), np.array([BASELINE, 0, 0])
    seen = drive.right[0]
    if other == "next frame":
        rotation, shift, seen = drive.poses[1, :, :3], drive.poses[1, :, 3], drive.left[1]
    plane = np.outer(shift, (0, 1, 0)) / EYE
    carried = intrinsics @ rotation.T @ (np.eye(3) - plane) @ np.linalg.inv(intrinsics)
    warped = cv2.warpPerspective(drive.left[0], carried, (WIDTH, HEIGHT))
    road = (slice(HEIGHT - 14, HEIGHT - 4), slice(60, WIDTH - 60))
    error = np.abs(warped[road].astype(float) - seen[road]).mean()
    unmoved = np.abs(drive.left[0][road].astype(float) - seen[road]).mean()
    assert error < 0.6 * unmoved


def test_drives_are_read_as_kitti(drive: Drive, tmp_path: Path) -> None:
    write_kitti_sequence(tmp_path, "03", drive)
    clips = find_camera_clips(tmp_path)
    assert [clip.name for clip in clips] == ["03/image_2", "03/image_3"]
    np.testing.assert_allclose(clips[0].poses, drive.poses, atol=1e-8)
    for clip, frames in zip(clips, (drive.left, drive.right), strict=True):
        with Image.open(clip.frames[5]) as image:
            np.testing.assert_array_equal(np.array(image), frames[5])


def test_masks_follow_the_thing_across_the_picture(tmp_path: Path) -> None:
    clip = draw_clip(0, 1, 32)
    write_davis_clip(tmp_path, "clip-1", clip)
    middles = []
    for number in range(32):
        with Image.open(tmp_path / "Annotations/480p/clip-1" / f"{number:05d}.png") as image:
            assert image.mode == "P"
            mask = np.array(image)
        assert set(np.unique(mask)) == {0, 1}
        middles.append(np.nonzero(mask)[1].mean())
    steps = np.diff(middles)
    assert (steps > 0).all() or (steps < 0).all()
    assert abs(middles[-1] - middles[0]) == pytest.approx(0.4 * 214, abs=3)
    assert len(list((tmp_path / "JPEGImages/480p/clip-1").glob("*.jpg"))) == 32


def test_the_background_moves_against_the_pan() -> None:
    """24 pixels in a clip: the last frame shows at x what the first shows at x + 24."""
    clip = draw_clip(0, 0, 32)
    free = ~(clip.masks[0][:, 24:] | clip.masks[-1][:, :-24]).astype(bool)
    first, last = clip.frames[0][:, 24:].astype(float), clip.frames[-1][:, :-24].astype(float)
    assert np.abs(first - last)[free].mean() < 4
