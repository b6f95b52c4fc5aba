"""One cell in a process of its own: locked, logged, and with a note of how it ended."""

import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType

from filelock import Timeout

from cebench.errors import CebenchError, Interrupted
from cebench.logs import show_log
from cebench.progress import counted
from cebench.suite.cells import Cell
from cebench.suite.folder import Ending, SuiteFolder, began_here

TAKEN = 75
"""Exit status where another process computes the cell, or has computed it."""

logger = logging.getLogger("cebench")


def run_cell(cell: Cell, out: Path, device: str, threads: int, visible_gpus: str | None) -> int:
    """Compute `cell`, unless it is finished or another process holds it; returns an exit status.

    What it prints goes to its log. visible_gpus: CUDA_VISIBLE_DEVICES, None as it is.
    """
    folder = SuiteFolder(out)
    _log_to(folder.log(cell))
    lock = folder.lock(cell)
    try:
        lock.acquire()
    except Timeout:
        return TAKEN
    with lock:
        if folder.is_finished(cell):
            return TAKEN
        began = began_here()
        folder.write_ending(cell, began)
        signal.signal(signal.SIGTERM, _stop)
        if visible_gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpus
        status, ending = _run(cell, out, device, threads, began)
        folder.write_ending(cell, ending)
        return status


def _run(cell: Cell, out: Path, device: str, threads: int, began: Ending) -> tuple[int, Ending]:
    import torch

    from cebench.suite.programs import run_program

    torch.set_num_threads(threads)
    logger.info(f"{cell.name}: {cell.verb} with {counted(threads, 'thread')}")
    try:
        run_program(cell, out, device)
        status, problem = 0, ""
    except (Interrupted, KeyboardInterrupt) as stop:
        status, problem = getattr(stop, "exit_status", 128 + signal.SIGINT), "stopped"
    except CebenchError as error:
        status, problem = error.exit_status, " ".join(str(error).split())
        print(f"cebench: {problem}", file=sys.stderr)
    except Exception as error:  # A mistake of the program's must not stop the other cells.
        traceback.print_exc()
        status, problem = 1, f"{type(error).__name__}: {' '.join(str(error).split())}"
    used = resource.getrusage(resource.RUSAGE_SELF)
    ended = replace(
        began,
        seconds=round(time.time() - began.began, 3),
        processor_seconds=round(used.ru_utime + used.ru_stime, 3),
        memory_bytes=1024 * used.ru_maxrss,
        problem=problem,
    )
    if status == 0:
        return status, replace(ended, state="finished")
    return status, replace(ended, state="stopped" if problem == "stopped" else "failed")


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped", number)


def _log_to(path: Path) -> None:
    """Send stdout and stderr, those of libraries too, to the end of the file `path`."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    show_log()


def _main(request: str) -> int:
    """Compute the cell of a request in JSON, as a cluster's job does."""
    values = json.loads(request)
    cell = Cell(**values["cell"])
    return run_cell(cell, Path(values["out"]), values["device"], values["threads"], None)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
