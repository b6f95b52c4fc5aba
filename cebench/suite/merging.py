"""Bringing the finished cells of other machines into a suite's folder."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from filelock import Timeout

from cebench.config import Recipe, values_sha256
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.progress import counted
from cebench.reporting.bundles import open_bundle
from cebench.reporting.records import Record, load_record, record_name
from cebench.reporting.results import BESIDE, file_beside, read_stored
from cebench.suite.cells import RESULTS, Cell
from cebench.suite.folder import SuiteFolder
from cebench.suite.plan import Plan
from cebench.suite.weights_sources import sidecar_of
from cebench.weights.files import read_sidecar


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

    sources: folders of the same suite from other machines, or bundles of `cebench pack`. A cell of
    a folder is known by name and key, so by the same recipe, data, weights and protocols; what
    was computed from weights that differ from ours is not taken. A bundle has no keys: a transfer
    is known by protocol, recipe, seed and the name of its weights, and not taken where weights or
    data that are here show that its own are others.
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
    known = {cell.folder for cell in plan.cells}
    finished = {path.parent for name in RESULTS.values() for path in source.glob(f"*/*/{name}")}
    result.other += sorted(str(p) for p in finished if str(p.relative_to(source)) not in known)
    refused: set[str] = set()
    for cell in (cell for cell in plan.cells if theirs.is_finished(cell)):
        culprit = next((name for name in cell.needs if name in refused), "")
        conflict = f"was computed from their {culprit}" if culprit else ""
        if not folder.is_finished(cell) and not conflict:
            conflict = _take(cell, folder, theirs, result, copy)
        elif not conflict:
            conflict = _compare(cell, folder.result(cell), theirs.result(cell))
            result.known += not conflict
        if conflict:
            refused.add(cell.name)
            result.conflicts.append(f"{cell.name}: {conflict}")


def _take(cell: Cell, folder: SuiteFolder, theirs: SuiteFolder, result: Merged, copy: bool) -> str:
    """Copy a cell; returns what stands in the way. InputError if its record is damaged."""
    if cell.verb in ("pretrain", "transfer"):
        load_record(theirs.result(cell))
    if copy:
        held = _fill(cell, folder, partial(_copy, theirs.path / cell.folder))
        if held:
            return held
        ending = theirs.ending(cell)
        if ending:
            folder.write_ending(cell, ending)
    result.taken.append(cell.name)
    return ""


def _fill(cell: Cell, folder: SuiteFolder, write: Callable[[Path], None]) -> str:
    """Let `write` make the cell's folder; returns what stands in the way."""
    try:
        with folder.lock(cell), _new_folder(folder.path / cell.folder) as filled:
            write(filled)
    except Timeout:
        return f"is being computed in {folder.path}; merge again when it has ended"
    return ""


def _copy(source: Path, target: Path) -> None:
    """Copy the whole folder; files get the time of now, so that tables are seen to be older."""
    ignore = shutil.ignore_patterns("*.lock")
    shutil.copytree(
        source, target, ignore=ignore, copy_function=shutil.copyfile, dirs_exist_ok=True
    )


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder that replaces `target` when all of it is there; else it goes again."""
    filled = target.with_name(f".merging-{target.name}")
    shutil.rmtree(filled, ignore_errors=True)
    filled.mkdir(parents=True)
    try:
        yield filled
        shutil.rmtree(target, ignore_errors=True)
        filled.replace(target)
    finally:
        shutil.rmtree(filled, ignore_errors=True)


def _compare(cell: Cell, ours: Path, theirs: Path) -> str:
    """What the two results of a cell differ in."""
    if cell.verb in ("pretrain", "transfer"):
        difference = _difference(load_record(ours), load_record(theirs))
    elif cell.verb in ("import", "rescale"):
        bits = {read_sidecar(path.with_suffix(".safetensors")).sha256 for path in (ours, theirs)}
        difference = "the weights" if len(bits) > 1 else ""
    else:
        difference = "" if sha256_of(ours) == sha256_of(theirs) else "their content"
    return f"{ours} and {theirs} differ in {difference}" if difference else ""


def _difference(ours: Record, theirs: Record) -> str:
    """What two records of one cell do not agree in; times are left out."""
    both = ours, theirs
    if ours.weights.sha256 != theirs.weights.sha256:
        return f"the weights ({' and '.join(map(_machine, both))})"
    for mine, other in zip(ours.measurements, theirs.measurements, strict=False):
        if mine.unit != "s" and mine != other:
            return f"{mine.row} {mine.metric}: {mine.value!r} and {other.value!r}"
    return "" if len(ours.measurements) == len(theirs.measurements) else "what they measured"


def _machine(record: Record) -> str:
    threads = counted(record.threads, "thread")
    return f"{record.device}, {threads}, torch {record.torch_version}"


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
            why = " (a pretraining; a bundle has no weights)" * (record.task == "pretraining")
            result.other.append(f"{source}: {record_name(record)}{why}")
            continue
        difference = _other_origin(cell, record, transfers, folder)
        conflict = ""
        if folder.is_finished(cell):
            difference = difference or _difference(load_record(folder.result(cell)), record)
            result.known += not difference
        elif not difference:
            conflict = _fill(cell, folder, partial(_unpack, path)) if copy else ""
            result.taken += [] if conflict else [cell.name]
        if difference:
            conflict = f"ours and {path} differ in {difference}"
        if conflict:
            result.conflicts.append(f"{cell.name}: {conflict}")


def _cell_of(record: Record, transfers: Sequence[Cell]) -> Cell | None:
    """The transfer that measured what a record says; its weights' folder holds their key."""
    options = values_sha256(record.recipe.values or {}, Recipe.without_effect)
    measured_by = [record.protocol, record.protocol_version, options]
    for cell in transfers:
        asked = cell.column, cell.request["seed"], list(cell.measured_by)
        same_weights = _is_named(Path(cell.request["weights"]), record.weights.name)
        if same_weights and asked == (record.task, record.seed, measured_by):
            return cell
    return None


def _is_named(weights: Path, name: str) -> bool:
    """Whether a record calls the weights in a file or run directory `name`: `FOLDER/FILE`."""
    if weights.suffix == ".safetensors":
        return name == f"{weights.parent.name}/{weights.stem}"
    return name.partition("/")[0] == weights.name


def _other_origin(
    cell: Cell, record: Record, transfers: Sequence[Cell], folder: SuiteFolder
) -> str:
    """Whether weights or data of a record are not the cell's, as far as ours are there to tell."""
    weights = Path(str(cell.request["weights"]).replace("{out}", str(folder.path), 1))
    described = weights / "weights.json" if weights.is_dir() else weights.with_suffix(".json")
    if described.is_file() and sidecar_of(weights).sha256 != record.weights.sha256:
        return "the weights"
    for other in transfers:
        alike = other.measured_by == cell.measured_by
        if alike and other.request["data"] == cell.request["data"] and folder.is_finished(other):
            ours = load_record(folder.result(other))
            return "" if ours.data.fingerprint == record.data.fingerprint else "the data"
    return ""


def _unpack(path: Path, target: Path) -> None:
    """Write the record at `path` in a bundle, and what lies beside it, into the folder `target`."""
    for folder, name in BESIDE.items():
        place = file_beside(path, folder)
        if place is not None and name != "weights.json":
            (target / name).write_bytes(read_stored(place))
    (target / "record.json").write_bytes(read_stored(path))
