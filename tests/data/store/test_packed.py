import hashlib
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from cebench.data.overlap import identify
from cebench.data.photos import Photo
from cebench.data.store.manifest import damaged_files, is_store
from cebench.data.store.packed import open_store
from cebench.data.store.packing import prepare_store
from cebench.data.store.ragged import load_ragged
from cebench.errors import CebenchError, InputError

KILLS = 3

Process = subprocess.Popen[str]


def noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """cat/0.png, cat/1.jpg, dog/2.png of different sizes."""
    folder = tmp_path / "photos"
    for name, size in (("cat/0.png", (40, 60)), ("cat/1.jpg", (50, 30)), ("dog/2.png", (8, 9))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(ord(name[-5]), *size)).save(folder / name)
    return folder


def contents(store: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(store.iterdir())
    }


def test_a_store_holds_what_decoding_the_files_gives(photos: Path, tmp_path: Path) -> None:
    manifest = prepare_store([photos], tmp_path / "store", short_side=20)
    store = open_store(tmp_path / "store")
    files = sorted(photos.rglob("*.*"))
    decoded = load_ragged([Photo(path, upright=True) for path in files], short_side=20)
    assert manifest.images == len(store) == 3
    assert store.images.heights.tolist() == [20, 33, 20]
    assert store.images.widths.tolist() == [30, 20, 22]
    np.testing.assert_array_equal(store.images.pixels, decoded.pixels)
    assert store.names == ["cat/0.png", "cat/1.jpg", "dog/2.png"]
    assert store.categories == ["cat", "cat", "dog"]
    known = identify([Photo(path) for path in files])
    assert store.identities.sha256 == list(known.sha256)
    np.testing.assert_array_equal(store.identities.signatures, known.signatures)
    assert damaged_files(tmp_path / "store", lambda done, total: None) == []


def test_original_sizes_are_kept_on_request(photos: Path, tmp_path: Path) -> None:
    prepare_store([photos], tmp_path / "store", short_side=None)
    images = open_store(tmp_path / "store").images
    np.testing.assert_array_equal(images.image(2).numpy(), noise(ord("2"), 8, 9))


def test_the_number_of_processes_changes_no_byte(photos: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        prepare_store([photos], tmp_path / str(workers), short_side=20, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_finished_store_is_returned_and_another_origin_refused(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    manifest = prepare_store([photos], out, short_side=20)
    written = contents(out)
    assert prepare_store([photos], out, short_side=20) == manifest
    with pytest.raises(InputError, match="a store with short_side 20, not 10"):
        prepare_store([photos], out, short_side=10)
    with pytest.raises(InputError, match="a store with sources"):
        prepare_store([photos / "cat"], out, short_side=20)
    assert contents(out) == written


def test_one_process_writes_a_store_at_a_time(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    out.mkdir()
    with (
        FileLock(out / "store.lock"),
        pytest.raises(InputError, match="another process is writing this store"),
    ):
        prepare_store([photos], out, short_side=20)
    assert prepare_store([photos], out, short_side=20).images == 3


def test_a_folder_with_other_files_is_left_alone(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds files but no store"):
        prepare_store([photos], photos, short_side=20)
    assert sorted(path.name for path in photos.iterdir()) == ["cat", "dog"]


def spoil(photos: Path) -> None:
    (photos / "cat" / "1.jpg").write_bytes(b"<html>404</html>")
    (photos / "dog" / "3.png").write_bytes(b"")


def test_a_bad_image_stops_the_work_or_is_listed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    spoil(photos)
    with pytest.raises(InputError, match=r"1\.jpg is not an image.*--on-bad-image skip"):
        prepare_store([photos], out, short_side=20)
    with pytest.raises(InputError, match="an unfinished store"):
        open_store(out)
    manifest = prepare_store([photos], out, short_side=20, skip_bad=True)
    assert (manifest.images, manifest.skipped) == (2, 2)
    assert open_store(out).names == ["cat/0.png", "dog/2.png"]
    header, *lines = (out / "skipped.csv").read_text().splitlines()
    assert header == "name,reason"
    assert [line.split(",")[0] for line in lines] == ["cat/1.jpg", "dog/3.png"]
    assert "is not an image" in lines[0]
    with pytest.raises(InputError, match="lacks 2 unreadable images"):
        prepare_store([photos], out, short_side=20)


def test_a_store_of_nothing_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    with pytest.raises(InputError, match="no image could be read"):
        prepare_store([tmp_path / "photos"], tmp_path / "store", short_side=20, skip_bad=True)
    with pytest.raises(InputError, match="an unfinished store"):
        open_store(tmp_path / "store")
    Image.fromarray(noise(7, 40, 60)).save(tmp_path / "photos" / "a.png")
    again = prepare_store([tmp_path / "photos"], tmp_path / "store", short_side=20, skip_bad=True)
    assert (again.images, again.skipped) == (1, 0)
    assert not (tmp_path / "store" / "skipped.csv").exists()


def test_photos_that_changed_during_an_interruption_are_read_again(
    photos: Path, tmp_path: Path
) -> None:
    """One that was mended, and one that was replaced by another picture."""
    out = tmp_path / "store"
    spoil(photos)
    prepare_store([photos], out, short_side=20, skip_bad=True)
    for changed in ("cat/1.jpg", "dog/2.png"):
        (out / "manifest.json").unlink()
        Image.fromarray(noise(7, 40, 60)).save(photos / changed)
        prepare_store([photos], out, short_side=20, skip_bad=True)
        fresh = tmp_path / changed.replace("/", "-")
        prepare_store([photos], fresh, short_side=20, skip_bad=True)
        assert contents(out) == contents(fresh)


def start(source: Path, out: Path, largest_file: int = resource.RLIM_INFINITY) -> Process:
    """`cebench data prepare` as a process that cannot write files beyond `largest_file` bytes."""
    options = ["--short-side", "32", "--workers", "2", "--on-bad-image", "skip", "--out", str(out)]
    command = [sys.executable, "-m", "cebench", "data", "prepare", str(source), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    return process


def wait_for_growth(images: Path, process: Process) -> None:
    """Until a line more stands in images.jsonl or the process ends."""
    size = images.stat().st_size if images.exists() else 0
    deadline = time.monotonic() + 60
    while process.poll() is None and (not images.exists() or images.stat().st_size == size):
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope="module")
def many_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """700 images, one of them empty."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(700):
        Image.fromarray(noise(number, 64, 48)).save(folder / f"{number:03d}.jpg")
    (folder / "450.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def uninterrupted(many_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("straight") / "store"
    assert prepare_store([many_photos], out, short_side=32, skip_bad=True).skipped == 1
    return contents(out)


@pytest.mark.slow
@pytest.mark.alone
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    many_photos: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    out, moments, codes = tmp_path / "store", random.Random(0), []
    for _ in range(KILLS):
        process = start(many_photos, out)
        wait_for_growth(out / "images.jsonl", process)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        process.communicate()
        codes.append(process.returncode)
    # The first is met as it starts its workers; a fast machine may be done before the last.
    assert codes[0] == -signal.SIGKILL
    process = start(many_photos, out)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert contents(out) == uninterrupted


@pytest.mark.slow
def test_what_a_power_cut_left_behind_is_done_again(
    many_photos: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    """Pixels beyond the last line, half a line, a line of zeros: none of it counts."""
    out = tmp_path / "store"
    prepare_store([many_photos], out, short_side=32, skip_bad=True)
    (out / "manifest.json").unlink()
    lines = (out / "images.jsonl").read_bytes().splitlines(keepends=True)
    for tail in (lines[301][:20], b"\0" * 30 + b"\n"):
        (out / "images.jsonl").write_bytes(b"".join(lines[:301]) + tail)
        prepare_store([many_photos], out, short_side=32, skip_bad=True)
        assert contents(out) == uninterrupted
        (out / "manifest.json").unlink()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_work_goes_on_afterwards(
    many_photos: Path, uninterrupted: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "store"
    process = start(many_photos, out, largest_file=2_000_000)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    last = errors.splitlines()[-1]
    assert last.startswith(f"cebench: cannot write {out / 'pixels.bin'}: File too large")
    assert "Traceback" not in errors
    with pytest.raises(InputError, match="an unfinished store"):
        open_store(out)
    prepare_store([many_photos], out, short_side=32, skip_bad=True)
    assert contents(out) == uninterrupted


def test_a_folder_that_cannot_be_written_is_one_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CebenchError, match=r"cannot write .*file/store"):
        prepare_store([photos], tmp_path / "file" / "store", short_side=20)


def test_changed_sources_are_not_mixed_with_what_was_packed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    prepare_store([photos], out, short_side=20)
    (out / "manifest.json").unlink()
    Image.fromarray(noise(7, 9, 9)).save(photos / "new.png")
    with pytest.raises(InputError, match="its sources or Pillow changed"):
        prepare_store([photos], out, short_side=20)


def test_a_finished_store_is_not_taken_for_one_of_changed_sources(
    photos: Path, tmp_path: Path
) -> None:
    out, cat = tmp_path / "store", photos / "cat" / "0.png"
    manifest = prepare_store([photos], out, short_side=20)
    whole = cat.read_bytes()
    Image.fromarray(noise(7, 40, 60)).save(cat)
    with pytest.raises(InputError, match=r"its sources changed since it was made .*cat/0\.png"):
        prepare_store([photos], out, short_side=20)
    cat.write_bytes(whole)  # touched, but the same again
    assert prepare_store([photos], out, short_side=20) == manifest
    (photos / "new.png").write_bytes(whole)
    with pytest.raises(InputError, match=r"its sources changed since it was made \(other names\)"):
        prepare_store([photos], out, short_side=20)
    photos.rename(tmp_path / "gone")
    assert prepare_store([photos], out, short_side=20) == manifest


def test_a_list_of_another_program_is_no_store(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for content in ("", '{"name": "a"}\n', "a b\n"):
        (out / "images.jsonl").write_text(content)
        with pytest.raises(InputError, match=r"images\.jsonl: of no store; choose") as caught:
            prepare_store([photos], out, short_side=20)
        assert "\n" not in str(caught.value)
        assert (out / "images.jsonl").read_text() == content


def test_a_damaged_store_is_refused_or_found_out(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    prepare_store([photos], out, short_side=20)
    pixels = bytearray((out / "pixels.bin").read_bytes())
    pixels[100] ^= 1
    (out / "pixels.bin").write_bytes(pixels)
    open_store(out)
    assert damaged_files(out, lambda done, total: None) == [
        "pixels.bin: SHA-256 differs from the manifest's; prepare the store anew"
    ]
    (out / "pixels.bin").write_bytes(pixels[:-1])
    with pytest.raises(InputError, match=r"pixels\.bin has \d+ bytes, the manifest says"):
        open_store(out)
    (out / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"manifest\.json: unreadable"):
        open_store(out)
    assert is_store(out)
    assert not is_store(photos)


def test_images_that_become_blurs_are_warned_about(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.fromarray(noise(0, 1, 3)).save(photos / "cat" / "2.png")
    prepare_store([photos], tmp_path / "store", short_side=64, workers=2)
    # 64 is 64 times one pixel and exactly 8 times the 8 of dog/2.png.
    (warning,) = [record.message for record in caplog.records]
    assert warning.startswith("1 of 4 images are enlarged more than 8 times")
    assert warning.endswith("cat/2.png has 3 x 1 pixels; leave them out")
    caplog.clear()
    prepare_store([photos], tmp_path / "unchanged", short_side=None)
    assert not caplog.records
