"""Records: one measured number with everything that determines it, flat, as JSON.

A run directory ends with `record.json` (the list of its numbers); `results/records/` holds the
same numbers, one file each, under a name made from what determines them.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict, FiniteFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from cebench.errors import InputError
from cebench.files import write_atomically

SCHEMA = 1
_NOT_DETERMINING = {"value", "started", "seconds", "git_commit", "git_dirty", "proposals"}
"""What was measured, when and by whom; proposals determine through `data_fingerprint`."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Record:
    """One number. Fractions in [0, 1] unless `unit` says otherwise; x100 happens in the tables."""

    schema: int = SCHEMA
    table: str
    """The paper's table, "1" or "2"."""
    row: str
    """What is measured: `context`, `random`, `nn-hog`, ..."""
    column: str
    """What it is measured by: `classification`, `psnr`, ..."""
    protocol: str
    """Name of the measuring rule, e.g. `voc2007-classification`."""
    protocol_version: int
    tier: str
    """`smoke`, `short` or `paper`; tiers never mix in a table."""
    metric: str
    value: FiniteFloat
    unit: str
    """`fraction`, `db` (decibels) or `s` (seconds)."""
    higher_is_better: bool
    count: int
    """Images scored."""
    seed: int
    recipe: str
    recipe_sha256: str
    """Hash of the resolved recipe; the seed is not part of it."""
    weights: str
    weights_sha256: str
    data: str
    data_fingerprint: str
    """Hash of the images and labels that were trained and scored on, and of the proposals."""
    cebench_version: str
    git_commit: str
    git_dirty: bool
    torch_version: str
    cuda_version: str
    device: str
    threads: int
    started: str
    """UTC, ISO 8601."""
    seconds: float
    proposals: str = "none"
    """Name and SHA-256 of the object proposals: detection."""


_ADAPTER = TypeAdapter(Record)


def record_address(record: Record) -> str:
    """File stem of a record: readable, then 12 hex digits of what determines its value."""
    determining = {
        name: value
        for name, value in dataclasses.asdict(record).items()
        if name not in _NOT_DETERMINING
    }
    digest = hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()[:12]
    return f"t{record.table}-{record.row}-{record.column}-{record.metric}-s{record.seed}-{digest}"


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write `records` as one JSON list, atomically."""
    content = json.dumps([dataclasses.asdict(record) for record in records], indent=2)
    write_atomically(path, (content + "\n").encode())


def write_record(folder: Path, record: Record) -> Path:
    """Write one record under its own address in `folder`; returns its path."""
    path = folder / f"{record_address(record)}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(dataclasses.asdict(record), indent=2) + "\n").encode())
    return path


def load_records(path: Path) -> list[Record]:
    """The records of one file (a list, or a single record)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        items = content if isinstance(content, list) else [content]
        return [_ADAPTER.validate_python(item) for item in items]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a JSON record file ({error}); delete it or run again"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: not a record of schema {SCHEMA}: {where}: {first['msg']}; run again"
        ) from None


def read_records(folder: Path) -> list[tuple[Path, Record]]:
    """All records below `folder`: `record.json` of run directories and files in `records/`."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected run directories or a results folder")
    paths = sorted({*folder.rglob("record.json"), *folder.rglob("records/*.json")})
    if folder.name == "records":
        paths = sorted({*paths, *folder.glob("*.json")})
    return [(path, record) for path in paths for record in load_records(path)]
