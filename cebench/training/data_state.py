"""Whether the data of a finished run are still those that it was made from."""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from cebench import __version__
from cebench.data.listing import files_below
from cebench.devices import device_name
from cebench.distributed import is_main_process
from cebench.errors import InputError
from cebench.files import readable, write_atomically
from cebench.progress import counted
from cebench.training.run_directory import RunDirectory

logger = logging.getLogger("cebench")

DATA_STAMP = "data_stamp.txt"


def stamp(paths: Sequence[Path]) -> str:
    """Hash of the names, sizes and times of every file at or below `paths`; reads no content.

    Equal stamps are taken for equal data; unequal ones say nothing, for a copy has other times.
    """
    digest = hashlib.sha256()
    for root in paths:
        for path in [root] if root.is_file() else files_below(root, lenient=True):
            status = path.stat()
            name = os.fsencode(path.relative_to(root))
            digest.update(b"%s\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
    return digest.hexdigest()


def remember_data(run: RunDirectory, paths: Sequence[Path], mark: str = DATA_STAMP) -> None:
    """Keep the stamp of the data that a run begins with in its file `mark`."""
    if is_main_process():
        write_atomically(run.path / mark, f"{stamp(paths)}\n".encode())


def check_data_of_finished(
    run: RunDirectory,
    paths: Sequence[Path],
    stored: str | None,
    fingerprint: Callable[[], str],
    mark: str = DATA_STAMP,
) -> None:
    """InputError if a finished run's data changed; a line in the log if they cannot be compared.

    Args:
        run: a finished run.
        paths: files and folders that it read.
        stored: fingerprint in its record.
        fingerprint: reads the data and returns the same of what is there now.
        mark: name of the run's file with their stamp.
    """
    stamped = run.path / mark
    if not is_main_process() or not paths:
        return
    absent = [path for path in paths if not path.exists()]
    if absent:
        logger.warning(
            f"{run.path}: finished before; {absent[0]} is gone, so the data of the run "
            "cannot be compared"
        )
        return
    now = stamp(paths)
    if stamped.exists() and stamped.read_text(encoding="utf-8").strip() == now:
        return
    logger.info(
        f"{run.path}: finished before; its data are elsewhere or touched since: reading "
        "them to see whether they are the same"
    )
    if fingerprint() != stored:
        raise InputError(
            f"{run.path}: finished on other data than {_shown(paths)} now holds; restore them, "
            "choose another --out, or start over with --no-resume"
        )
    write_atomically(stamped, f"{now}\n".encode())


def log_start(recipe: str, seed: int, device: torch.device, data: Sequence[Path]) -> None:
    """What begins, on what, with what: the first lines of log.txt."""
    if not is_main_process():
        return
    threads = counted(torch.get_num_threads(), "thread")
    logger.info(
        f"{recipe}, seed {seed}, on {device.type} ({device_name(device)}), {threads}; "
        f"cebench {__version__}, torch {torch.__version__}"
    )
    logger.info(f"data: {_shown(data) or 'none'}")


def files_named_in(recipe: dict[str, object]) -> list[Path]:
    """The files that the values of a recipe name: lists of images, proposals."""
    return [Path(str(value)) for value in recipe.values() if names_a_file(value)]


def names_a_file(value: object) -> bool:
    """Whether an option is the path of a file that is there; a word such as `val` is not."""
    is_path = isinstance(value, str) and (os.sep in value or "." in value)
    return is_path and Path(str(value)).is_file()


def _shown(paths: Sequence[Path]) -> str:
    return " and ".join(readable(path) for path in paths)
