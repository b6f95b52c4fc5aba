"""What `--no-resume` starts over is kept until the new run has results of its own.

It lies in the run's folder, in `.replaced`. The new run removes it at its end, or puts it back if
it ends with an error and no results. After a kill or a power cut the folder's next run does it.
While files are moved, whichever way, the folder is `.moving`: all that it holds goes back then.
"""

import logging
import os
import shutil
from pathlib import Path

from cebench.files import write_atomically
from cebench.reporting.records import REPLACED

_MOVING = ".moving"
_STAYING = {REPLACED, _MOVING, "run.lock", "run.toml"}
"""The folder has a run.toml at every moment: by it the next run knows that it may write there."""

logger = logging.getLogger("cebench")


def has_results(folder: Path) -> bool:
    """Whether the run of `folder` has a record, a checkpoint or predictions."""
    results = (folder / "record.json", folder / "checkpoints" / "index.json")
    predictions = (folder / "predictions").rglob("*")
    return any(path.exists() for path in results) or any(path.is_file() for path in predictions)


def set_aside(folder: Path) -> None:
    """Move the run of `folder` to `.replaced`; its run.toml stays beside until it is replaced."""
    moving = folder / _MOVING
    moving.mkdir()
    write_atomically(moving / "run.toml", (folder / "run.toml").read_bytes())
    for entry in _content(folder):
        os.replace(entry, moving / entry.name)
    os.replace(moving, folder / REPLACED)


def put_back(folder: Path) -> None:
    """Remove what the new run of `folder` wrote, and let it be the run that was set aside."""
    for entry in _content(folder):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    os.replace(folder / REPLACED, folder / _MOVING)
    _move_back(folder)
    logger.info(f"{folder}: nothing came of starting over; the run that was there is back")


def drop(folder: Path) -> None:
    """Remove the run that was set aside, if any."""
    if (folder / REPLACED).exists():
        shutil.rmtree(folder / REPLACED)


def settle(folder: Path) -> None:
    """Keep one of two runs that a kill left in `folder`: the new one where it has results."""
    if (folder / _MOVING).exists():
        _move_back(folder)
    elif has_results(folder):
        drop(folder)
    elif (folder / REPLACED).exists():
        put_back(folder)


def _move_back(folder: Path) -> None:
    for entry in list((folder / _MOVING).iterdir()):
        os.replace(entry, folder / entry.name)
    (folder / _MOVING).rmdir()


def _content(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.name not in _STAYING]
