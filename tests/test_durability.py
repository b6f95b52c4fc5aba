"""What a power cut cannot take: the order in which bytes, names and lines reach the disk."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data.overlap import SIGNATURE_VALUES
from cebench.data.store.manifest import IMAGES, PIXELS, SIGNATURES
from cebench.data.store.packing import prepare_store
from cebench.files import write_atomically


@pytest.fixture
def at_fsync(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[os.stat_result], None]], None]:
    """A function to be given what is called with the file's facts before each fsync."""
    fsync = os.fsync

    def watch(call: Callable[[os.stat_result], None]) -> None:
        def watched(descriptor: int) -> None:
            call(os.fstat(descriptor))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", watched)

    return watch


def test_a_file_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_fsync: Callable[[Callable[[os.stat_result], None]], None],
) -> None:
    path, events, replace = tmp_path / "file", [], os.replace
    path.write_bytes(b"old")

    def renamed(source: Path, target: Path) -> None:
        events.append(("renamed", target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", renamed)
    at_fsync(lambda facts: events.append((facts.st_ino, facts.st_size)))
    write_atomically(path, b"newer")
    file, folder = (path.stat().st_ino, 5), tmp_path.stat()
    assert events == [file, ("renamed", path), (folder.st_ino, folder.st_size)]


def test_a_store_has_pixels_and_signatures_on_the_disk_before_the_lines_that_list_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_fsync: Callable[[Callable[[os.stat_result], None]], None],
) -> None:
    out, photos, events = tmp_path / "store", tmp_path / "photos", []
    photos.mkdir()
    for number in range(3):
        Image.fromarray(np.full((4, 5, 3), number, dtype=np.uint8)).save(photos / f"{number}.png")
    bytes_per_photo = {PIXELS: 4 * 5 * 3, SIGNATURES: 2 * SIGNATURE_VALUES}

    def listed() -> int:
        return (out / IMAGES).read_bytes().count(b"\n") - 1

    def flushed(facts: os.stat_result) -> None:
        for name in (PIXELS, SIGNATURES, IMAGES):
            if (out / name).exists() and facts.st_ino == (out / name).stat().st_ino:
                held = listed() if name == IMAGES else facts.st_size // bytes_per_photo[name]
                events.append((name, held, listed()))

    monkeypatch.setattr("cebench.data.store.packing._PHOTOS_PER_COMMIT", 2)
    at_fsync(flushed)
    prepare_store([photos], out, short_side=None)
    first = [(PIXELS, 2, 0), (SIGNATURES, 2, 0), (IMAGES, 2, 2)]
    assert events == [*first, (PIXELS, 3, 2), (SIGNATURES, 3, 2), (IMAGES, 3, 3)]
