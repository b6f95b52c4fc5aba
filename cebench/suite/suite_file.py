"""Suite files: which rows are pretrained, which tasks measure them, and on what data."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from cebench.config import Options, validate
from cebench.errors import InputError, did_you_mean
from cebench.files import read_utf8, without_links
from cebench.run_options import LARGEST_SEED


def _check_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,59}", text):
        raise ValueError("a name has up to 60 small letters, digits, dots and hyphens")
    return text


Name = Annotated[str, AfterValidator(_check_name)]
"""Name of a row, a task or data: what may stand in a folder's name."""


class Drawn(Options):
    """The toy world, as `cebench data toy` draws it."""

    draw: Annotated[int, Field(ge=4)]
    """Images of each VOC year."""


class Tracked(Options):
    """Pairs of tracked patches, as `cebench data motion` mines them."""

    track: tuple[str, ...]
    """Videos or folders of frames."""
    frames: PositiveInt = 30
    short_side: PositiveInt = 448
    window: PositiveInt = 227
    least_moving: NonNegativeFloat = 0.25
    most_moving: NonNegativeFloat = 0.75
    tracker: Literal["kcf", "csrt"] = "kcf"


class CheckpointOptions(Options):
    """How a file of another program is read: the options of `cebench weights import`."""

    like: str | None = None
    architecture: str | None = Field(default=None, alias="as")
    mapping: str = ""
    inside: str = ""
    prefix: str = ""


class Row(CheckpointOptions):
    """What is transferred: a pretraining, or weights that are there."""

    method: str = ""
    """The pretext method; the row's name where it is not given."""
    data: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    region_shapes: str = ""
    recipe: str = ""
    set: tuple[str, ...] = ()
    """Changes of the recipe, such as "steps=100"."""
    gpus: PositiveInt = 1
    """Processes of one pretraining, under torchrun."""
    weights: str = ""
    """A weights file or run directory: nothing is pretrained."""
    checkpoint: str = ""
    """A file of another program, which is imported: nothing is pretrained."""
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] | None = None
    """Seed of the checkpoint's pretraining, where its line has several; None: the only one."""
    rescale: str = ""
    """A row whose weights are rescaled, on the images `on`."""
    on: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    """The only tasks that take it; None: all."""
    set_in: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Task -> changes of its recipe for this row."""

    @model_validator(mode="after")
    def _has_options_of_its_kind_alone(self) -> "Row":
        kinds = [kind for kind in ("weights", "checkpoint", "rescale") if getattr(self, kind)]
        if len(kinds) > 1:
            raise ValueError(f"{kinds[0]} and {kinds[1]}: a row has one source of weights")
        taken = _OPTIONS_OF[kinds[0] if kinds else "pretraining"]
        for option in self.model_fields_set - taken - {"tasks", "set_in", *kinds}:
            if getattr(self, option) not in ("", (), {}, None):
                what = f"of a row with {kinds[0]}" if kinds else "of a row that is pretrained"
                raise ValueError(f"{option}: no option {what}")
        return self


_OPTIONS_OF: Mapping[str, frozenset[str]] = {
    "pretraining": frozenset(
        {"method", "data", "exclude", "region_shapes", "recipe", "set", "gpus"}
    ),
    "weights": frozenset(),
    "checkpoint": frozenset({"method", "seed", *CheckpointOptions.model_fields}),
    "rescale": frozenset({"on"}),
}
"""What makes the weights of a row -> its options."""


class TaskEntry(Options):
    """A column: how rows are measured."""

    data: str
    also: tuple[str, ...] = ()
    """Further data that its recipe reads, such as SBD beside the devkit: they count too."""
    rows: tuple[str, ...] | None = None
    """The only rows that it measures; None: all."""
    recipe: str = ""
    set: tuple[str, ...] = ()
    engine: str = "native"


class Checkpoints(CheckpointOptions):
    """A folder of which every weights file is a row of the file's name."""

    folder: str
    tasks: tuple[str, ...] | None = None


class Suite(Options):
    """A suite: rows x pretrainings x tasks x seeds."""

    title: str
    introduction: str = ""
    recipe: str = "short"
    """The recipe of rows and tasks that name none."""
    pretrainings: PositiveInt = 1
    """Pretrainings of each row that is pretrained."""
    seeds: PositiveInt = 1
    """Fine-tunings of each pretraining."""
    threads: NonNegativeInt = 0
    """Threads of a cell; 0: a worker's share of the cores. Numbers depend on it to rounding."""
    data: dict[Name, str | Drawn | Tracked] = Field(default_factory=dict)
    rows: dict[Name, Row] = Field(default_factory=dict)
    tasks: dict[Name, TaskEntry]
    checkpoints: Checkpoints | None = None


def belongs(suite: Suite, row: str, task: str) -> bool:
    """Whether `task` measures `row`."""
    rows, tasks = suite.tasks[task].rows, suite.rows[row].tasks
    return (rows is None or row in rows) and (tasks is None or task in tasks)


@dataclass(frozen=True, kw_only=True)
class SuiteFile:
    """A suite and where it was read from."""

    suite: Suite
    folder: Path
    """What its relative paths start from."""


def suite_names() -> list[str]:
    """Names of the suites that come with the package; rates.toml, beside them, is none."""
    names = {entry.name for entry in files("cebench.suite").iterdir()}
    return sorted(name for name in names - {"rates.toml"} if name.endswith(".toml"))


def read_text(name: str) -> str:
    """The text of a suite file, or of one of the package; InputError where there is none."""
    path = Path(name)
    if path.is_file():
        return read_utf8(path)
    if name not in suite_names():
        raise InputError(f"{name}: no such suite file; {did_you_mean(name, suite_names())}")
    return files("cebench.suite").joinpath(name).read_text(encoding="utf-8")


def load_suite(name: str, data: Mapping[str, str] | None = None) -> SuiteFile:
    """The suite of a file, or of one of the package, with the paths of `data` in place of its own.

    Relative paths start from the file's folder, for a suite of the package from the current one.
    """
    try:
        values = tomllib.loads(read_text(name))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: not valid TOML: {error}") from None
    suite = validate(Suite, values, where=name)
    for given in data or {}:
        if given not in suite.data:
            raise InputError(
                f"--data {given}: {name} has no such data; {did_you_mean(given, suite.data)}"
            )
    if data:
        # A path that was typed starts from the current folder, not from the file's.
        typed = {given: str(without_links(Path(path))) for given, path in data.items()}
        suite = suite.model_copy(update={"data": {**suite.data, **typed}})
    path = Path(name)
    return SuiteFile(suite=suite, folder=path.resolve().parent if path.is_file() else Path.cwd())


def reference(text: str) -> tuple[str, str]:
    """("name", "below") of `{name}/below`, ("", "") of a path."""
    if not text.startswith("{"):
        return "", ""
    name, closed, below = text[1:].partition("}")
    if not closed:
        raise InputError(f"{text}: expected {{NAME}} or {{NAME}}/FOLDER")
    return name, below.strip("/")
