"""A run directory: who it belongs to, what was logged, and whether it is finished.

`run.toml` is written first, `record.json` last; whatever lies between can be continued.
"""

import contextlib
import json
import logging
import shutil
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cebench.config import to_toml
from cebench.distributed import barrier, is_main_process
from cebench.errors import InputError
from cebench.files import naming, remove_temporaries, write_atomically
from cebench.reporting.metrics_log import FILE_NAME as METRICS
from cebench.reporting.metrics_log import read_metrics
from cebench.reporting.records import REPLACED, Record, load_record, write_record
from cebench.training.replaced_run import (
    drop,
    has_results,
    put_back,
    set_aside,
    settle,
)
from cebench.training.run_owner import Identity, check_owner, identity_toml

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

logger = logging.getLogger("cebench")


class RunDirectory:
    """One run's folder, open for one run at a time (`with RunDirectory(...) as run`).

    Where several processes train together, the leading one claims and writes; the others read.
    """

    def __init__(
        self, path: Path, identity: Identity, *, resume: bool = True, tensorboard: bool = False
    ) -> None:
        """Claim `path` for the run that `identity` describes.

        identity: tables of run.toml ({"run": {...}, "recipe": {...}}). A folder that holds another
        run, or other files, is refused with InputError. resume=False starts this run over: what
        was there is kept until the new run has results, and comes back if it ends without.
        tensorboard: whether metrics also go to event files in tensorboard/.
        """
        self.path = path
        self._identity = identity
        self._is_main_process = is_main_process()
        self._events = _event_writers() if tensorboard and self._is_main_process else None
        self._writer: SummaryWriter | None = None
        if self._is_main_process:
            self._claim(resume)
        barrier()
        self.started = self._started()

    def _claim(self, resume: bool) -> None:
        path = self.path
        check_owner(path, self._identity)
        self._made_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path / "run.lock")
        try:
            self._lock.acquire(timeout=0.3)  # `cebench status` holds it for a moment.
        except Timeout:
            raise InputError(
                f"{path}: another process is writing this run; wait for it or choose another --out"
            ) from None
        remove_temporaries(path)
        settle(path)
        if not resume and (path / "run.toml").exists():
            set_aside(path)
        elif self.finished:  # Its last process may have been stopped right after the record.
            self._drop_checkpoints()
        started = (resume and self._started()) or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        begun = to_toml({"started": started})
        write_atomically(path / "run.toml", f"{begun}\n{identity_toml(self._identity)}".encode())
        self._log = logging.FileHandler(
            path / "log.txt", encoding="utf-8", errors="backslashreplace"
        )
        self._log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(self._log)

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_main_process:
            return
        if self._writer:
            self._writer.close()
        if error is not None:
            self._log.handle(
                logger.makeRecord("cebench", logging.ERROR, "", 0, repr(error), (), None)
            )
        logger.removeHandler(self._log)
        self._log.close()
        starting_over = (self.path / REPLACED).exists()
        if error is None or has_results(self.path) or (self.metrics() and not starting_over):
            drop(self.path)
            self._lock.release()
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Leave the folder as it was found, so that the corrected command may have it."""
        if (self.path / REPLACED).exists():
            put_back(self.path)
        else:
            self._clear()
        self._lock.release()
        (self.path / "run.lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Another process may have begun in them.
            for folder in self._made_folders:
                folder.rmdir()

    @property
    def finished(self) -> bool:
        """Whether the run is complete: its record.json stands."""
        return (self.path / "record.json").exists()

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line to metrics.jsonl: the number of finished steps and the values."""
        if not self._is_main_process:
            return
        path = self.path / METRICS
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def metrics(self) -> list[dict[str, float]]:
        """The lines of metrics.jsonl; a line that a kill cut short is left out."""
        return read_metrics(self.path)

    def truncate_metrics(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will do again."""
        if not self._is_main_process:
            return
        kept = [line for line in self.metrics() if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(self.path / METRICS, text.encode())
        if self._events:
            self._writer = self._events(str(self.path / "tensorboard"), purge_step=step + 1)

    def check_data_fingerprint(self, fingerprint: str) -> None:
        """Say on which data the stored predictions rest, before the first one is written.

        InputError if the run began with other data.
        """
        mark = self.path / "data_fingerprint.txt"
        if not mark.exists():
            write_atomically(mark, f"{fingerprint}\n".encode())
        elif mark.read_text(encoding="utf-8").strip() != fingerprint:
            raise InputError(
                f"{self.path}: the data changed since this run began; restore them, or use "
                "--no-resume or another --out"
            )

    def finish(self, record: Record) -> None:
        """Write record.json last; the checkpoints, which nothing needs any more, go after it."""
        write_record(self.path / "record.json", record)
        self._drop_checkpoints()

    def record(self) -> Record:
        """The record of a finished run."""
        return load_record(self.path / "record.json")

    def _drop_checkpoints(self) -> None:
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _started(self) -> str:
        mark = self.path / "run.toml"
        text = mark.read_text(encoding="utf-8") if mark.exists() else ""
        return str(tomllib.loads(text).get("started", ""))

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "run.lock":
                entry.unlink()


def _event_writers() -> "type[SummaryWriter]":
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise InputError(
            "--tensorboard needs TensorBoard: pip install 'cebench[tensorboard]'"
        ) from None
    return SummaryWriter
