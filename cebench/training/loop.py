"""The one training loop. A program supplies its modules, its batch for a step and its update."""

import logging
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cebench.config import TrainingRecipe
from cebench.distributed import any_rank, barrier, is_main_process
from cebench.errors import CebenchError, Interrupted
from cebench.progress import progress
from cebench.randomness import torch_seed
from cebench.training.checkpoints import DataHashes, load_checkpoint, save_checkpoint, saved_seconds
from cebench.training.run_directory import RunDirectory
from cebench.training.signals import collected_signals

logger = logging.getLogger("cebench")


class Program(Protocol):
    """A training program: all state lives in `modules` and `optimizers`, which checkpoints hold."""

    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]

    def batch(self, step: int) -> Any:
        """The batch of a step, a function of the program's seed and `step` alone.

        It may be made ahead, in another thread; it never draws from torch's global generator.
        """

    def update(self, step: int, batch: Any) -> Mapping[str, Tensor]:
        """One optimizer step; returns losses to log: scalars, left on their device."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long a program trains, and what is written on the way."""

    label: str
    """Name of the program in messages."""
    steps: int
    log_every: int
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int
    """Steps between two checkpoints."""
    seed: int
    data_fingerprint: str
    """A checkpoint of other data is refused."""
    data_order: str = ""
    """Hash of the same data in their order, where a batch knows them by their position and the
    fingerprint does not: a checkpoint of another order is refused."""
    prefetch: int = 0
    """Threads that make batches ahead of their step."""
    samples_at: Collection[int] = ()
    """Numbers of finished steps at which samples are saved."""

    @classmethod
    def of(cls, recipe: TrainingRecipe, **others: Any) -> Self:
        """The schedule with the recipe's steps and intervals; `others` are the other fields."""
        return cls(
            steps=recipe.steps,
            log_every=recipe.log_every,
            checkpoint_every=recipe.checkpoint_every,
            **others,
        )


def train(
    program: Program,
    run: RunDirectory,
    schedule: Schedule,
    save_samples: Callable[[int, float], None] | None = None,
) -> float:
    """Take `program` from its newest checkpoint in `run` to the end of its schedule.

    Every step draws its randomness from (seed, step), so that a run which was killed and continued
    ends with the same bits; a checkpoint of other data is refused. SIGINT and SIGTERM save, then
    raise Interrupted. Losses are looked at when a line is logged and before samples and
    checkpoints are saved: one that is not finite stops the run.

    `save_samples` is called with the number of finished steps and the seconds of training so far,
    the modules in eval mode.

    Returns:
        The seconds of training until the last step: those before an interruption included, those
        of `save_samples` and of steps that were done again left out.
    """
    label, steps, seed = schedule.label, schedule.steps, schedule.seed
    data = DataHashes(schedule.data_fingerprint, schedule.data_order)
    state = (program.modules, program.optimizers, data)
    step, seconds = load_checkpoint(run.checkpoints, *state)
    run.truncate_metrics(step)
    if is_main_process():
        logger.info(
            f"{label}: {f'continuing after step {step:,}' if step else 'starting'}, "
            f"{steps:,} steps in all"
        )
    _set_training(program, True)
    unread = _Losses(run.checkpoints)
    clock = _Clock(seconds)
    with collected_signals(_say_stopping) as received, progress(label) as report:
        report(step, steps)
        for batch in _batches(program, range(step, steps), schedule.prefetch):
            torch.manual_seed(torch_seed(seed, "step", step))
            unread.add(step, program.update(step, batch))
            step += 1
            stopping = any_rank(bool(received))
            logging_now = step % schedule.log_every == 0 or step == steps
            sampling = save_samples is not None and step in schedule.samples_at
            saving = step % schedule.checkpoint_every == 0 or step == steps or stopping
            if logging_now or sampling or saving:
                values, seconds = unread.read(), clock.seconds()
            if logging_now:
                run.log_metrics(step, {**values, "seconds": seconds})
            report(step, steps)
            if save_samples and sampling and is_main_process():
                with clock.stopped():
                    _set_training(program, False)
                    save_samples(step, seconds)
                    _set_training(program, True)
            if saving and is_main_process():
                save_checkpoint(run.checkpoints, step, seconds, *state)
            if stopping:
                _stop(run, step, steps, received)
    _set_training(program, False)
    if is_main_process():
        losses = "".join(f", {name} {value:.4g}" for name, value in unread.newest.items())
        logger.info(f"{label}: step {steps:,} of {steps:,} done{losses}")
    return seconds


class _Clock:
    """Counts the seconds of training from those of earlier sessions on."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic() - seconds

    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        before = time.monotonic()
        yield
        self._began += time.monotonic() - before


class _Losses:
    """Losses on their device until somebody reads them: reading waits for the device."""

    def __init__(self, checkpoints: Path) -> None:
        self.checkpoints = checkpoints
        self.unread: list[tuple[int, str, Tensor]] = []
        self.newest: dict[str, float] = {}

    def add(self, step: int, losses: Mapping[str, Tensor]) -> None:
        self.unread += [(step, name, loss) for name, loss in losses.items()]

    def read(self) -> dict[str, float]:
        """The newest losses; CebenchError if any since the last reading is not finite."""
        if not self.unread:
            return self.newest
        values = torch.stack([loss for _, _, loss in self.unread]).tolist()
        for (step, name, _), value in zip(self.unread, values, strict=True):
            if not math.isfinite(value):
                sound = any(self.checkpoints.glob("*.safetensors"))
                raise CebenchError(
                    f"step {step}: {name} is {value}; stopped. Lower the learning rate or look "
                    "at the images of this step"
                    + ("; checkpoints written before are sound" if sound else "")
                )
            self.newest[name] = value
        self.unread.clear()
        return self.newest


def _batches(program: Program, steps: range, ahead: int) -> Iterator[Any]:
    """The batch of each step in turn, made by `ahead` threads or, with 0, when asked for."""
    if not ahead:
        yield from map(program.batch, steps)
        return
    with ThreadPoolExecutor(ahead) as pool:
        waiting: deque[Future[Any]] = deque()
        for step in steps:
            waiting.append(pool.submit(program.batch, step))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _set_training(program: Program, training: bool) -> None:
    for module in program.modules.values():
        module.train(training)


def _stop(run: RunDirectory, step: int, steps: int, received: list[int]) -> None:
    barrier()  # A process that ended earlier would have torchrun kill the one that saves.
    raise Interrupted(
        f"stopped after step {step} of {steps}, state saved in {run.checkpoints}; "
        "run the same command to continue",
        received[0] if received else signal.SIGTERM,
    )


def seconds_so_far(run: RunDirectory) -> float:
    """Training time up to the last step that is logged or saved."""
    lines = run.metrics()
    return max(saved_seconds(run.checkpoints), lines[-1]["seconds"] if lines else 0.0)


def _say_stopping() -> None:
    logger.info("stopping after this step")
