"""Devices: choosing one, making it repeatable, and saying what a number was measured on."""

import os
import platform
import subprocess
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from cebench import __version__
from cebench.config import Precision
from cebench.errors import InputError

MOST_SHAPES = 200
"""Kinds of input that a compiled function is translated for; PyTorch's own limit is 8, and what
comes after is computed uncompiled, so that a continued run would differ from a whole one."""

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Turns on PyTorch's repeatable algorithms.

    Under torchrun each process has the GPU of its local rank.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no CUDA device; use --device cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "cuda" and rank >= torch.cuda.device_count():
        raise InputError(
            f"process {rank} on this machine has no GPU: PyTorch sees {torch.cuda.device_count()}; "
            "start no more processes than GPUs"
        )
    if name == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling memory that is about to be overwritten costs an eighth of a CPU step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if name == "cpu":
        return torch.device("cpu")
    torch.cuda.set_device(rank)
    return torch.device("cuda", torch.cuda.current_device())


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Within it, `bf16` computes products and convolutions in bfloat16; weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def compiled(
    function: Callable[Inputs, Result], *, compile: bool, cuda_graphs: bool
) -> Callable[Inputs, Result]:
    """`function` through torch.compile if asked for, on a GPU also as one CUDA graph.

    It is translated once for every shape of its inputs, up to MOST_SHAPES of them. What a graph
    returns is overwritten by its next call: clone what is kept.
    """
    if not compile:
        return function
    torch._dynamo.config.recompile_limit = MOST_SHAPES
    # By choice: with it the numbers of a precision called fp32 would depend on the card.
    warnings.filterwarnings("ignore", "TensorFloat32 tensor cores .* not enabled")
    mode = "reduce-overhead" if cuda_graphs else "default"
    return torch.compile(function, mode=mode, dynamic=False)


def provenance(device: torch.device) -> dict[str, Any]:
    """The fields of a record that say by what code and on what machine it was measured."""
    commit, dirty = _git_state()
    return {
        "cebench_version": __version__,
        "git_commit": commit,
        "git_dirty": dirty,
        "torch_version": torch.__version__,
        "cuda_version": (torch.version.cuda or "") if device.type == "cuda" else "",
        "device": device_name(device),
        "threads": torch.get_num_threads(),
    }


@cache
def device_name(device: torch.device) -> str:
    """Name of the GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@cache
def _git_state() -> tuple[str, bool]:
    """Commit of the checkout that cebench runs from, and whether it has changes ("" if none)."""
    package = Path(__file__).parent
    if not (package.parent / ".git").exists():
        return "", False
    git = ["git", "-C", str(package.parent)]
    try:
        run = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "", False
    return run.stdout.strip(), bool(changes.stdout.strip())
