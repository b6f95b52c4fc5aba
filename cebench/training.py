"""The one training loop. A program supplies its modules, its batch for a step and its update."""

import logging
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.checkpoints import load_checkpoint, save_checkpoint
from cebench.errors import CebenchError, Interrupted
from cebench.progress import progress
from cebench.randomness import torch_seed
from cebench.run_directory import RunDirectory

logger = logging.getLogger("cebench")


class Program(Protocol):
    """What is trained: all state lives in `modules` and `optimizers`, which checkpoints hold."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]

    def batch(self, step: int) -> Any:
        """The batch of a step, a function of the program's seed and `step` alone."""

    def update(self, step: int, batch: Any) -> Mapping[str, Tensor]:
        """One optimizer step; returns losses (scalars) to log, checked by `require_finite`."""


def require_finite(step: int, **losses: Tensor) -> None:
    """Stop the run before the update when a loss is infinite or not a number."""
    for name, loss in losses.items():
        if not math.isfinite(value := loss.item()):
            raise CebenchError(
                f"step {step}: {name} is {value}; stopped before the update. Lower the learning "
                "rate or look at the images of this step; the last checkpoint is sound"
            )


def train(
    program: Program,
    run: RunDirectory,
    *,
    label: str,
    steps: int,
    seed: int,
    data_fingerprint: str,
    log_every: int,
    checkpoint_every: int,
) -> float:
    """Take `program` from its newest checkpoint in `run` to `steps` finished steps.

    Returns the seconds of training, those before an interruption included.

    Every step draws its randomness from (seed, step), so that a run which was killed and continued
    ends with the same bits. SIGINT and SIGTERM save, then raise Interrupted.
    """
    state = (program.modules, program.optimizers, data_fingerprint)
    step = load_checkpoint(run.checkpoints, *state)
    run.forget_metrics_after(step)
    if step:
        logger.info(f"{label}: continuing after step {step}")
    for module in program.modules.values():
        module.train()
    began = time.monotonic() - seconds_so_far(run)
    with _signals() as received, progress(label) as report:
        report(step, steps)
        while step < steps:
            torch.manual_seed(torch_seed(seed, "step", step))
            losses = program.update(step, program.batch(step))
            step += 1
            if step % log_every == 0 or step == steps:
                values = {name: loss.item() for name, loss in losses.items()}
                run.log_metrics(step, {**values, "seconds": round(time.monotonic() - began, 3)})
            report(step, steps)
            if step % checkpoint_every == 0 or step == steps or received:
                save_checkpoint(run.checkpoints, step, *state)
            if received:
                raise Interrupted(
                    f"stopped after step {step} of {steps}, state saved in {run.checkpoints}; "
                    "run the same command to continue",
                    received[0],
                )
    for module in program.modules.values():
        module.eval()
    return seconds_so_far(run)


def seconds_so_far(run: RunDirectory) -> float:
    """Training time up to the last logged step."""
    lines = run.metrics()
    return lines[-1]["seconds"] if lines else 0.0


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; the second one ends the process as usual."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        logger.info("stopping after this step")
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
