"""Records: what one run measured, with everything that determines it, as one JSON file.

A finished run directory holds `record.json`; `results/records/` holds copies of such files under
names that are made from what determines the numbers.
"""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from cebench.config import Line, Recipe, RecipeTier, Tier, values_sha256
from cebench.errors import InputError
from cebench.files import walk, write_atomically

if TYPE_CHECKING:
    from cebench.weights.files import Sidecar

SCHEMA = 2
MAX_BYTES = 16 * 2**20
"""Greatest size of a record file."""

REGION_SHAPES = "region_shapes_sha256"
"""The value of a pretraining recipe that is the hash of the silhouettes which shape its holes."""

REPLACED = ".replaced"
"""Folder in a run directory: the run that it starts over, whose record counts no more."""

SCORED_FILES = "scored-files"
"""The architecture of what another program wrote as files: nothing is known but the files."""

Text = Annotated[Line, StringConstraints(max_length=4000)]
Count = Annotated[int, Field(ge=0, le=10**12)]
_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True, config=_CLOSED)
class ResolvedRecipe:
    """A recipe as a run used it. None: unknown."""

    name: Text
    """Its full name, with every change, e.g. `context-short+steps=100`."""
    values: dict[Text, Any] | None
    """Every option with its value."""
    excluded_from_hash: tuple[Text, ...] = ()
    """Options that cannot change a number, or only by way of the data."""
    sha256: Text | None
    """Hash of the other values."""

    def __post_init__(self) -> None:
        if self.values is not None and self.sha256 != self.hash_without():
            raise ValueError("sha256 is not the hash of values")

    def hash_without(self, *options: str) -> str:
        """The hash as if `options` were excluded too; that of the name where values are unknown."""
        if self.values is None:
            return self.sha256 or f"unknown values of {self.name}"
        return values_sha256(self.values, {*self.excluded_from_hash, *options})

    @classmethod
    def of(cls, name: str, recipe: Recipe) -> "ResolvedRecipe":
        """`recipe`, which goes by `name`."""
        values, excluded = recipe.model_dump(mode="json"), recipe.excluded_from_hash
        return cls(
            name=name,
            values=values,
            excluded_from_hash=tuple(sorted(excluded)),
            sha256=values_sha256(values, excluded),
        )


@dataclass(frozen=True, kw_only=True, config=_CLOSED)
class DataSource:
    """The files that a run read."""

    name: Text
    fingerprint: Text | None
    """Hash of the images, labels, lists and proposals; None: unknown."""


@dataclass(frozen=True, kw_only=True, config=_CLOSED)
class WeightsOrigin:
    """What the weights are and how they came to be. None: unknown."""

    name: Text
    sha256: Text
    architecture: Text
    method: Text
    """The pretext method."""
    recipe: ResolvedRecipe
    tier: Tier
    seed: Count | None
    steps: Count | None
    data: DataSource
    seconds: NonNegativeFloat | None

    @classmethod
    def of(cls, name: str, sidecar: "Sidecar") -> "WeightsOrigin":
        """What `sidecar` says of the weights that go by `name`."""
        return cls(
            name=name,
            sha256=sidecar.sha256,
            architecture=sidecar.architecture,
            method=sidecar.method,
            recipe=ResolvedRecipe(
                name=sidecar.recipe,
                values=sidecar.recipe_values,
                excluded_from_hash=sidecar.recipe_excluded_from_hash,
                sha256=sidecar.recipe_sha256,
            ),
            tier=sidecar.tier,
            seed=sidecar.seed,
            steps=sidecar.steps,
            data=DataSource(name=sidecar.data, fingerprint=sidecar.data_fingerprint),
            seconds=sidecar.seconds,
        )


@dataclass(frozen=True, kw_only=True, config=_CLOSED)
class Interval:
    """A confidence interval, in the unit of its measurement."""

    low: float
    high: float
    level: Annotated[float, Field(gt=0, lt=1)]
    method: Text
    """E.g. `bootstrap over images`."""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low={self.low} exceeds high={self.high}")


@dataclass(frozen=True, kw_only=True, config=_CLOSED)
class Measurement:
    """One number. A fraction in [0, 1] unless `unit` says otherwise; x100 happens in the tables."""

    row: Text
    """What is measured: `context`, `random`, `nn-hog`, ..."""
    column: Text
    """What it is measured by: `classification`, `psnr`, ..."""
    metric: Text
    value: float
    unit: Text
    """`fraction`, `db` (decibels) or `s` (seconds)."""
    higher_is_better: bool
    count: Count
    """Images scored."""
    draws: Annotated[int, Field(ge=1, le=10**6)] = 1
    """Random draws of training images that the value is the mean over."""
    of_weights: bool = True
    """Whether the weights had a part in it; a baseline without a network has none."""
    interval: Interval | None = None
    """Over images."""
    no_interval: Text = ""
    """Why there is no interval over images."""


@dataclass(frozen=True, kw_only=True, config=_CLOSED)
class Record:
    """What one run measured."""

    schema: Annotated[int, Field(ge=SCHEMA, le=SCHEMA)] = SCHEMA
    table: Text
    """Where its numbers stand: the paper's table "1" or "2", `linear`, `low-shot`, `knn`,
    `dense-probe`."""
    task: Text
    """The task of a transfer, or `pretraining`."""
    protocol: Text
    """Name of the measuring rule, e.g. `voc-fcn`."""
    protocol_version: Count
    tier: RecipeTier
    """That of `recipe`; a number's own is the lowest of this and that of the weights."""
    seed: Count
    recipe: ResolvedRecipe
    data: DataSource
    proposals: Text = "none"
    """Name and SHA-256 of the object proposals; they are part of the data's fingerprint."""
    weights: WeightsOrigin
    """What was measured; of a pretraining, what it made."""
    cebench_version: Text
    git_commit: Text
    git_dirty: bool
    torch_version: Text
    cuda_version: Text
    device: Text
    threads: Count
    started: Text
    """UTC, ISO 8601."""
    seconds: NonNegativeFloat
    measurements: Annotated[tuple[Measurement, ...], Field(max_length=10_000)]
    outcome_sha256: Text | None = None
    """SHA-256 of outcome.safetensors, which the numbers can be scored from again; None: none."""


RecordFile = tuple[Path, Record]
"""A record and the file that it was read from."""

_ADAPTER = TypeAdapter(Record)


def record_name(record: Record) -> str:
    """File stem of a record: readable, then 12 hex digits of what determines its numbers."""
    weights = record.weights
    determining = [
        *(record.schema, record.table, record.task, record.protocol, record.protocol_version),
        *(record.seed, record.recipe.hash_without(), record.data.fingerprint),
        *(weights.sha256, weights.recipe.hash_without(), record.cebench_version),
        *(record.torch_version, record.cuda_version, record.device, record.threads),
        sorted((m.row, m.column, m.metric) for m in record.measurements),
    ]
    digest = hashlib.sha256(json.dumps(determining).encode()).hexdigest()[:12]
    seeds = f"p{'x' if weights.seed is None else weights.seed}"
    seeds += "" if record.task == "pretraining" else f"-s{record.seed}"
    method = re.sub(r"[^A-Za-z0-9_.+-]", "-", weights.method)[:60]
    return f"t{record.table}-{method}-{record.task}-{seeds}-{digest}"


def write_record(path: Path, record: Record) -> Path:
    """Write `record` as a JSON object with the hash of its content, atomically; returns `path`."""
    content = dataclasses.asdict(record)
    content = {**content, "content_sha256": _content_sha256(content)}
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())
    return path


def load_record(path: Path) -> Record:
    """The record of one file.

    InputError if it is damaged or edited (one changed digit suffices) or of another schema.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: over {MAX_BYTES // 2**20} MiB: no record; delete the file")
        return load_record_content(path.read_bytes(), path)
    except OSError as error:
        raise InputError(
            f"{path}: not a JSON record file ({error}); delete it or run again with --no-resume"
        ) from None


def load_record_content(data: bytes, path: Path) -> Record:
    """The record in a file's content; `path` is what errors name."""
    content = _json_object(data, path)
    stated = content.pop("content_sha256", None)
    if content.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: a record of schema {content.get('schema')!r}, expected {SCHEMA}; run again "
            "with --no-resume"
        )
    if stated != _content_sha256(content):
        raise InputError(
            f"{path}: damaged or edited: its content_sha256 is not that of its content; restore "
            "the file or run again with --no-resume"
        )
    try:
        return _ADAPTER.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"{path}: not a record of schema {SCHEMA}: {where}: {first['msg']}; run again "
            "with --no-resume"
        ) from None


def read_records(folder: Path) -> list[RecordFile]:
    """All records below `folder`: `record.json` of run directories and files in `records/`.

    Links to folders are followed, each folder is read once. OSError where one may not be read: a
    run that is left out unseen would change the means.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such file or folder; expected run directories, a results folder or a "
            "bundle"
        )
    paths = [
        place / name
        for place, _, names in walk(folder)
        for name in names
        if name == "record.json" or (place.name == "records" and name.endswith(".json"))
    ]
    return [(path, load_record(path)) for path in sorted(paths)]


def _json_object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not a JSON record file ({error}); delete it or run again with --no-resume"
        ) from None
    if isinstance(content, list):
        raise InputError(
            f"{path}: a list of numbers, as schema 1 had it; a record of schema {SCHEMA} is one "
            "object for the run: run again with --no-resume"
        )
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: not a JSON record file (no object); delete it or run again with --no-resume"
        )
    return content


def _content_sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
