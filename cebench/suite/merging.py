"""Bringing the finished cells of other machines into a suite's folder."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cebench.config import Recipe, values_sha256
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.reporting.bundles import open_bundle
from cebench.reporting.records import Record, load_record, record_name
from cebench.reporting.results import BESIDE, file_beside, read_stored
from cebench.suite.cells import RESULTS, Cell
from cebench.suite.folder import SuiteFolder
from cebench.suite.plan import Plan

_PARTIAL = ".merging"


@dataclass
class Merged:
    """What a merge did."""

    taken: list[str] = field(default_factory=list)
    """Names of cells that are finished now and were not before."""
    known: int = 0
    """Cells that both had, with the same numbers."""
    other: list[str] = field(default_factory=list)
    """Finished folders or records that are no cell of this suite."""
    conflicts: list[str] = field(default_factory=list)
    """A line for each cell of which the two differ: ours stays."""


def merge_into(
    plan: Plan, folder: SuiteFolder, sources: Sequence[Path], *, copy: bool = True
) -> Merged:
    """Copy the cells of `plan` that are finished in `sources` and not yet here.

    sources: folders of the same suite from other machines, or bundles of `cebench pack`. A cell
    is recognised by its name and key, so by the same recipe, data, weights and protocols.
    copy: False only tells what would be taken. InputError if a source is neither.
    """
    result = Merged()
    for source in sources:
        if source.is_file():
            _merge_bundle(plan, folder, source, result, copy)
        elif source.is_dir():
            _merge_folder(plan, folder, source, result, copy)
        else:
            raise InputError(f"{source}: no such folder or bundle")
    return result


def _merge_folder(
    plan: Plan, folder: SuiteFolder, source: Path, result: Merged, copy: bool
) -> None:
    theirs = SuiteFolder(source)
    if theirs.read_plan() is None:
        raise InputError(f"{source}: no suite's folder (no plan.json); give one, or a bundle")
    by_folder = {cell.folder: cell for cell in plan.cells}
    finished = [path.parent for name in {*RESULTS.values()} for path in source.glob(f"*/*/{name}")]
    for path in sorted({*finished}):
        cell = by_folder.get(str(path.relative_to(source)))
        if cell is None:
            result.other.append(str(path))
        elif not theirs.is_finished(cell):
            continue
        elif not folder.is_finished(cell):
            if copy:
                _take(cell, path, folder, theirs)
            result.taken.append(cell.name)
        else:
            _compare(cell, folder.result(cell), theirs.result(cell), result)


def _take(cell: Cell, path: Path, folder: SuiteFolder, theirs: SuiteFolder) -> None:
    with folder.lock(cell):
        _copy(path, folder.path / cell.folder)
    ending = theirs.ending(cell)
    if ending:
        folder.write_ending(cell, ending)


def _copy(source: Path, target: Path) -> None:
    """The whole folder, under its name only when all of it is there."""
    partial = target.with_name(f"{_PARTIAL}-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns("*.lock"))
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)


def _compare(cell: Cell, ours: Path, theirs: Path, result: Merged) -> None:
    if cell.verb in ("pretrain", "transfer"):
        difference = _difference(load_record(ours), load_record(theirs))
    else:
        difference = "" if sha256_of(ours) == sha256_of(theirs) else "their content"
    if difference:
        result.conflicts.append(f"{cell.name}: {ours} and {theirs} differ in {difference}")
    else:
        result.known += 1


def _difference(ours: Record, theirs: Record) -> str:
    """What two records of one cell do not agree in; times are left out."""
    both = ours, theirs
    if ours.weights.sha256 != theirs.weights.sha256:
        machines = [f"{r.device}, {r.threads} threads, torch {r.torch_version}" for r in both]
        return f"the weights ({' and '.join(machines)})"
    for mine, other in zip(ours.measurements, theirs.measurements, strict=False):
        if mine.unit != "s" and mine != other:
            return f"{mine.row} {mine.metric}: {mine.value!r} and {other.value!r}"
    return "" if len(ours.measurements) == len(theirs.measurements) else "what they measured"


def _merge_bundle(
    plan: Plan, folder: SuiteFolder, source: Path, result: Merged, copy: bool
) -> None:
    """Transfers of a bundle: their numbers, what they were scored from, and no weights."""
    transfers = [cell for cell in plan.cells if cell.verb == "transfer"]
    bundle = open_bundle(source)
    bundle.check_digest()
    for stem in bundle.records:
        path, record = source / "records" / f"{stem}.json", bundle.record(stem)
        cell = _cell_of(record, transfers)
        if cell is None:
            result.other.append(f"{source}: {record_name(record)}")
        elif folder.is_finished(cell):
            difference = _difference(load_record(folder.result(cell)), record)
            if difference:
                result.conflicts.append(f"{cell.name}: ours and {path} differ in {difference}")
            else:
                result.known += 1
        else:
            if copy:
                _unpack(path, folder.path / cell.folder)
            result.taken.append(cell.name)


def _cell_of(record: Record, transfers: Sequence[Cell]) -> Cell | None:
    """The transfer that measured what a record says; its weights' folder holds their key."""
    folder = record.weights.name.partition("/")[0]
    outcome = values_sha256(record.recipe.values or {}, Recipe.without_effect)
    for cell in transfers:
        same = str(cell.request["weights"]).endswith(f"/{folder}")
        asked = cell.column, cell.request["seed"], cell.outcome_sha256
        if same and asked == (record.task, record.seed, outcome):
            return cell
    return None


def _unpack(path: Path, target: Path) -> None:
    partial = target.with_name(f"{_PARTIAL}-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for folder, name in BESIDE.items():
        place = file_beside(path, folder)
        if place is not None and name != "weights.json":
            (partial / name).write_bytes(read_stored(place))
    (partial / "record.json").write_bytes(read_stored(path))
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
