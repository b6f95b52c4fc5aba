"""Processes that compute cells on this machine.

They are forked from one server process that has imported every method and task, so that a cell
starts at once and with a clean memory. The suite's own process stays light: what needs the heavy
libraries is called in such a process too.
"""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from cebench.errors import CebenchError
from cebench.suite.cells import Cell
from cebench.suite.execution import run_cell

_HEAVY = ("cebench.suite.planning", "cebench.suite.programs", "cebench.suite.report")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")


@dataclass(frozen=True)
class LocalExecutor:
    """Cells as processes of this machine; each worker has its threads, or a GPU of its own."""

    out: Path
    workers: int
    threads: int
    device: str = "auto"
    gpus: tuple[str, ...] = ()
    """CUDA devices to share out; empty: none, or what the processes see."""

    def start(self, cells: Mapping[int, Cell]) -> Mapping[int, BaseProcess]:
        """Begin cells, by worker: 0 .. workers - 1."""
        return {worker: self._start(cell, worker) for worker, cell in cells.items()}

    def _start(self, cell: Cell, worker: int) -> BaseProcess:
        visible = self.gpus[worker % len(self.gpus)] if self.gpus and cell.gpus == 1 else None
        process = _context().Process(
            target=_exit_with,
            args=(cell, self.out, self.device, self.threads, visible),
            name=cell.name,
        )
        process.start()
        return process


def _exit_with(*arguments: Any) -> None:
    raise SystemExit(run_cell(*arguments))


def call_apart(
    function: Callable[Inputs, Result], *args: Inputs.args, **kwargs: Inputs.kwargs
) -> Result:
    """The result of `function`, or its error, from a process that has the heavy libraries."""
    try:
        with ProcessPoolExecutor(1, mp_context=_context()) as pool:
            return pool.submit(function, *args, **kwargs).result()
    except BrokenProcessPool:
        raise CebenchError(
            "a process of the suite was killed, by the system where memory ran out; run the same "
            "command again"
        ) from None


def limit_threads(threads: int) -> None:
    """Give processes that start from now on so many threads; before the first of them."""
    for name in _THREADS:
        os.environ[name] = str(threads)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_HEAVY))
    return context
