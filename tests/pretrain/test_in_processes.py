"""Real methods under torchrun: two processes take the steps of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

CONTEXT = ("mask=random-block", "batch_size=4")
PATCHES = ("units=32", "optimizer=sgd", "learning_rate=1e-3")
VIEWS = ("batch_size=4", "batch_norm=false", "short_side=168")
TRACKS = ("batch_size=8", "units=32", "descriptor=16", "batch_norm=false", "optimizer=sgd")
GAN = ("batch_size=4", "bottleneck=8", "short_side=130")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(5):
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((140, 130)).save(folder / f"{number}.png")
    return folder


def pretrain(processes: int, method: str, photos: Path, out: Path, *changes: str) -> list[float]:
    """The losses of three steps, by the command line."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    command = ("-m", "cebench", "pretrain", "--method", method, "--data", photos, "--out", out)
    options = ("--recipe", "smoke", "--device", "cpu", "--set", "steps=3", "--set", "log_every=1")
    run = subprocess.run(
        [
            sys.executable,
            *(torchrun if processes > 1 else ()),
            *map(str, command),
            *options,
            *(word for change in changes for word in ("--set", change)),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=out.parent,  # In the checkout its folder `cebench` would hide the installed package.
    )
    assert run.returncode == 0, run.stderr
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [value for line in lines for name, value in line.items() if name != "seconds"]


def test_two_processes_log_the_losses_of_one(photos: Path, tmp_path: Path) -> None:
    one = pretrain(1, "context", photos, tmp_path / "one", *CONTEXT)
    two = pretrain(2, "context", photos, tmp_path / "two", *CONTEXT)
    assert one == pytest.approx(two, abs=1e-5)
    assert (tmp_path / "two" / "record.json").exists()


def test_two_processes_train_the_gan_as_one_does(photos: Path, tmp_path: Path) -> None:
    """Adam's first step turns rounding errors of tiny gradients into whole steps, which batch
    statistics of four numbers enlarge: later losses agree less closely.
    """
    one = pretrain(1, "context-gan", photos, tmp_path / "one", *GAN)
    two = pretrain(2, "context-gan", photos, tmp_path / "two", *GAN)
    assert one[:5] == pytest.approx(two[:5], abs=1e-5)
    assert one == pytest.approx(two, rel=0.05)


def test_two_processes_tell_patches_apart_as_one_does(photos: Path, tmp_path: Path) -> None:
    """Their images have different numbers of patches and pairs."""
    one = pretrain(1, "relative-context", photos, tmp_path / "one", *PATCHES)
    two = pretrain(2, "relative-context", photos, tmp_path / "two", *PATCHES)
    assert one == pytest.approx(two, abs=1e-4)


def test_two_processes_learn_egomotion_as_one_does(photos: Path, tmp_path: Path) -> None:
    one = pretrain(1, "egomotion", photos, tmp_path / "one", *VIEWS)
    two = pretrain(2, "egomotion", photos, tmp_path / "two", *VIEWS)
    assert one == pytest.approx(two, rel=1e-3)


def test_two_processes_rank_patches_as_one_does(photos: Path, tmp_path: Path) -> None:
    """Each ranks its own pairs against the patches of both."""
    names = sorted(path.name for path in photos.iterdir())
    lines = [f"{names[n // 2 % 5]} {n // 2}\n" for n in range(20)]
    (photos / "list.txt").write_text("".join(lines))
    one = pretrain(1, "motion", photos / "list.txt", tmp_path / "one", *TRACKS)
    two = pretrain(2, "motion", photos / "list.txt", tmp_path / "two", *TRACKS)
    assert one == pytest.approx(two, abs=1e-4)


def test_a_batch_that_does_not_divide_is_one_line(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="batch_size=3 does not divide among 2 processes"):
        pretrain(2, "context", photos, tmp_path / "run", "batch_size=3")
