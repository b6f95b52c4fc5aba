"""This machine as a suite sees it: processors, memory and GPUs, without importing torch."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BYTES_OF_A_CELL = 2.5 * 2**30
"""Memory that one worker is given at least; the largest cells at the full size take about this."""


@dataclass(frozen=True)
class Shares:
    """How many cells are computed at once, and with what."""

    workers: int
    threads: int
    gpus: tuple[str, ...] = ()
    """CUDA devices, one for each worker; empty: none."""


def share_out(workers: int, threads: int, device: str) -> Shares:
    """Workers and threads, where they are 0 chosen by what the machine has.

    A worker has a GPU of its own where there are some, else as many cores as threads.
    """
    cores = core_count()
    gpus = () if device == "cpu" else visible_gpus()
    if not workers:
        fitting = max(1, int(memory_bytes() / BYTES_OF_A_CELL))
        workers = len(gpus) or max(1, min(cores // (threads or 1), fitting))
    return Shares(workers, threads or max(1, cores // workers), gpus)


def core_count() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> float:
    """Memory that is free to use; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * float(found[0]) if found else float("inf")


def visible_gpus() -> tuple[str, ...]:
    """CUDA devices of this process, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(part for part in named.split(",") if part)
    program = shutil.which("nvidia-smi")
    if not program:
        return ()
    asked = [program, "--query-gpu=index", "--format=csv,noheader"]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    return tuple(ended.stdout.split()) if ended.returncode == 0 else ()
