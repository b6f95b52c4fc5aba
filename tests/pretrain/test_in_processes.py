"""Real methods under torchrun: two processes take the steps of one."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from blurred_photos import save_photos
from click.testing import CliRunner

from cebench.cli import cli

pytestmark = pytest.mark.long

CHANGES = {
    "context": ("mask=random-block", "batch_size=4"),
    "context-gan": ("batch_size=4", "bottleneck=8", "short_side=130"),
    "relative-context": (
        *("units=32", "optimizer=sgd", "learning_rate=1e-3", "batch_norm=true"),
        *("statistics=images", "weights_at=[2]"),
    ),
    "egomotion": ("batch_size=4", "batch_norm=false", "short_side=168"),
    "motion": ("units=32", "descriptor=16", "batch_size=8", "batch_norm=false", "optimizer=sgd"),
}


RUNS = """
import json, os
import torch.distributed as dist
from cebench.cli import cli

place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
ranks = {"rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"])}
store, begin = dist.TCPStore(*place, is_master=False), dist.init_process_group
for number, run in enumerate(json.load(open("runs.json"))):
    # Each run meets under a name of its own: the store still holds the addresses of the last one.
    apart = dist.PrefixStore(str(number), store)
    dist.init_process_group = lambda backend: begin(backend, store=apart, **ranks)
    cli.main(run, prog_name="cebench", standalone_mode=False)
"""
"""A script under torchrun: commands of cebench, one after the other."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photos(tmp_path_factory.mktemp("data") / "photos", [(140, 130)] * 5)


def arguments(method: str, data: Path, out: Path, *changes: str) -> list[str]:
    """Three steps of a method on the command line."""
    command = ["pretrain", "--method", method, "--data", str(data), "--out", str(out)]
    options = ["--recipe", "smoke", "--device", "cpu", "--set", "steps=3", "--set", "log_every=1"]
    return [*command, *options, *(word for change in changes for word in ("--set", change))]


def in_two_processes(runs: Sequence[list[str]], folder: Path) -> str:
    """Run commands of cebench under torchrun, one after the other in the same two processes.

    Returns what they wrote to standard error; a command that fails ends them.
    """
    (folder / "runs.json").write_text(json.dumps(runs))
    (folder / "runs.py").write_text(RUNS)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    run = subprocess.run(
        [sys.executable, *launcher, "runs.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,  # In the checkout its folder `cebench` would hide the installed package.
    )
    return run.stderr


def losses(out: Path) -> list[float]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [value for line in lines for name, value in line.items() if name != "seconds"]


def test_two_processes_log_the_losses_of_one(photos: Path, tmp_path: Path) -> None:
    """Every method in one pair of processes: starting them takes longer than the steps.

    The last command, a batch that does not divide among two, is refused.

    The images of relative-context have different numbers of patches and pairs; each process of
    motion ranks its own pairs against the patches of both.
    """
    names = sorted(path.name for path in photos.iterdir())
    tracks = photos / "list.txt"
    tracks.write_text("".join(f"{names[n // 2 % 5]} {n // 2}\n" for n in range(20)))
    data = {method: tracks if method == "motion" else photos for method in CHANGES}
    alone, together = (
        [arguments(m, data[m], tmp_path / m / name, *CHANGES[m]) for m in CHANGES]
        for name in ("one", "two")
    )
    for run in alone:
        assert CliRunner().invoke(cli, run, catch_exceptions=False).exit_code == 0
    refused = arguments("context", photos, tmp_path / "refused", "batch_size=3")
    errors = in_two_processes([*together, refused], tmp_path)
    assert "batch_size=3 does not divide among 2 processes" in errors, errors
    one, two = ({m: losses(tmp_path / m / name) for m in CHANGES} for name in ("one", "two"))
    assert one["context"] == pytest.approx(two["context"], abs=1e-5)
    assert one["relative-context"] == pytest.approx(two["relative-context"], abs=1e-4)
    assert one["egomotion"] == pytest.approx(two["egomotion"], rel=1e-3)
    assert one["motion"] == pytest.approx(two["motion"], abs=1e-4)
    # Adam's first step turns rounding errors of tiny gradients into whole steps, which batch
    # statistics of four numbers enlarge: later losses of the GAN agree less closely.
    assert one["context-gan"][:5] == pytest.approx(two["context-gan"][:5], abs=1e-5)
    assert one["context-gan"] == pytest.approx(two["context-gan"], rel=0.05)
    assert all((tmp_path / method / "two" / "record.json").exists() for method in CHANGES)
