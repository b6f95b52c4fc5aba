"""One of torchrun's processes speaks for all."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from blurred_photos import save_photos
from click.testing import CliRunner

from cebench.cli import cli


@pytest.fixture
def level_restored() -> Iterator[None]:
    logger = logging.getLogger("cebench")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.mark.usefixtures("level_restored")
def test_one_process_of_torchruns_prints_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--out", str(tmp_path / "run"), "--recipe", "smoke", "--device", "cpu", "--json"]
    command = ["pretrain", "--method", "random", *out]
    first = CliRunner().invoke(cli, command, catch_exceptions=False)
    weights = str(tmp_path / "run" / "weights.safetensors")
    assert json.loads(first.stdout) == {"weights": weights}
    photos = save_photos(tmp_path / "photos", [(60, 40), (50, 50)])
    dry_run = ["pretrain", "--method", "context", "--data", str(photos), "--dry-run", *out]
    dry_run[dry_run.index("--out") + 1] = str(tmp_path / "new")
    monkeypatch.setenv("RANK", "1")
    for silent in (command, dry_run):
        result = CliRunner().invoke(cli, silent, catch_exceptions=False)
        assert result.exit_code == 0
        assert result.output == ""
