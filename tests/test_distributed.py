"""Training in several processes: the same steps as in one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_training
import torch
from tiny_training import Tiny, run_training

from cebench.distributed import local_slice
from cebench.errors import InputError
from cebench.models.sync_layers import BatchNorm2d, Dropout


def in_processes(count: int, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python COMMAND` under torchrun in `count` processes on this machine."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")
    return subprocess.run(
        [sys.executable, *torchrun, *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def losses(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.long
def test_two_processes_take_the_steps_of_one_and_their_checkpoints_serve_either(
    tmp_path: Path,
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run_training(one, 10, Tiny())
    result = in_processes(2, tiny_training.__file__, two, "6")
    assert result.returncode == 0, result.stderr
    assert len(set(result.stdout.split())) == 1  # Both hold the same bits.
    run_training(two, 8, Tiny())  # One process goes on from there,
    assert in_processes(2, tiny_training.__file__, two, "10").returncode == 0  # then two again.
    assert losses(two) == pytest.approx(losses(one), abs=1e-5, rel=1e-5)


def test_a_batch_that_does_not_divide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cebench.distributed.process_count", lambda: 3)
    with pytest.raises(InputError, match="batch_size=4 does not divide among 3 processes"):
        local_slice(4)


def test_dropout_keeps_the_expected_share_and_scales_it() -> None:
    torch.manual_seed(0)
    dropout = Dropout(0.25)
    output = dropout(torch.ones(100, 1000))
    assert output.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert output.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))


def test_batch_norm_alone_is_torchs() -> None:
    ours, theirs = BatchNorm2d(4), torch.nn.BatchNorm2d(4)
    images = torch.randn(3, 4, 5, 5)
    assert torch.equal(ours(images), theirs(images))
    assert torch.equal(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_of_one_of_two_ranks_is_torchs_over_the_rows_of_both(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other rank has the same rows, so that every sum over both is twice the own one."""
    layers = "cebench.models.sync_layers"
    monkeypatch.setattr(f"{layers}.process_count", lambda: 2)
    for name in ("all_reduce_sum", "all_reduce_sum_with_grad"):
        monkeypatch.setattr(f"{layers}.{name}", lambda value: 2 * value)
    ours, theirs = BatchNorm2d(4), torch.nn.BatchNorm2d(4)
    images = (3 * torch.randn(3, 4, 5, 5) + 5).to(dtype)
    output, expected = ours(images), theirs(torch.cat([images, images]))[:3]
    assert output.dtype == dtype
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
