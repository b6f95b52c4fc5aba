import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cebench.commands.data import data
from cebench.errors import InputError
from cebench.toy.clips import draw_clip
from cebench.toy.trees import write_davis_clip


def test_verify_prints_counts_and_succeeds(runner: CliRunner, tiny_voc: Path) -> None:
    result = runner.invoke(data, ["verify", str(tiny_voc)])
    assert result.exit_code == 0
    assert "4 boxes, 2 of them difficult" in result.stdout
    assert "all is well" in result.stdout
    assert "verifying VOC2007: 3/3 images" in result.stderr


def test_verify_json_is_one_object(runner: CliRunner, tiny_voc: Path) -> None:
    (tiny_voc / "VOC2007" / "JPEGImages" / "000002.jpg").unlink()
    result = runner.invoke(data, ["verify", str(tiny_voc), "--json"])
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["problems"] == 1
    (found,) = summary["data_sets"]
    dog = {"boxes": 2, "difficult": 1, "images": 2, "masks": 1, "pixels": 400}
    assert found["per_class"]["dog"] == dog
    assert "000002.jpg does not exist" in found["problems"][0]


def test_verify_lists_what_is_broken(runner: CliRunner, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    result = runner.invoke(data, ["verify", str(tmp_path)])
    assert result.exit_code == 1
    assert "1 missing or broken:" in result.stdout
    assert "b.jpg is not an image" in result.stdout


def test_verify_of_nothing_is_a_mistake(runner: CliRunner, tmp_path: Path) -> None:
    result = runner.invoke(data, ["verify", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert result.stdout == ""


def test_prepare_packs_once_and_the_store_can_be_verified(
    runner: CliRunner, tiny_voc: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store"
    arguments = ["prepare", str(tiny_voc / "VOC2007"), "--out", str(out), "--workers", "1"]
    result = runner.invoke(data, [*arguments, "--short-side", "original", "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert (summary["images"], summary["skipped"]) == (2, 0)
    assert summary["bytes"] == 3 * (60 * 80 + 48 * 64)
    assert "packing: 2/2 images" in result.stderr
    result = runner.invoke(data, [*arguments, "--short-side", "original"])
    assert result.stdout == f"{out} holds 2 images\n"
    result = runner.invoke(data, ["verify", str(out)])
    assert result.exit_code == 0
    assert "packed store" in result.stdout
    (out / "signatures.bin").write_bytes(bytes(2 * 1024))
    result = runner.invoke(data, ["verify", str(out)])
    assert result.exit_code == 1
    assert "signatures.bin: SHA-256 differs" in result.stdout


def test_prepare_counts_and_lists_what_it_skips(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.jpg").write_bytes(b"no image")
    arguments = ["prepare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--workers", "1"]
    assert isinstance(runner.invoke(data, arguments).exception, InputError)
    result = runner.invoke(data, [*arguments, "--on-bad-image", "skip"])
    assert result.exit_code == 0
    assert f"1 bad images skipped, see {tmp_path / 'out' / 'skipped.csv'}" in result.stderr


def test_toy_world_can_be_verified(runner: CliRunner, tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    result = runner.invoke(data, ["toy", str(folder), "--images", "4", "--seed", "1"])
    assert result.exit_code == 0, result.output
    assert "4 images, seed 1" in result.stdout
    result = runner.invoke(data, ["verify", str(folder)])
    assert result.exit_code == 0, result.stdout
    for name in ("VOC2007", "VOC2012", "SBD", "unlabeled", "facades"):
        assert name in result.stdout


def test_motion_of_toy_clips_is_mined(
    runner: CliRunner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_davis_clip(tmp_path / "DAVIS", "clip-1", draw_clip(0, 1, 8))
    options = ["--frames", "8", "--short-side", "120", "--window", "60", "--least-moving", "0.01"]
    arguments = ["motion", str(tmp_path / "DAVIS"), "--out", str(tmp_path / "out"), *options]
    for _ in range(2):
        result = runner.invoke(data, arguments)
        assert result.exit_code == 0, result.output
        assert f"{tmp_path / 'out'} holds 1 pair of" in result.stdout
        assert "needs 4 pairs or more, two to learn from" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    "arguments",
    [
        ["toy"],
        ["motion", "x"],
        ["motion", "x", "--out", "y", "--frames", "1"],
        ["motion", "x", "--out", "y", "--tracker", "none"],
        ["toy", "x", "--images", "0"],
        ["verify"],
        ["prepare", "x"],
        ["prepare", "--out", "x"],
        ["prepare", "x", "--out", "y", "--short-side", "0"],
        ["prepare", "x", "--out", "y", "--short-side", "small"],
    ],
)
def test_bad_arguments_are_mistakes(runner: CliRunner, arguments: list[str]) -> None:
    assert runner.invoke(data, arguments).exit_code == 2
