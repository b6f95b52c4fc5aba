"""A small real training, run as a process of its own by the kill tests, or as several by torchrun.

python tiny_training.py RUN STEPS [K]: the K-th file replacement kills the process
after the temporary file is written and before it takes its name, as a power cut would.
"""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cebench.distributed import all_reduce_sum, local_slice, process_count, processes, sum_gradients
from cebench.models.sync_layers import BatchNorm2d, Dropout
from cebench.randomness import numpy_generator
from cebench.training.loop import Schedule, train
from cebench.training.run_directory import RunDirectory

IDENTITY = {"run": {"verb": "test"}, "recipe": {}}


class Tiny:
    """Convolution, BatchNorm, dropout and Adam: everything that has state or randomness."""

    def __init__(self, pause: float = 0.0, explode_at: int = -1) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 3), BatchNorm2d(8), nn.ReLU(), Dropout(0.5), nn.Conv2d(8, 1, 3)
        )
        self.adam = torch.optim.Adam(self.network.parameters(), lr=1e-2, fused=True)
        self.modules = {"network": self.network}
        self.optimizers = {"adam": self.adam}
        self.pause, self.explode_at = pause, explode_at

    def batch(self, step: int) -> Tensor:
        pixels = numpy_generator(0, "batch", step).normal(size=(4, 3, 12, 12))
        return torch.from_numpy(pixels[local_slice(4)]).float()

    def update(self, step: int, batch: Tensor) -> Mapping[str, Tensor]:
        loss = self.network(batch).square().mean() / process_count()
        if step == self.explode_at:
            loss = loss * float("inf")
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        sum_gradients(self.network.parameters())
        self.adam.step()
        time.sleep(self.pause)
        return {"loss": all_reduce_sum(loss)}

    def digest(self) -> str:
        """SHA-256 over all weights, buffers and moments."""
        tensors = list(self.network.state_dict().values())
        for parameter in self.network.parameters():
            state = self.adam.state[parameter]
            tensors += [state[key] for key in sorted(state)]
        digest = hashlib.sha256()
        for tensor in tensors:
            digest.update(tensor.detach().contiguous().numpy().tobytes())
        return digest.hexdigest()


def run_training(
    folder: Path,
    steps: int,
    program: Tiny,
    log_every: int = 1,
    tensorboard: bool = False,
    save_samples: Callable[[int, float], None] | None = None,
    **options: Any,
) -> str:
    with RunDirectory(folder, IDENTITY, tensorboard=tensorboard) as run:
        train(
            program,
            run,
            Schedule(
                label="tiny",
                steps=steps,
                log_every=log_every,
                checkpoint_every=2,
                seed=0,
                data_fingerprint="fixed",
                **options,
            ),
            save_samples,
        )
    return program.digest()


def _die_at_write(number: int) -> None:
    replace, left = os.replace, [number]

    def deadly(source: str, target: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = deadly  # type: ignore[assignment]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 3:
        _die_at_write(int(sys.argv[3]))
    with processes(torch.device("cpu")):
        print(run_training(Path(sys.argv[1]), int(sys.argv[2]), Tiny(pause=0.02)))
