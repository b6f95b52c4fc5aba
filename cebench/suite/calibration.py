"""How fast this machine is: a training step of CaffeNet by threads, and decoding photographs."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat

from cebench.config import Options
from cebench.errors import InputError
from cebench.files import write_atomically

_SIDE, _BATCH = 227, 16
_LEAST_SECONDS = 3.0
"""That each measurement takes."""


Threads = Annotated[str, Field(pattern="^[1-9][0-9]*$")]
StepSeconds = Annotated[dict[Threads, PositiveFloat], Field(min_length=1)]


class Calibration(Options):
    """What was measured of one machine."""

    machine: str
    step: StepSeconds
    """Threads -> seconds of a training step by image, float32."""
    half_step: StepSeconds
    """Threads -> seconds of a training step by image, bfloat16."""
    decode_seconds: PositiveFloat
    """Seconds for a photograph of 500 x 375 pixels, resized to a short side of 256, one thread."""

    def step_seconds(self, threads: int, *, half: bool) -> float:
        """Seconds of a training step by image with so many threads; the nearest that is known."""
        known = self.half_step if half else self.step
        nearest = min(sorted(map(int, known)), key=lambda count: abs(count - threads))
        return known[str(nearest)]


def calibration_file() -> Path:
    """Where this machine's calibration is kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "cebench" / "calibration.json"


def stored_calibration() -> Calibration | None:
    """What was measured of this machine; None before the first `cebench suite calibrate`."""
    try:
        return Calibration.model_validate(json.loads(calibration_file().read_text("utf-8")))
    except (OSError, ValueError):
        return None


def calibrate(threads: list[int]) -> Calibration:
    """Measure this machine with each number of threads, and store the result."""
    import torch

    from cebench.devices import device_name

    steps = {str(count): _step_seconds(count, half=False) for count in threads}
    halves = {str(count): _step_seconds(count, half=True) for count in threads}
    found = Calibration(
        machine=device_name(torch.device("cpu")),
        step=steps,
        half_step=halves,
        decode_seconds=_decode_seconds(),
    )
    path = calibration_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, found.model_dump_json(indent=2).encode())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); set XDG_CACHE_HOME"
        ) from None
    return found


def _step_seconds(threads: int, *, half: bool) -> float:
    """Seconds by image of forward and backward through CaffeNet's trunk, fc6 and fc7 left out."""
    import torch

    from cebench.devices import autocast
    from cebench.models.backbones import build_trunk

    torch.set_num_threads(threads)
    trunk = build_trunk()
    images = torch.randn(_BATCH, 3, _SIDE, _SIDE).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with autocast(torch.device("cpu"), "bf16" if half else "fp32"):
            loss = trunk(images).float().square().mean()
        trunk.zero_grad(set_to_none=True)
        loss.backward()

    return _least_seconds(step, threads) / _BATCH


def _decode_seconds() -> float:
    import io

    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG", quality=92)

    def decode() -> None:
        with Image.open(io.BytesIO(file.getvalue())) as image:
            np.asarray(image.convert("RGB").resize((341, 256), Image.Resampling.BILINEAR))

    return _least_seconds(decode)


def _least_seconds(function: Callable[[], None], threads: int = 1) -> float:
    """Processor seconds by thread of the fastest call in some seconds: as if nobody else ran."""
    function()
    began, least = time.perf_counter(), float("inf")
    while least == float("inf") or time.perf_counter() - began < _LEAST_SECONDS:
        start = time.process_time()
        function()
        least = min(least, time.process_time() - start)
    return least / threads
