"""Motion windows, mining and lists, on toy clips whose moving thing is known."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data import tracked_patches
from cebench.data.motion_windows import MotionSearch, busiest_window, moving_points, tracked_pair
from cebench.data.tracked_patches import mine_pairs, read_pairs
from cebench.errors import CebenchError, InputError
from cebench.toy.clips import ToyClip, draw_clip
from cebench.toy.trees import write_davis_clip

SEARCH = MotionSearch(window=60, least_moving=0.01, most_moving=0.9)


@pytest.fixture(scope="module")
def toy() -> ToyClip:
    return draw_clip(0, 1, 16)


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory, toy: ToyClip) -> Path:
    root = tmp_path_factory.mktemp("davis")
    for number in range(2):
        write_davis_clip(root, f"clip-{number}", toy)
    return root


def mine(davis: Path, out: Path) -> int:
    return mine_pairs([davis], out, SEARCH, frames=8, short_side=120)


def digests(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_moving_points_lie_on_the_thing_that_moves(toy: ToyClip) -> None:
    points, share = moving_points(toy.frames[0], toy.frames[1])
    on_it = toy.masks[0][points[:, 1].astype(int), points[:, 0].astype(int)]
    assert 0.02 < share < 0.9
    assert on_it.mean() > 3 * toy.masks[0].mean()


def test_a_still_clip_has_no_moving_points() -> None:
    frame = draw_clip(0, 0, 2).frames[0]
    assert moving_points(frame, frame)[1] == 0
    assert moving_points(np.zeros_like(frame), np.zeros_like(frame))[1] == 0
    assert tracked_pair([frame, frame], SEARCH) is None


def test_the_busiest_window_is_the_loops() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform((0, 0), (50, 40), (30, 2)).astype(np.float32)
    x, y = busiest_window(points, 40, 50, 12)

    def inside(a: int, b: int) -> int:
        columns, rows = points.astype(int).T
        return int(((a <= columns) & (columns < a + 12) & (b <= rows) & (rows < b + 12)).sum())

    assert 0 <= x <= 38
    assert 0 <= y <= 28
    assert inside(x, y) == max(inside(a, b) for a in range(39) for b in range(29))


@pytest.mark.parametrize("tracker", ["kcf", "csrt"])
def test_the_tracker_follows_the_thing(toy: ToyClip, tracker: str) -> None:
    pair = tracked_pair(toy.frames[:10], MotionSearch(60, 0.01, 0.9, tracker))  # type: ignore[arg-type]
    assert pair is not None
    assert [patch.shape for patch in pair] == [(60, 60, 3)] * 2
    first, last = (patch.astype(float) for patch in pair)
    standing = toy.frames[9][30:90, 60:120].astype(float)
    assert np.abs(first - last).mean() < np.abs(first - standing).mean()


def test_mined_pairs_are_read_again(
    davis: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert mine(davis, tmp_path / "out") == 4
    assert not caplog.records  # So many can be learned from.
    pairs, tracks = read_pairs(tmp_path / "out")
    assert tracks.tolist() == [0, 1, 2, 3]
    for files in pairs:
        for file in files:
            with Image.open(file) as patch:
                assert patch.size == (60, 60)
    assert read_pairs(tmp_path / "out" / "pairs.txt")[0] == pairs
    assert json.loads((tmp_path / "out" / "motion.json").read_text())["tracker"] == "kcf"


def test_three_pairs_are_too_few_and_it_says_so(
    davis: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine(davis, tmp_path / "out")
    listing = tmp_path / "out" / "pairs.txt"
    listing.write_text("".join(listing.read_text().splitlines(keepends=True)[: 2 * 3]))
    assert mine(davis, tmp_path / "out") == 3
    assert "needs 4 pairs or more" in caplog.text


def test_a_broken_off_mining_ends_with_the_same_bytes(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine(davis, tmp_path / "straight")
    calls, track = [0], tracked_patches.tracked_pair

    def breaks(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] == 4:
            raise CebenchError("power cut")
        return track(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(tracked_patches, "tracked_pair", breaks)
        with pytest.raises(CebenchError, match="power cut"):
            mine(davis, tmp_path / "out")
    assert not (tmp_path / "out" / "pairs.txt").exists()
    calls[0] = 10
    with monkeypatch.context() as patch:
        patch.setattr(tracked_patches, "tracked_pair", breaks)
        mine(davis, tmp_path / "out")
    assert calls[0] == 12  # The first clip was not done again.
    assert digests(tmp_path / "out") == digests(tmp_path / "straight")


def test_a_finished_mining_returns_at_once_and_another_is_refused(
    davis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine(davis, tmp_path / "out")
    monkeypatch.setattr(tracked_patches, "tracked_pair", None)
    assert mine(davis, tmp_path / "out") == 4
    with pytest.raises(InputError, match="mined with other frames"):
        mine_pairs([davis], tmp_path / "out", SEARCH, frames=9, short_side=120)


def test_clips_that_changed_under_their_names_are_not_the_ones_that_were_mined(
    davis: Path, tmp_path: Path
) -> None:
    source = tmp_path / "copy" / davis.name
    shutil.copytree(davis, source)
    assert mine(source, tmp_path / "out") == 4
    assert mine(davis, tmp_path / "out") == 4  # the same clips elsewhere
    frame = min(source.rglob("*.jpg"))
    with Image.open(frame) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(frame, quality=50)
    with pytest.raises(InputError, match="mined with other bytes"):
        mine(source, tmp_path / "out")


def test_no_motion_is_one_line(tmp_path: Path) -> None:
    frame = draw_clip(0, 0, 1).frames[0]
    still = ToyClip([frame] * 8, [frame[..., 0]] * 8)
    write_davis_clip(tmp_path / "davis", "still", still)
    with pytest.raises(InputError, match="no motion found in 1 clips") as caught:
        mine(tmp_path / "davis", tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 1\nb.jpg 2\n", "lines 1 and 2 are a pair but name different tracks"),
        ("a.jpg 1\nb.jpg 1\nc.jpg 2\n", "3 lines; expected two for every pair"),
        ("a.jpg\nb.jpg 1\n", "line 1: expected FILE TRACK"),
        ("a.jpg x\nb.jpg 1\n", "line 1: expected FILE TRACK"),
        ("a.jpg --5\nb.jpg --5\n", "line 1: expected FILE TRACK"),
        (f"a.jpg {10**19}\nb.jpg {10**19}\n", "line 1: expected FILE TRACK"),
        ("", "0 lines"),
    ],
)
def test_bad_lists_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(tmp_path / "list.txt")
    assert "\n" not in str(caught.value)


def test_the_published_form_may_name_a_track_twice_and_folders_with_blanks(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a b/1.jpg 7\na b/2.jpg 7\nc/1.jpg 7\nc/2.jpg 7\n")
    pairs, tracks = read_pairs(tmp_path / "list.txt")
    assert pairs[0][0] == tmp_path / "a b" / "1.jpg"
    assert tracks.tolist() == [7, 7]


def test_bounds_that_no_frame_meets_are_refused() -> None:
    with pytest.raises(InputError, match=r"least_moving 0.8 is above most_moving 0.5"):
        MotionSearch(60, 0.8, 0.5)
