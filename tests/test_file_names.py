"""Names that are not UTF-8 work: Linux has such, and they are printed with escapes."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.cli import main
from cebench.data.fingerprint import fingerprint_files
from cebench.files import naming, readable, readable_by_name, remove_temporaries
from cebench.pretrain.run import Request, run_pretraining
from cebench.reporting.records import load_record
from cebench.weights.files import load_weights

# Alone: pytest-xdist sends what a test printed as UTF-8.
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 there"),
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 64, 80, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(os.fsencode(folder) + b"/\xff%d.png" % number)
    return folder


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., bytes]:
    """What `cebench ARGUMENTS` writes to stdout."""

    def call(*arguments: str | Path) -> bytes:
        monkeypatch.setattr("sys.argv", ["cebench", *map(str, arguments)])
        on_termination = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as stop:
            main()
        signal.signal(signal.SIGTERM, on_termination)
        assert stop.value.code == 0
        return capfdbinary.readouterr().out

    return call


def test_readable_escapes_what_is_not_utf_8() -> None:
    assert readable(Path(os.fsdecode(b"a/caf\xe9"))) == "a/caf\\xe9"
    assert readable("naïve") == "naïve"
    readable(os.fsdecode(b"\xff")).encode()


def test_readable_stands_in_one_line() -> None:
    assert readable("a\nb\x7f\u2028c") == "a\\nb\\x7f\\u2028c"
    assert len(readable("a\r\x0b\x0c\x1c\x85\u2029b").splitlines()) == 1


def test_a_file_can_be_read_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff")
    path.write_text("7")
    with readable_by_name(path) as name:
        assert Path(name).read_text() == "7"
        name.encode()


def test_a_pretraining_from_such_files_into_such_a_folder(
    photos: Path, tmp_path: Path, run: Callable[..., bytes]
) -> None:
    out = tmp_path / os.fsdecode(b"r\xffun")
    changes = ("steps=2", "checkpoint_every=1", "batch_size=2")
    request = Request(method="context", data=(photos,), out=out, recipe="smoke", changes=changes)
    path = run_pretraining(request)
    assert load_weights(path).name == "r\\xffun/weights"
    record = load_record(out / "record.json")
    assert record.weights.name == "r\\xffun/weights"
    assert run_pretraining(request) == path
    (out / "log.txt").read_text(encoding="utf-8")

    store = tmp_path / os.fsdecode(b"st\xffore")
    run("data", "prepare", photos, "--out", store, "--short-side", "130", "--workers", "1")
    packed = Request(
        method="context", data=(store,), out=tmp_path / "packed", recipe="smoke", changes=changes
    )
    run_pretraining(packed)
    same = load_record(tmp_path / "packed" / "record.json")
    assert same.data.fingerprint == record.data.fingerprint


def test_verify_and_inpaint_take_them(
    photos: Path, tmp_path: Path, run: Callable[..., bytes]
) -> None:
    found = json.loads(run("data", "verify", photos, "--json"))
    assert (found["problems"], found["data_sets"][0]["images"]) == (0, 6)
    out = tmp_path / os.fsdecode(b"o\xfft")
    shown = run("inpaint", photos, "--fill", "telea", "--out", out, "--no-comparison")
    assert sorted(shown.splitlines()) == sorted(map(os.fsencode, out.iterdir()))
    assert len(shown.splitlines()) == 6


def test_the_fingerprint_knows_the_names(photos: Path) -> None:
    first = fingerprint_files(list(photos.iterdir()))
    one = next(photos.iterdir())
    shutil.move(one, photos / os.fsdecode(b"\xfe.png"))
    assert fingerprint_files(list(photos.iterdir())) != first


def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, naming(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "x")
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path / "x"):
        (tmp_path / "absent").read_text()
    assert caught.value.filename == str(tmp_path / "absent")


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    for name in (".a.json.12345.tmp", "sub/.b.png.1.tmp", ".mine.tmp", "c.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    remove_temporaries(tmp_path)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == [".mine.tmp", "c.tmp"]
