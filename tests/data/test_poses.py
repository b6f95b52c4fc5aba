"""Pose maths against scipy's rotations, and the files that hold poses."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cebench.data.poses import (
    MotionClasses,
    Poses,
    read_poses,
    relative_motion,
)
from cebench.errors import InputError


def random_poses(count: int, seed: int = 0) -> Poses:
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, random_state=seed).as_matrix()
    return np.concatenate((rotations, rng.normal(size=(count, 3, 1))), axis=2)


def test_yaw_is_scipys_middle_euler_angle() -> None:
    first, second = random_poses(50, 0), random_poses(50, 1)
    turned = Rotation.from_matrix(second[:, :, :3]).inv() * Rotation.from_matrix(first[:, :, :3])
    expected = turned.as_euler("XYZ")[:, 1]
    np.testing.assert_allclose(relative_motion(first, second, "sequence")[:, 2], expected)


def test_translation_is_that_of_the_sequence_or_of_the_camera() -> None:
    first, second = random_poses(20, 2), random_poses(20, 3)
    moved = second[:, :, 3] - first[:, :, 3]
    np.testing.assert_allclose(relative_motion(first, second, "sequence")[:, :2], moved[:, [0, 2]])
    own = Rotation.from_matrix(first[:, :, :3]).inv().apply(moved)
    np.testing.assert_allclose(relative_motion(first, second, "camera")[:, :2], own[:, [0, 2]])


def test_a_car_that_faces_right_and_drives_on_moves_ahead_in_its_own_axes() -> None:
    """Yaw 90 degrees about y (down): the camera's z axis is the sequence's x axis."""
    facing_right = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    start = np.concatenate((facing_right, np.zeros((3, 1))), axis=1)[None]
    ahead = start.copy()
    ahead[0, :, 3] = (2, 0, 0)
    np.testing.assert_allclose(relative_motion(start, ahead, "sequence")[0], (2, 0, 0), atol=1e-12)
    np.testing.assert_allclose(relative_motion(start, ahead, "camera")[0], (0, 2, 0), atol=1e-12)


def test_classes_are_the_sources_bins() -> None:
    """In units of the larger deviation of x and z; 20 edges from -10 to 10, 20/19 apart."""
    classes = MotionClasses(np.array([1.0, 0, 0]), np.array([2.0, 2.0, 0.5]))
    motions = np.array([[1.0, 0, 0], [1 + 2 * 10.1, -2 * 10.1, 0.5 * 0.6], [1 + 2 * 9.9, -19.9, 9]])
    np.testing.assert_array_equal(classes(motions), [[10, 10, 10], [20, 0, 11], [19, 1, 20]])


def test_classes_are_fitted_on_consecutive_frames() -> None:
    """Steps of 1, 2 and 3 m ahead, then of 4: mean 2.5, deviation sqrt(5)/2; nothing sideways."""

    def straight(places: list[float]) -> Poses:
        poses = np.tile(np.eye(3, 4), (len(places), 1, 1))
        poses[:, 2, 3] = places
        return poses

    classes = MotionClasses.of_consecutive([straight([0, 1, 3, 6]), straight([0, 4])], "sequence")
    np.testing.assert_allclose(classes.mean, (0, 2.5, 0))
    np.testing.assert_allclose(classes.scale[:2], 5**0.5 / 2)


def test_poses_are_read_row_by_row(tmp_path: Path) -> None:
    path, poses = tmp_path / "00.txt", random_poses(3)
    np.savetxt(path, poses.reshape(3, 12))
    np.testing.assert_allclose(read_poses(path), poses)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0 0 0 1 0 0 0 0 1\n", "expected 12 numbers"),
        ("1 0 0 0 0 1 0 0 0 0 1 0\n1 0\n", "expected 12 numbers"),
        ("a 0 0 0 0 1 0 0 0 0 1 0\n", "expected 12 numbers"),
        ("", "at least one line"),
        ("nan 0 0 0 0 1 0 0 0 0 1 0\n", "finite"),
        ("1 0 0 0 0 1 0 0 0 0 1 0\n2 0 0 0 0 1 0 0 0 0 1 0\n", "line 2 holds no rotation"),
    ],
)
def test_bad_pose_files_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "00.txt").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_poses(tmp_path / "00.txt")
    assert "\n" not in str(caught.value)
