"""Packing runs into a bundle, and scoring every number of a bundle again."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cebench.errors import InputError
from cebench.files import check_writable_file
from cebench.progress import progress
from cebench.reporting.bundles import check_size, open_bundle, write_bundle
from cebench.reporting.outcomes import FILE_NAME, RunOutcome, rescored, with_intervals
from cebench.reporting.records import Measurement, Record, RecordFile, record_name
from cebench.reporting.results import (
    BESIDE,
    check_not_read,
    file_beside,
    find_outcome,
    read_results,
    read_stored,
)

TOLERANCE = 1e-9
"""Relative difference below which two numbers are one: sums in another order, another library."""


@dataclass
class Verification:
    """What scoring again found."""

    records: int = 0
    numbers: int = 0
    """Those that were scored again and hold."""
    intervals: int = 0
    """Their intervals, drawn again."""
    without_outcome: list[str] = field(default_factory=list)
    """Numbers that nothing is stored of, such as times."""
    problems: list[str] = field(default_factory=list)
    """A line for each number or file that does not hold."""


def pack_runs(places: Sequence[Path], out: Path, *, write: bool = True) -> Verification:
    """Write all runs below `places` (run directories, folders, bundles) into the bundle `out`.

    write=False: a dry run, which scores the same and writes nothing.

    InputError, and nothing written, if a run is damaged, its numbers do not hold, or two records of
    one name differ.
    """
    check_writable_file(out, "results.zip")
    found = read_results(places)
    if not found:
        raise InputError(f"{', '.join(map(str, places))}: no record.json of a finished run found")
    check_not_read(out, found)
    result, files = Verification(), dict[str, bytes]()
    runs = _by_name(found)
    with progress("scoring again", "records") as report:
        for done, (stem, (path, record)) in enumerate(runs.items(), start=1):
            _check_record(path, record, result, intervals=False)
            files |= _files(path, stem)
            report(done, len(runs))
    if result.problems:
        raise InputError(f"{result.problems[0]}; run the transfer again with --no-resume")
    check_size(out, files)
    if write:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bundle(out, files)
    return result


def _by_name(found: Sequence[RecordFile]) -> dict[str, RecordFile]:
    """Name of the record -> the first file of it; InputError where two of one name differ."""
    runs: dict[str, RecordFile] = {}
    for path, record in found:
        stem = record_name(record)
        first, same = runs.setdefault(stem, (path, record))
        if same != record:
            raise InputError(
                f"{first} and {path}: two runs of one name ({stem}) differ; pack one of them"
            )
    return runs


def verify_bundle(path: Path, *, intervals: bool = True) -> Verification:
    """Check every byte of a bundle and score each of its numbers again.

    intervals: also draw the intervals again, which takes longer than all the rest. InputError if
    the file is no bundle or not safe to read; damage is among the problems.
    """
    bundle, result = open_bundle(path), Verification()
    truths: dict[tuple[str, ...], tuple[str, str]] = {}
    with progress("scoring again", "records") as report:
        for done, stem in enumerate(bundle.records, start=1):
            place = path / "records" / f"{stem}.json"
            try:
                record = bundle.record(stem)
                if record_name(record) != stem:
                    raise InputError(f"{place}: holds the record of {record_name(record)}")
                outcome = _check_record(place, record, result, intervals=intervals)
                if outcome:
                    _check_truth(place, record, outcome, truths)
            except InputError as error:
                result.problems.append(str(error))
            report(done, len(bundle.records))
    result.problems += _damaged(path)
    return result


def _check_record(
    path: Path, record: Record, result: Verification, *, intervals: bool
) -> RunOutcome | None:
    """Score the numbers of a record again; what does not hold is added to the problems."""
    result.records += 1
    outcome = find_outcome(path, record)
    if outcome is None and record.outcome_sha256 is not None:
        raise InputError(
            f"{path}: its outcome is missing: this is the record alone; give the run directory, "
            f"where {FILE_NAME} lies beside record.json, or a bundle that has it"
        )
    values = rescored(outcome, record) if outcome else {}
    for place, measurement in enumerate(record.measurements):
        name = f"{path}: {measurement.row}, {measurement.column}, {measurement.metric}"
        if place not in values:
            result.without_outcome.append(name)
        elif math.isclose(values[place], measurement.value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            result.numbers += 1
        else:
            result.problems.append(
                f"{name}: {measurement.value!r} is recorded, {values[place]!r} is scored"
            )
        if place in values and outcome and measurement.count != len(outcome.ids):
            result.problems.append(
                f"{name}: {measurement.count} images are recorded, {len(outcome.ids)} stored"
            )
    if intervals and outcome:
        _check_intervals(path, record, outcome, result)
    return outcome


def _check_intervals(path: Path, record: Record, outcome: RunOutcome, result: Verification) -> None:
    again = with_intervals(record.measurements, outcome, record.weights.method)
    for recorded, drawn in zip(record.measurements, again, strict=True):
        if outcome.part_of(recorded, record.weights.method) is None:
            continue
        ours, theirs = _ends(drawn), _ends(recorded)
        close = all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(ours, theirs, strict=False))
        if len(ours) != len(theirs) or not close:
            result.problems.append(
                f"{path}: {recorded.row}, {recorded.column}, {recorded.metric}: the interval "
                f"{_shown(theirs)} is recorded, {_shown(ours)} is drawn"
            )
        elif ours:
            result.intervals += 1


def _ends(measurement: Measurement) -> tuple[float, ...]:
    interval = measurement.interval
    return (interval.low, interval.high, interval.level) if interval else ()


def _shown(ends: Sequence[float]) -> str:
    return f"{ends[0]!r} to {ends[1]!r}" if ends else "none"


def _check_truth(
    path: Path, record: Record, outcome: RunOutcome, truths: dict[tuple[str, ...], tuple[str, str]]
) -> None:
    """InputError where two runs on the same data were scored on other images or labels."""
    for part in outcome.parts:
        key = (str(record.data.fingerprint), record.task, part.column, part.prefix)
        truth = (json.dumps(outcome.ids), part.scored.truth_sha256())
        if truths.setdefault(key, truth) != truth:
            raise InputError(
                f"{path}: its outcome is of other images or ground truth than that of another run "
                f"on the same data {record.data.name}"
            )


def _files(path: Path, stem: str) -> Mapping[str, bytes]:
    """What a bundle holds of a run."""
    beside = {folder: file_beside(path, folder) for folder in BESIDE}
    return {
        f"records/{stem}.json": read_stored(path),
        **{
            f"{folder}/{stem}{place.suffix}": read_stored(place)
            for folder, place in beside.items()
            if place is not None
        },
    }


def _damaged(path: Path) -> Iterator[str]:
    """What the hashes say of the files that are no records, and of the whole."""
    bundle = open_bundle(path)
    for name in bundle.names:
        if not name.startswith(("records/", "outcomes/")):
            try:
                bundle.read(name)
            except InputError as error:
                yield str(error)
    try:
        bundle.check_digest()
    except InputError as error:
        yield str(error)
