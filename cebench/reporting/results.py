"""Results wherever they are stored: run directories, folders of records."""

import functools
from collections.abc import Sequence
from pathlib import Path

from cebench.errors import InputError
from cebench.reporting.outcomes import (
    FILE_NAME,
    MAX_BYTES,
    RunOutcome,
    check_content,
    decode_outcome,
)
from cebench.reporting.records import Record, RecordFile, read_records


def read_results(places: Sequence[Path]) -> list[RecordFile]:
    """All records of `places`; first those with a stored outcome, so that these are preferred."""
    found = [item for place in places for item in read_records(place)]
    return sorted(found, key=lambda item: not has_outcome(*item))


def has_outcome(path: Path, record: Record) -> bool:
    """Whether the run whose record was read from `path` has its outcome beside it."""
    return record.outcome_sha256 is not None and (path.parent / FILE_NAME).is_file()


def find_outcome(path: Path, record: Record) -> RunOutcome | None:
    """The outcome of the run whose record was read from `path`, or None.

    InputError if the file is damaged or not that of the record.
    """
    if not has_outcome(path, record):
        return None
    content = outcome_content(path, record)
    return _decoded(content, str(path.parent / FILE_NAME))


def outcome_content(path: Path, record: Record) -> bytes:
    """The checked bytes of the outcome beside the record that was read from `path`."""
    place = path.parent / FILE_NAME
    if place.stat().st_size > MAX_BYTES:
        raise InputError(f"{place}: over {MAX_BYTES // 2**20} MiB: no outcome; delete the file")
    content = place.read_bytes()
    check_content(content, record, str(place))
    return content


@functools.lru_cache(maxsize=32)
def _decoded(content: bytes, where: str) -> RunOutcome:
    """Columns of one run are read one after another."""
    return decode_outcome(content, where)
