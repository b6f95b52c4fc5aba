"""Results wherever they are stored: run directories, folders of records, bundles."""

import functools
from collections.abc import Sequence
from pathlib import Path

from cebench.errors import InputError
from cebench.reporting.bundles import bundle_around, open_bundle
from cebench.reporting.outcomes import (
    FILE_NAME,
    MAX_BYTES,
    RunOutcome,
    check_content,
    decode_outcome,
)
from cebench.reporting.records import Record, RecordFile, read_records

BESIDE = {"outcomes": FILE_NAME, "recipes": "run.toml", "weights": "weights.json"}
"""Folder of a bundle -> the file of a run directory that it holds."""


def read_results(places: Sequence[Path]) -> list[RecordFile]:
    """All records of `places`; first those with a stored outcome, so that these are preferred.

    A record of a bundle has a path such as `X.zip/records/NAME.json`.
    """
    found = [item for place in places for item in _read(place)]
    return sorted(found, key=lambda item: not has_outcome(*item))


def check_not_read(out: Path, found: Sequence[RecordFile]) -> None:
    """InputError where `out` is a file of a record, of what lies beside it, or of its bundle."""
    if not out.exists():
        return
    for path, _ in found:
        archive = bundle_around(path)
        beside = [path.parent / name for name in BESIDE.values()] * (path.name == "record.json")
        for place in [archive] if archive else [path, *beside]:
            if place.exists() and out.samefile(place):
                raise InputError(f"--out {out}: is read here and would be lost; name another file")


def _read(place: Path) -> list[RecordFile]:
    if not place.is_file():
        return read_records(place)
    bundle = open_bundle(place)
    bundle.check_digest()
    stems = bundle.records
    return [(place / "records" / f"{stem}.json", bundle.record(stem)) for stem in stems]


def has_outcome(path: Path, record: Record) -> bool:
    """Whether the run whose record was read from `path` has its outcome beside it."""
    return record.outcome_sha256 is not None and file_beside(path, "outcomes") is not None


def find_outcome(path: Path, record: Record) -> RunOutcome | None:
    """The outcome of the run whose record was read from `path`, or None.

    InputError if the file is damaged or not that of the record.
    """
    if record.outcome_sha256 is None:
        return None
    place = file_beside(path, "outcomes")
    if place is None:
        return None
    content = read_stored(place)
    check_content(content, record, str(place))
    return _decoded(content, str(place))


def file_beside(path: Path, folder: str) -> Path | None:
    """Where the file of `BESIDE[folder]` lies for the record that was read from `path`, if any."""
    archive = bundle_around(path)
    if archive is None:
        place = path.parent / BESIDE[folder]
        return place if path.name == "record.json" and place.is_file() else None
    name = f"{folder}/{path.stem}{Path(BESIDE[folder]).suffix}"
    return archive / name if name in open_bundle(archive).names else None


def read_stored(place: Path) -> bytes:
    """The content of a record or of what `file_beside` found."""
    archive = bundle_around(place)
    if archive is not None:
        return open_bundle(archive).read(str(place.relative_to(archive)))
    if place.stat().st_size > MAX_BYTES:
        raise InputError(f"{place}: over {MAX_BYTES // 2**20} MiB; delete the file")
    return place.read_bytes()


@functools.lru_cache(maxsize=32)
def _decoded(content: bytes, where: str) -> RunOutcome:
    """Columns of one run are read one after another."""
    return decode_outcome(content, where)
