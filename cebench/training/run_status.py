"""How far the runs below a folder are, read from their files alone (no torch, nothing written)."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cebench.errors import InputError
from cebench.files import is_locked, walk

State = Literal["finished", "running", "failed", "stopped", "unreadable"]

INTERRUPTIONS = ("Interrupted", "KeyboardInterrupt")
"""How the log's last line begins where a signal stopped the run."""


@dataclass(frozen=True)
class RunStatus:
    """One run directory."""

    path: Path
    state: State
    program: str
    """Such as `pretrain context` or `transfer detection`."""
    seed: int | None
    step: int
    """Finished steps that are saved; of a finished run all of them."""
    steps: int | None
    """Steps of the recipe; None where nothing is trained."""
    problem: str = ""
    """Last error of the log of a run that failed, or why it cannot be read."""


def runs_below(folder: Path) -> list[RunStatus]:
    """The runs below `folder` (each has a run.toml) sorted by path, links to folders followed.

    Hidden folders, and those that may not be read, are left out.
    """
    marks = []
    for place, folders, files in walk(folder, lenient=True):
        if "run.toml" in files:
            marks.append(place)
            folders.clear()
    return [run_status(path) for path in sorted(marks)]


def is_finished(out: Path, resume: bool) -> bool:
    """Whether --out holds a finished run that is not to be started over; its data may be gone."""
    return resume and (out / "record.json").exists()


def run_status(path: Path) -> RunStatus:
    """The status of the run directory `path`."""
    try:
        tables = tomllib.loads((path / "run.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as reading:
        return _unreadable(path, " ".join(str(reading).split()))
    run, recipe = (tables.get(name, {}) for name in ("run", "recipe"))
    if not isinstance(run, dict) or not isinstance(recipe, dict) or "verb" not in run:
        return _unreadable(path, "it does not say of which run it is")
    program = f"{run['verb']} {run.get('method') or run.get('task')}"
    steps = recipe.get("steps")
    error = last_error(path / "log.txt")
    state: State = "stopped"
    if (path / "record.json").exists():
        state, error = "finished", ""
    elif is_locked(path / "run.lock"):
        state, error = "running", ""
    elif error.startswith(INTERRUPTIONS):
        error = ""
    elif error:
        state = "failed"
    step = steps or 0 if state == "finished" else _saved_step(path / "checkpoints" / "index.json")
    return RunStatus(path, state, program, run.get("seed"), step, steps, error)


def _unreadable(path: Path, reason: str) -> RunStatus:
    return RunStatus(path, "unreadable", "", None, 0, None, f"run.toml cannot be read: {reason}")


def state_of_out(path: Path) -> str:
    """What --out is: `new`, or the state of its run, such as `stopped after step 20 of 40`."""
    if not (path / "run.toml").is_file():
        return "new"
    run = run_status(path)
    if run.state == "finished":
        return "finished: nothing would be done"
    return f"{run.state} after step {run.step:,} of {run.steps:,}" if run.steps else run.state


def check_is_finished(path: Path) -> None:
    """InputError if `path` is the directory of a run that is not finished, saying how far it is."""
    if not (path / "run.toml").is_file():
        return
    run = run_status(path)
    if run.state in ("finished", "unreadable"):
        return
    done = f" after step {run.step:,} of {run.steps:,}" if run.steps else ""
    raise InputError(
        f"{path}: this run ({run.program}) is {run.state}{done}; "
        + ("wait for it" if run.state == "running" else "give its command again to finish it")
        + ", or name a file that it has written"
    )


def _saved_step(index: Path) -> int:
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))
        return max((int(entry["step"]) for entry in entries), default=0)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return 0


def last_error(log: Path) -> str:
    """The message of the log's last line if that is an error or a stop by a signal, else empty."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    _, _, message = (lines or [""])[-1].partition(" ERROR ")
    return message
