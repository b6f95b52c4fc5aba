"""What a run will roughly take, before it starts: time from counted arithmetic, and memory."""

import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cebench.config import Precision
from cebench.devices import autocast, device_name
from cebench.progress import counted, spoken_bytes, spoken_duration

SHARE_OF_CONVOLUTION = 0.5
"""Speed of a training step's arithmetic as a share of one convolution's: 0.3 to 0.9 was measured
for the methods on a CPU. What estimates say is right within a factor of three."""
PROGRAM_BYTES = 0.7 * 2**30
"""Python, PyTorch and its libraries in memory."""
START_SECONDS = 5.0
"""To import PyTorch and its libraries and to write what is found: most of a short run."""
DECODE_SECONDS = 0.004
"""For one photograph of VOC's size, on one thread."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a run does."""

    gflop: float = 0.0
    """Billions of floating point operations, a multiply-add counted as two."""
    photographs: int = 0
    """To decode."""
    more_seconds: float = 0.0
    """Seconds of one thread for what is no network's: Selective Search, linear SVMs."""
    images_bytes: float = 0.0
    """Decoded images that are kept in memory."""
    network_bytes: float = 0.0
    """Weights, gradients, moments, and the values of one batch."""


def estimate(work: Work, device: torch.device, precision: Precision = "fp32") -> dict[str, Any]:
    """Seconds and bytes of memory that `work` takes on `device`, roughly, for a dry run."""
    cores = max(1, torch.get_num_threads())
    speed = SHARE_OF_CONVOLUTION * convolution_gflops(device, precision)
    seconds = START_SECONDS + work.gflop / speed
    seconds += (work.photographs * DECODE_SECONDS + work.more_seconds) / cores
    memory = PROGRAM_BYTES + work.images_bytes + work.network_bytes
    return {
        "device": f"{device.type} ({device_name(device)}, {counted(cores, 'thread')})",
        "estimated_seconds": round(seconds, 1),
        "estimated_memory_bytes": int(memory),
    }


def spoken_estimate(found: dict[str, Any]) -> str:
    """The estimate as a line."""
    duration = spoken_duration(found["estimated_seconds"])
    return (
        f"{duration} and about {spoken_bytes(found['estimated_memory_bytes'])} of memory, "
        "within a factor of three"
    )


def convolution_gflops(device: torch.device, precision: Precision = "fp32") -> float:
    """Billions of operations a second in conv2 of CaffeNet, measured here for a fifth of a second.

    conv2 of 8 images: 8 x 27 x 27 places x 256 channels x 48 x 25 products in each of two groups.
    """
    images = torch.rand(8, 96, 27, 27, device=device)
    weight = torch.rand(256, 48, 5, 5, device=device)
    gflop = 2 * 8 * 27 * 27 * 256 * 48 * 25 / 1e9
    with autocast(device, precision):
        _ready(F.conv2d(images, weight, padding=2, groups=2))
        began, passes = time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < 0.2 or not passes:
            _ready(F.conv2d(images, weight, padding=2, groups=2))
            passes += 1
    return passes * gflop / max(elapsed, 1e-9)


def _ready(values: Tensor) -> None:
    """Wait for the device: reading one number does."""
    values.flatten()[0].item()
