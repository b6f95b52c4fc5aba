"""The runs on the page: which run directories there are, what they did, on what and how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cebench.progress import counted, untrained
from cebench.reporting.cell_texts import duration_text
from cebench.reporting.notes import NO_RECORD
from cebench.reporting.records import Record, RecordFile, record_name
from cebench.reporting.row_names import row_of_predictions


@dataclass(frozen=True)
class Run:
    """A run and, where it was found, its directory."""

    record: Record
    path: Path
    """The file of its record."""

    @property
    def folder(self) -> Path | None:
        """The run directory; None for a record alone."""
        return self.path.parent if self.path.name == "record.json" else None

    @property
    def row(self) -> str:
        """The row of its own numbers, with the network where that is another library's.

        The models of Table 1 have a row for each objective, their pretrainings too.
        """
        weights = self.record.weights
        row = weights.method
        if self.record.task in ("inpainting", "pretraining"):
            values = weights.recipe.values or {}
            row = row_of_predictions(weights.architecture, weights.method, values)
        return f"{row} ({weights.architecture})" if "/" in weights.architecture else row

    @property
    def program(self) -> str:
        """What was run, as a heading: runs of one program have curves of the same kind."""
        if self.record.task == "pretraining":
            return f"pretraining, {self.row}"
        return self.record.task

    @property
    def label(self) -> str:
        """Row and seeds: which of a program's runs it is."""
        pretraining, seed = self.record.weights.seed, self.record.seed
        if self.record.task == "pretraining":
            return f"{self.row}, seed {seed}"
        of_weights = "" if pretraining is None else f"pretraining {pretraining}, "
        return f"{self.row}, {of_weights}seed {seed}"

    @property
    def training(self) -> str:
        """How little a smoke run was trained, for captions; empty for any other."""
        weights, values = self.record.weights, self.record.recipe.values or {}
        if "smoke" not in (self.record.tier, weights.tier):
            return ""
        tuned = values.get("steps") if self.record.task != "pretraining" else None
        return untrained(weights.steps, tuned, self.record.task)


@dataclass(frozen=True)
class Text:
    """A cell's text and what it is sorted by."""

    text: str
    sort: float | str


RUN_HEADINGS = ("Run", "Tier", "Took", "Steps", "Device", "Software", "Started", "Recipe")


def runs_of(found: Sequence[RecordFile]) -> list[Run]:
    """Each run once, run directories preferred to copies of their records, in order of program."""
    unique: dict[str, Run] = {}
    for path, record in found:
        run, name = Run(record, path), record_name(record)
        if name not in unique or (unique[name].folder is None and run.folder):
            unique[name] = run
    return sorted(unique.values(), key=lambda run: (run.record.task != "pretraining", *_key(run)))


def first_of_each_row(runs: Sequence[Run]) -> list[Run]:
    """The run of the lowest seeds of each program and row."""
    first: dict[tuple[str, str], Run] = {}
    for run in runs:
        first.setdefault((run.program, run.row), run)
    return list(first.values())


def run_lines(runs: Sequence[Run]) -> list[list[Text]]:
    """A line for each run, the cells those of RUN_HEADINGS."""
    return [_line(run) for run in runs]


def _key(run: Run) -> tuple[str, str, int, int]:
    seed = run.record.weights.seed
    return run.program, run.row, -1 if seed is None else seed, run.record.seed


def _line(run: Run) -> list[Text]:
    record = run.record
    pretraining = record.task == "pretraining"
    values = record.recipe.values or {}
    steps = record.weights.steps if pretraining else values.get("steps")
    seconds = record.weights.seconds if pretraining else record.seconds
    threads = counted(record.threads, "thread")
    commit = f", commit {record.git_commit[:10]}" if record.git_commit else ""
    changed = " with changes" if record.git_dirty else ""
    software = f"cebench {record.cebench_version}{commit}{changed}, torch {record.torch_version}"
    name = run.program if pretraining else f"{run.program}, {run.row}"
    return [
        Text(f"{name} ({run.label.partition(', ')[2]})", name),
        Text(record.tier, record.tier),
        _number(seconds, "" if seconds is None else duration_text(seconds)),
        _number(steps, f"{steps:,}" if isinstance(steps, int) else ""),
        *(Text(text, text) for text in (f"{record.device}, {threads}", software)),
        *(Text(text, text) for text in (record.started, record.recipe.name)),
    ]


def _number(value: float | None, text: str) -> Text:
    return Text(text or NO_RECORD, "" if value is None else value)
