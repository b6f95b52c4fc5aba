"""Cells as jobs of SLURM, by submitit: those that are ready together are one array.

A job runs its cell in a process of its own. Before a preemption or the time limit SLURM sends the
job a signal; the cell then gets SIGTERM, which the training loop obeys by saving, and the job is
put back into the queue, where it goes on.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cebench.config import value_of
from cebench.errors import InputError
from cebench.suite.cells import Cell
from cebench.suite.folder import SuiteFolder

try:
    import submitit
except ImportError:
    raise InputError("--slurm needs submitit: pip install 'cebench[slurm]'") from None

JOBS_AT_ONCE = 256
SECONDS_BEFORE_THE_END = 120
"""When SLURM sends its signal: enough to end a step and save."""
_DEFAULTS: Mapping[str, Any] = {"timeout_min": 24 * 60, "slurm_additional_parameters": {}}


@dataclass
class CellJob:
    """What a job does: one cell in a process, which is told to save when SLURM takes the node."""

    cell: Cell
    out: Path
    device: str
    threads: int

    def __call__(self) -> int:
        """Compute the cell; its exit status."""
        request = json.dumps(
            {
                "cell": asdict(self.cell),
                "out": str(self.out),
                "device": self.device,
                "threads": self.threads,
            }
        )
        command = [sys.executable, "-m", "cebench.suite.execution", request]
        # SLURM signals every process of a job; this one decides what the cell is told.
        child = subprocess.Popen(command, preexec_fn=_ignore_signal)
        self._pid = child.pid
        # Polling: a signal handler may not wait for a process that wait() waits for.
        while (status := child.poll()) is None:
            time.sleep(0.2)
        return status

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Called by submitit before the job's end: save, and queue the same job again."""
        os.kill(self._pid, signal.SIGTERM)
        folder, began = SuiteFolder(self.out), time.monotonic()
        while folder.is_held(self.cell) and time.monotonic() - began < SECONDS_BEFORE_THE_END:
            time.sleep(0.2)
        return submitit.helpers.DelayedSubmission(
            CellJob(self.cell, self.out, self.device, self.threads)
        )


def _ignore_signal() -> None:
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


class SlurmProcess:
    """A job as the runner sees it."""

    def __init__(self, job: "submitit.Job[int]") -> None:
        self._job = job

    @property
    def exitcode(self) -> int | None:
        """Exit status of the cell; 1 where the job left none; None while it is queued or runs."""
        if not self._job.done():
            return None
        try:
            return self._job.result()
        except Exception:  # submitit has several; the job's log says which.
            return 1

    def terminate(self) -> None:
        """Take the job out of the queue; one that runs saves first."""
        self._job.cancel()

    def join(self, timeout: float | None = None) -> None:
        """Nothing to wait for: a job that is done has ended."""


@dataclass
class SlurmExecutor:
    """Submits cells; those with as many GPUs as one array."""

    submitter: submitit.AutoExecutor
    out: Path
    workers: int
    threads: int
    device: str

    def start(self, cells: Mapping[int, Cell]) -> Mapping[int, SlurmProcess]:
        """Submit cells, by worker."""
        started: dict[int, SlurmProcess] = {}
        for gpus in sorted({cell.gpus for cell in cells.values()}):
            alike = {worker: cell for worker, cell in cells.items() if cell.gpus == gpus}
            if self.device != "cpu":
                self.submitter.update_parameters(gpus_per_node=gpus)
            try:
                with self.submitter.batch():
                    jobs = [self.submitter.submit(self._job(cell)) for cell in alike.values()]
            except submitit.core.utils.FailedJobError as error:
                raise InputError(f"--slurm: {' '.join(str(error).split())}") from None
            started |= dict(zip(alike, map(SlurmProcess, jobs), strict=True))
        return started

    def _job(self, cell: Cell) -> CellJob:
        return CellJob(cell, self.out.resolve(), self.device, self.threads)


def slurm_executor(
    out: Path,
    workers: int,
    threads: int,
    device: str,
    parameters: Mapping[str, str],
    cluster: str = "slurm",
) -> SlurmExecutor:
    """An executor that submits to SLURM, or with cluster="local" starts processes, for tests.

    parameters: those of submitit's AutoExecutor, as TOML has them, such as `true` and `["a"]`, or
        as plain text.
    """
    try:
        submitter = submitit.AutoExecutor(folder=out.resolve() / "slurm" / "%j", cluster=cluster)
        given = {name: value_of(text) for name, text in parameters.items()}
        submitter.update_parameters(
            name="cebench",
            cpus_per_task=threads,
            slurm_signal_delay_s=SECONDS_BEFORE_THE_END,
            **{**_DEFAULTS, **given},
        )
    except (RuntimeError, NameError, ValueError, TypeError, AssertionError) as error:
        problem = " ".join(str(error).split()) or "submitit refuses a value of --slurm-set"
        raise InputError(f"--slurm: {problem}") from None
    return SlurmExecutor(submitter, out, workers or JOBS_AT_ONCE, threads, device)
