"""A dry run makes the checks of the real start, says what would be done, and writes nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file

from cebench.cli import cli
from cebench.training.estimates import Work, convolution_gflops, estimate

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: CliRunner) -> Invoke:
    """`cebench ARGUMENTS --out run --dry-run` in a folder where nothing may come to be."""

    def call(*arguments: str) -> Result:
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        result = runner.invoke(cli, [*arguments, "--out", "run", "--dry-run"])
        assert sorted(tmp_path.rglob("*")) == before
        return result

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve images of 40 x 30 pixels in one folder without classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 30, 40, 3), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number:02d}.png")
    return tmp_path / "photos"


def test_words_come_first_and_a_handful_of_images_is_warned_about(
    photos: Path, invoke: Invoke, caplog: pytest.LogCaptureFixture
) -> None:
    result = invoke("pretrain", "--method", "context", "--recipe", "smoke", "--data", str(photos))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("would pretrain"))
    assert lines[first] == "would pretrain: context-smoke (tier smoke), seed 0"
    said = [line.partition(":")[0] for line in lines[first + 1 : first + 6]]
    assert said == ["device", "data", "takes", "writes", "recipe"]
    # 40 steps of 16; six of the 12 images are held out: 640 / 6 = 106.7.
    assert "12 images" in lines[first + 2]
    assert "see each of the 6 images learned from about 107 times" in lines[first + 2]
    assert "run (new): weights.safetensors" in lines[first + 4]
    assert "only 12 images; a network learns these by heart" in caplog.text


def test_the_numbers_are_in_json(photos: Path, invoke: Invoke) -> None:
    result = invoke(
        "pretrain", "--method", "context", "--recipe", "smoke", "--data", str(photos), "--json"
    )
    found = json.loads(result.stdout)
    assert (found["images_found"], found["images_seen"], found["steps"]) == (12, 640, 40)
    assert found["bytes_found"] == sum(path.stat().st_size for path in photos.iterdir())
    assert found["estimated_seconds"] > 0
    assert found["estimated_memory_bytes"] > 2**29


REFUSED = {
    "no class folders": (["--method", "imagenet"], "imagenet learns labels"),
    "no silhouettes": (["--method", "context", "--recipe", "paper"], "needs silhouettes"),
    "silhouettes of no year": (
        ["--method", "context", "--recipe", "paper", "--region-shapes", "photos"],
        "--region-shapes photos: expected a VOC year folder",
    ),
    "silhouettes that are not there": (
        ["--method", "context", "--recipe", "paper", "--region-shapes", "VOC2012"],
        "--region-shapes VOC2012: expected a VOC year folder",
    ),
    "no camera poses": (
        ["--method", "egomotion", "--set", "source=kitti"],
        "layout of KITTI",
    ),
    "no tracked pairs": (["--method", "motion"], "expected a list of tracked pairs"),
    "excluded patches": (["--method", "motion", "--exclude", "photos"], "motion compares its"),
    "nothing to measure on": (
        ["--method", "egomotion", "--recipe", "smoke", "--set", "held_out_images=0"],
        "held_out_images must be positive",
    ),
    "squares larger than the images": (
        [
            *("--method", "relative-context", "--recipe", "smoke", "--set", "short_side=32"),
            *("--set", "rescale=true"),
        ],
        "short_side=32 is less",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_start_would_refuse_is_refused(photos: Path, invoke: Invoke, name: str) -> None:
    arguments, message = REFUSED[name]
    result = invoke("pretrain", "--data", str(photos), *arguments)
    assert message in str(result.exception)


def test_a_network_that_does_not_exist_is_refused(invoke: Invoke) -> None:
    result = invoke("pretrain", "--method", "random", "--set", "network=torchvision/nope")
    assert "torchvision has no classifier of this name" in str(result.exception)


def test_an_out_that_is_taken_is_refused(photos: Path, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    given = ("pretrain", "--method", "context", "--recipe", "smoke", "--data", str(photos))
    assert "holds files but no cebench run" in str(invoke(*given).exception)
    (tmp_path / "run" / "thesis.tex").unlink()
    (tmp_path / "run" / "run.toml").write_text('[run]\nverb = "transfer"\n')
    assert "belongs to another run" in str(invoke(*given).exception)
    shutil.rmtree(tmp_path / "run")
    assert invoke(*given).exit_code == 0


def test_detection_checks_weights_and_proposals(
    tiny_voc: Path, invoke: Invoke, tmp_path: Path
) -> None:
    given = ["transfer", "--task", "detection", "--data", str(tiny_voc), "--weights"]
    sets = ["--recipe", "smoke", "--set", "train_set=train", "--set", "test_set=val"]
    result = invoke(*given, "random", *sets)
    assert "2 train images" in result.output or "no object" in str(result.exception)
    save_file({"x": torch.zeros(1)}, tmp_path / "w.safetensors")
    assert "has no w.json beside it" in str(invoke(*given, "w.safetensors", *sets).exception)
    drop7 = [*sets, "--set", "random_from=drop7"]
    assert "has no fc6.weight" in str(invoke(*given, "random", *drop7).exception)


def test_the_estimate_is_work_over_speed() -> None:
    cpu = torch.device("cpu")
    assert convolution_gflops(cpu) > 0.1
    small, large = (estimate(Work(gflop=g, images_bytes=2**30), cpu) for g in (1e5, 1e7))
    assert 10 < large["estimated_seconds"] / small["estimated_seconds"] < 1000
    assert small["estimated_memory_bytes"] == int(1.7 * 2**30)
    searched = estimate(Work(more_seconds=100.0 * torch.get_num_threads()), cpu)
    assert searched["estimated_seconds"] == pytest.approx(105)


def test_preparing_counts_and_checks_the_folder(
    photos: Path, invoke: Invoke, tmp_path: Path
) -> None:
    found = json.loads(invoke("data", "prepare", str(photos), "--json").stdout)
    assert (found["images_found"], found["out"]) == (12, "run")
    # 256 x 256 x 4 / 3 pixels of 3 bytes each.
    assert found["estimated_store_bytes"] == 12 * 4 * 256**2
    assert "would pack 12 images" in invoke("data", "prepare", str(photos)).stdout
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("")
    assert "holds files but no store" in str(invoke("data", "prepare", str(photos)).exception)


def test_proposals_are_counted(tiny_voc: Path, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("data", "proposals", str(tiny_voc))
    assert result.stdout == "would search 3 images into run\n"
    (tmp_path / "run").mkdir()
    assert "is a folder" in str(invoke("data", "proposals", str(tiny_voc)).exception)


def test_inpainting_lists_its_files(photos: Path, invoke: Invoke) -> None:
    given = ["inpaint", str(photos / "00.png"), "--fill", "telea", "--json"]
    found = json.loads(invoke(*given).stdout)
    assert found == {"images": 1, "outputs": ["run/00.png", "run/00-comparison.png"]}
