"""A disk that is full: the file is named, and nothing half-written is left."""

import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from samples import DETECTION

from cebench.cli import cli, main
from cebench.reporting import records
from cebench.reporting.records import write_record
from cebench.toy.world import write_toy_world


def runs(folder: Path, count: int) -> Path:
    for seed in range(count):
        (folder / str(seed)).mkdir(parents=True)
        write_record(folder / str(seed) / "record.json", _with_seed(seed))
    return folder


def _with_seed(seed: int) -> records.Record:
    return replace(DETECTION, seed=seed)


def test_collect_collects_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = runs(tmp_path / "runs", 3), tmp_path / "records"
    written, real = [], records.write_atomically

    def full_at_the_third(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(records, "write_atomically", full_at_the_third)
    given = ["report", str(source), "--collect", str(target)]
    result = CliRunner().invoke(cli, given)
    assert isinstance(result.exception, OSError)
    assert list(target.iterdir()) == []
    monkeypatch.setattr(records, "write_atomically", real)
    assert CliRunner().invoke(cli, given).exit_code == 0
    assert len(list(target.iterdir())) == 3


def test_the_line_names_the_file_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    source = runs(tmp_path / "runs", 1)
    real = Path.write_bytes

    def to_a_full_disk(path: Path, data: bytes) -> int:
        return real(Path("/dev/full"), data)

    monkeypatch.setattr(Path, "write_bytes", to_a_full_disk)
    out = tmp_path / "table.md"
    monkeypatch.setattr("sys.argv", ["cebench", "report", str(source), "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown == (
        f"cebench: {out}: No space left on device; free disk space and run the command again"
    )
    assert list(tmp_path.glob(".*")) == []


def test_packing_names_the_file_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 80, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    given = ["data", "prepare", "photos", "--out", "store", "--short-side", "original"]
    # No file may exceed 32 KiB: the pixels are 58 KB.
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, 2**15)); "
        "from cebench.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code, *given, "--workers", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "cannot write store/pixels.bin: File too large" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_killed_toy_world_leaves_nothing_once_it_is_drawn_again(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cebench.toy.world import write_toy_world; "
        "write_toy_world(Path(sys.argv[1]), images=60, seed=0)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "toy")])
    for _ in range(600):
        if list(tmp_path.glob(".toy.partial-*/*")):
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob(".toy.partial-*"))
    write_toy_world(tmp_path / "toy", images=4, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_what_a_killed_writer_left_goes_with_the_next_writing(
    tmp_path: Path, runner: CliRunner
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "run").mkdir()
    write_record(tmp_path / "run" / "record.json", DETECTION)
    beside = {
        f".table.md.{gone.pid}.tmp": False,
        f".table.md.{os.getppid()}.tmp": True,  # Its process still writes.
        f".other.md.{gone.pid}.tmp": True,
        ".table.md.draft.tmp": True,
    }
    for name in beside:
        (tmp_path / name).touch()
    out = ["--out", str(tmp_path / "table.md")]
    assert runner.invoke(cli, ["report", str(tmp_path / "run"), *out]).exit_code == 0
    assert {name: (tmp_path / name).exists() for name in beside} == beside
    assert (tmp_path / "table.md").stat().st_size > 0
