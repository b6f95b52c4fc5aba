"""A suite of real pretrainings that take seconds, and runs of it as processes of their own."""

import json
import re
import subprocess
import sys
from pathlib import Path

TEXT = """
title = "a tiny suite"
recipe = "smoke"
pretrainings = 2
threads = 1

[data]
toy = { draw = 4 }

[rows.random]

[rows.random-he]

[rows.autoencoder]
data = ["{toy}/unlabeled"]
set = ["steps=6", "batch_size=4", "checkpoint_every=2", "held_out_images=1", "warmup_steps=2"]

[rows.denoising-autoencoder]
data = ["{toy}/unlabeled"]
set = ["steps=6", "batch_size=4", "checkpoint_every=2", "held_out_images=1", "warmup_steps=2"]

[tasks]
"""
CELLS = 1 + 4 * 2


def start(file: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """`cebench suite run` in a process group of its own."""
    command = ["suite", "run", str(file), "--out", str(out), "--device", "cpu", *options]
    return subprocess.Popen(
        # -P: the code under test, as here; a plan knows the code that made it.
        [sys.executable, "-P", "-m", "cebench", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def weights(out: Path) -> dict[str, str]:
    """Run -> SHA-256 of what it learned, of finished runs."""
    finished = sorted((out / "runs").glob("*/record.json"))
    return {p.parent.name: json.loads(p.read_text())["weights"]["sha256"] for p in finished}


def attempts(out: Path) -> dict[str, int]:
    """Cell -> how often it was begun."""
    logs = (out / "cells").glob("*.log")
    # Each begins with `NAME: VERB with 1 thread`.
    return {log.stem: len(re.findall(r" with \d+ threads?\n", log.read_text())) for log in logs}
