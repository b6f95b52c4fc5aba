"""`outcome.safetensors`: what the numbers of a run can be scored from again, without photographs.

One small file beside the record, which holds its SHA-256: the ids of the images, and for each row,
column and variant of the run's numbers a `Scorable`.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cebench.errors import InputError
from cebench.files import write_atomically
from cebench.metrics.image_intervals import ImageInterval, image_intervals
from cebench.metrics.image_weights import WeightedScores
from cebench.reporting.outcome_parts import KINDS, Scorable
from cebench.reporting.records import Interval, Measurement, Record

FILE_NAME = "outcome.safetensors"
SCHEMA = 1
MAX_BYTES = 512 * 2**20
"""Greatest size of an outcome file."""
_METADATA = "cebench_outcome"
_DAMAGE = (*(SafetensorError, ValueError, LookupError, TypeError, AttributeError, RecursionError),)
"""What reading a damaged file raises."""


@dataclass(frozen=True, kw_only=True)
class OutcomePart:
    """What some of a run's numbers were scored from, and which these are."""

    scored: Scorable
    column: str = ""
    """Empty: the metrics themselves have their columns, as in Table 1."""
    row: str = ""
    """Empty: the row of the weights' method."""
    prefix: str = ""
    suffix: str = ""
    """Metrics in the record have their names between these: `mean_ap_area` + `_one_crop`."""

    def scores(self) -> dict[str, float]:
        """Metric, as in the record -> value."""
        return {self._name(metric): value for metric, value in self.scored.scores().items()}

    def runs(self) -> Sequence[WeightedScores]:
        """See `Scorable.runs`; their metrics have no prefix and suffix."""
        return self.scored.runs()

    def base_metric(self, metric: str) -> str:
        """`metric` of the record without prefix and suffix."""
        return metric.removeprefix(self.prefix).removesuffix(self.suffix)

    def has(self, measurement: Measurement, method: str) -> bool:
        """Whether `measurement` of weights of `method` was scored from it."""
        base = self.base_metric(measurement.metric)
        return (
            (self.row or method) == measurement.row
            and self.column in ("", measurement.column)
            and self._name(base) == measurement.metric
            and base.removesuffix("_sd_over_draws") in self.scored.metrics
        )

    def _name(self, metric: str) -> str:
        return f"{self.prefix}{metric}{self.suffix}"


@dataclass(frozen=True, eq=False)
class RunOutcome:
    """All that a run's numbers were scored from; equal where the files are, byte by byte."""

    ids: tuple[str, ...]
    """N names of the images, in the order of every part."""
    parts: tuple[OutcomePart, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunOutcome) and encode_outcome(self) == encode_outcome(other)

    def part_of(self, measurement: Measurement, method: str) -> OutcomePart | None:
        """What `measurement` of weights of `method` was scored from, if anything here."""
        return next((part for part in self.parts if part.has(measurement, method)), None)


def write_outcome(path: Path, outcome: RunOutcome) -> str:
    """Write `outcome` atomically; returns the file's SHA-256. Equal outcomes give equal bytes."""
    content = encode_outcome(outcome)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def encode_outcome(outcome: RunOutcome) -> bytes:
    """The file's content."""
    tensors: dict[str, np.ndarray] = {}
    described = []
    for number, part in enumerate(outcome.parts):
        names = {f"{number:03}.{name}": array for name, array in part.scored.arrays().items()}
        tensors |= {name: np.ascontiguousarray(array) for name, array in names.items()}
        described.append(
            {
                "kind": part.scored.kind,
                "classes": part.scored.classes,
                **{name: getattr(part, name) for name in ("row", "column", "prefix", "suffix")},
            }
        )
    metadata = {"schema": SCHEMA, "ids": list(outcome.ids), "parts": described}
    # One key: safetensors writes several in an order of its own.
    return save(tensors, {_METADATA: json.dumps(metadata)})


def decode_outcome(content: bytes, where: str) -> RunOutcome:
    """The outcome in a file's content; InputError, naming `where`, if it is damaged or none."""
    try:
        tensors, metadata = load(content), _metadata(content)
        if metadata["schema"] != SCHEMA:
            raise ValueError(f"schema {metadata['schema']!r}, expected {SCHEMA}")
        ids = tuple(map(str, metadata["ids"]))
        if not ids:
            raise ValueError("no images")
        parts = tuple(
            _part(number, described, tensors, len(ids))
            for number, described in enumerate(metadata["parts"])
        )
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{where}: no outcome of a cebench run, or damaged ({reason}); run the transfer "
            "again with --no-resume"
        ) from None
    return RunOutcome(ids, parts)


def check_content(content: bytes, record: Record, where: str) -> None:
    """InputError unless `content` is the outcome file that `record` was made with."""
    if record.outcome_sha256 is None:
        raise InputError(
            f"{where}: its record names no outcome; run the transfer again with --no-resume"
        )
    if hashlib.sha256(content).hexdigest() != record.outcome_sha256:
        raise InputError(
            f"{where}: its SHA-256 is not the one in its record: damaged, edited or of another "
            "run; restore the file or run the transfer again with --no-resume"
        )


def rescored(outcome: RunOutcome, record: Record) -> dict[int, float]:
    """Place in `record.measurements` -> the value scored anew, where the outcome has it.

    A deviation over draws of which there is one is nan.
    """
    values: dict[int, dict[str, float]] = {}
    found = {}
    for place, measurement in enumerate(record.measurements):
        part = outcome.part_of(measurement, record.weights.method)
        if part is not None:
            scores = values.setdefault(id(part), {}) or part.scores()
            values[id(part)] = scores
            found[place] = scores.get(measurement.metric, math.nan)
    return found


def with_intervals(
    measurements: Sequence[Measurement], outcome: RunOutcome, method: str
) -> tuple[Measurement, ...]:
    """`measurements` of weights of `method` with their intervals over images, or why there is none.

    A deviation over draws has neither.
    """
    known: dict[int, Mapping[str, ImageInterval]] = {}
    found = []
    for measurement in measurements:
        part = outcome.part_of(measurement, method)
        if part is not None:
            if id(part) not in known:
                known[id(part)] = image_intervals(part.runs())
            interval = known[id(part)].get(part.base_metric(measurement.metric))
            measurement = _with_interval(measurement, interval) if interval else measurement
        found.append(measurement)
    return tuple(found)


def _with_interval(measurement: Measurement, found: ImageInterval) -> Measurement:
    if found.ends is None:
        return replace(measurement, interval=None, no_interval=found.reason)
    low, high = found.ends
    interval = Interval(low=low, high=high, level=found.level, method=found.method)
    return replace(measurement, interval=interval, no_interval="")


def _metadata(content: bytes) -> dict[str, Any]:
    """The JSON under our key in a safetensors header: 8 bytes of length, then an object."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found: dict[str, Any] = json.loads(header["__metadata__"][_METADATA])
    return found


def _part(
    number: int, described: Mapping[str, Any], tensors: Mapping[str, np.ndarray], images: int
) -> OutcomePart:
    start = f"{number:03}."
    arrays = {n.removeprefix(start): array for n, array in tensors.items() if n.startswith(start)}
    classes = described["classes"]
    if not isinstance(classes, int) or not 0 <= classes <= 10_000:
        raise ValueError(f"{classes!r} classes")
    return OutcomePart(
        scored=KINDS[described["kind"]].from_arrays(arrays, images, classes),
        **{name: str(described[name]) for name in ("row", "column", "prefix", "suffix")},
    )
