"""Merging folders of two machines, and bundles, with records that no program had to compute."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samples import DETECTION, SIDECAR, changed

from cebench.errors import InputError
from cebench.reporting.packing import pack_runs
from cebench.reporting.records import load_record, write_record
from cebench.suite.cells import Cell, content_key
from cebench.suite.folder import SuiteFolder
from cebench.suite.merging import merge_into
from cebench.suite.plan import Plan
from cebench.weights.files import save_weights

PRETRAINED = Cell(name="context-p0", verb="pretrain", key=content_key("c"), row="context")
RECORD = changed(weights={"name": f"{PRETRAINED.stem}/weights"})


def transfer(seed: int) -> Cell:
    return Cell(
        name=f"context-p0-detection-s{seed}",
        verb="transfer",
        key=content_key("d", seed),
        needs=("context-p0",),
        request={"weights": f"{{out}}/{PRETRAINED.folder}", "seed": seed, "data": "voc"},
        row="context",
        column="detection",
        measured_by=(
            DETECTION.protocol,
            DETECTION.protocol_version,
            str(DETECTION.recipe.sha256),
        ),
    )


PLAN = Plan(title="t", introduction="", cells=[PRETRAINED, *(transfer(s) for s in (0, 1, 2))])


def suite_folder(path: Path, *seeds: int) -> SuiteFolder:
    """A suite's folder in which the transfers of these seeds are finished."""
    folder = SuiteFolder(path)
    folder.check()
    folder.write_plan({"schema": 1})
    for seed in seeds:
        place = folder.path / transfer(seed).folder
        place.mkdir(parents=True)
        (place / "run.toml").write_text("")
        (place / "run.lock").touch()
        write_record(place / "record.json", replace(RECORD, seed=seed))
    return folder


def test_what_one_machine_finished_is_finished_on_the_other(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a", 0), suite_folder(tmp_path / "b", 0, 1)
    merged = merge_into(PLAN, ours, [theirs.path])
    assert merged.taken == ["context-p0-detection-s1"]
    assert (merged.known, merged.other, merged.conflicts) == (1, [], [])
    assert ours.is_finished(transfer(1))
    assert not ours.is_finished(transfer(2))
    assert not (ours.path / transfer(1).folder / "run.lock").exists()
    assert merge_into(PLAN, ours, [theirs.path]).known == 2


def test_a_dry_run_tells_the_same_and_copies_nothing(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a", 0), suite_folder(tmp_path / "b", 0, 1)
    before = sorted(tmp_path.rglob("*"))
    told = merge_into(PLAN, ours, [theirs.path], copy=False)
    assert sorted(tmp_path.rglob("*")) == before
    assert told == merge_into(PLAN, ours, [theirs.path])


def test_other_numbers_are_named_and_ours_stay(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a", 0), suite_folder(tmp_path / "b", 0)
    before = ours.result(transfer(0)).read_bytes()
    write_record(theirs.result(transfer(0)), changed(RECORD, value=0.45))
    merged = merge_into(PLAN, ours, [theirs.path])
    assert len(merged.conflicts) == 1
    assert "context-p0-detection-s0: " in merged.conflicts[0]
    assert "0.44 and 0.45" in merged.conflicts[0]
    assert ours.result(transfer(0)).read_bytes() == before
    write_record(theirs.result(transfer(0)), changed(RECORD, weights={"sha256": "e" * 64}))
    assert "differ in the weights" in merge_into(PLAN, ours, [theirs.path]).conflicts[0]


def test_what_was_computed_from_other_weights_is_not_taken(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a"), suite_folder(tmp_path / "b", 0)
    pretraining = replace(RECORD, task="pretraining", seed=0)
    for folder, bits in ((ours, "1"), (theirs, "2")):
        folder.result(PRETRAINED).parent.mkdir(parents=True)
        record = changed(pretraining, weights={"sha256": bits * 64})
        write_record(folder.result(PRETRAINED), record)
    merged = merge_into(PLAN, ours, [theirs.path])
    assert merged.taken == []
    assert "context-p0: " in merged.conflicts[0]
    assert merged.conflicts[1:] == ["context-p0-detection-s0: was computed from their context-p0"]
    assert not ours.is_finished(transfer(0))


def test_what_is_taken_is_newer_than_the_tables(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a"), suite_folder(tmp_path / "b", 0)
    os.utime(theirs.result(transfer(0)), (1, 1))
    (ours.path / "tables.md").touch()
    merge_into(PLAN, ours, [theirs.path])
    tables = (ours.path / "tables.md").stat()
    assert ours.result(transfer(0)).stat().st_mtime_ns >= tables.st_mtime_ns


def test_a_cell_that_is_being_computed_is_left_alone(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a"), suite_folder(tmp_path / "b", 0, 1)
    with ours.lock(transfer(0)):
        merged = merge_into(PLAN, ours, [theirs.path])
    assert merged.taken == ["context-p0-detection-s1"]
    assert "is being computed in" in merged.conflicts[0]


def test_a_bundles_cell_that_is_being_computed_is_left_alone(tmp_path: Path) -> None:
    ours = suite_folder(tmp_path / "a")
    under_way = ours.path / transfer(1).folder / "log.txt"
    under_way.parent.mkdir(parents=True)
    under_way.write_text("step 1")
    (tmp_path / "run").mkdir()
    write_record(tmp_path / "run" / "record.json", replace(RECORD, seed=1))
    pack_runs([tmp_path / "run"], tmp_path / "runs.zip")
    with ours.lock(transfer(1)):
        merged = merge_into(PLAN, ours, [tmp_path / "runs.zip"])
    assert merged.taken == []
    assert "context-p0-detection-s1: is being computed in" in merged.conflicts[0]
    assert under_way.read_text() == "step 1"
    assert merge_into(PLAN, ours, [tmp_path / "runs.zip"]).taken == ["context-p0-detection-s1"]


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = suite_folder(tmp_path / "a"), suite_folder(tmp_path / "b", 0)
    before = sorted(ours.path.rglob("*"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OSError, match="No space"):
        merge_into(PLAN, ours, [theirs.path])
    kept = [path for path in sorted(ours.path.rglob("*")) if path.suffix != ".lock"]
    assert [path for path in kept if path.name != "runs"] == before


def test_a_bundle_with_weights_or_data_that_are_not_ours_is_a_conflict(tmp_path: Path) -> None:
    ours = suite_folder(tmp_path / "a", 0)
    (tmp_path / "run").mkdir()
    data = replace(RECORD.data, fingerprint="9" * 64)
    write_record(tmp_path / "run" / "record.json", replace(RECORD, seed=1, data=data))
    pack_runs([tmp_path / "run"], tmp_path / "runs.zip")
    (conflict,) = merge_into(PLAN, ours, [tmp_path / "runs.zip"]).conflicts
    assert "context-p0-detection-s1: " in conflict
    assert conflict.endswith("differ in the data")

    bare = suite_folder(tmp_path / "b")
    tensors = {"conv1.weight": torch.zeros(1)}
    (bare.path / PRETRAINED.folder).mkdir(parents=True)  # Of a pretraining that is under way.
    (taken,) = merge_into(PLAN, bare, [tmp_path / "runs.zip"], copy=False).taken
    assert taken == "context-p0-detection-s1"
    save_weights(bare.path / PRETRAINED.folder / "weights.safetensors", tensors, SIDECAR)
    (conflict,) = merge_into(PLAN, bare, [tmp_path / "runs.zip"]).conflicts
    assert conflict.endswith("differ in the weights")


def test_another_suites_cells_are_no_cells_of_this_one(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a"), suite_folder(tmp_path / "b", 0)
    shutil.move(
        theirs.path / transfer(0).folder, theirs.path / "runs" / "context-p0-detection-s0-00000000"
    )
    merged = merge_into(PLAN, ours, [theirs.path])
    assert merged.taken == []
    assert len(merged.other) == 1


def test_a_bundle_brings_transfers_of_the_same_weights_and_recipe(tmp_path: Path) -> None:
    theirs = suite_folder(tmp_path / "b", 0, 1)
    write_record(theirs.result(transfer(1)), replace(RECORD, seed=1))
    pack_runs([theirs.path / "runs"], tmp_path / "runs.zip")
    ours = suite_folder(tmp_path / "a")
    merged = merge_into(PLAN, ours, [tmp_path / "runs.zip"])
    assert set(merged.taken) == {"context-p0-detection-s0", "context-p0-detection-s1"}
    assert load_record(ours.result(transfer(0))).seed == 0
    assert merge_into(PLAN, ours, [tmp_path / "runs.zip"]).known == 2

    recipe = RECORD.recipe
    values = {**(recipe.values or {}), "test_set": "val"}
    other_images = replace(recipe, values=values, excluded_from_hash=("test_set",))
    assert other_images.sha256 == recipe.sha256
    for record in (
        changed(weights={"name": "elsewhere/weights"}),
        replace(RECORD, recipe=other_images),
        replace(RECORD, protocol="coco-detection"),
        replace(RECORD, protocol_version=7),
    ):
        (tmp_path / "run").mkdir(exist_ok=True)
        write_record(tmp_path / "run" / "record.json", record)
        pack_runs([tmp_path / "run"], tmp_path / "foreign.zip")
        assert len(merge_into(PLAN, ours, [tmp_path / "foreign.zip"]).other) == 1


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("{out}/runs/mine.v1-p0-1a2b3c4d", "mine.v1-p0-1a2b3c4d/weights"),
        ("{out}/runs/gan.v1-p0-1a2b3c4d", "gan.v1-p0-1a2b3c4d/model"),
        ("/data/weights/mine.v1.safetensors", "weights/mine.v1"),
    ],
)
def test_a_bundle_brings_transfers_of_rows_with_dots_and_of_weights_files(
    tmp_path: Path, weights: str, name: str
) -> None:
    (tmp_path / "run").mkdir()
    write_record(tmp_path / "run" / "record.json", changed(RECORD, weights={"name": name}))
    pack_runs([tmp_path / "run"], tmp_path / "runs.zip")
    cell = transfer(0)
    cell = replace(cell, request={**cell.request, "weights": weights})
    plan = replace(PLAN, cells=[cell])
    merged = merge_into(plan, suite_folder(tmp_path / "a"), [tmp_path / "runs.zip"])
    assert merged.taken == [cell.name]


def test_a_bundles_pretraining_is_no_cell_for_want_of_weights(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_record(tmp_path / "run" / "record.json", replace(RECORD, task="pretraining"))
    pack_runs([tmp_path / "run"], tmp_path / "runs.zip")
    (other,) = merge_into(PLAN, suite_folder(tmp_path / "a"), [tmp_path / "runs.zip"]).other
    assert other.endswith("(a pretraining; a bundle has no weights)")


def test_a_damaged_record_is_not_taken(tmp_path: Path) -> None:
    ours, theirs = suite_folder(tmp_path / "a"), suite_folder(tmp_path / "b", 0)
    theirs.result(transfer(0)).write_text("{")
    with pytest.raises(InputError, match="not a JSON record file"):
        merge_into(PLAN, ours, [theirs.path])
    assert not ours.is_finished(transfer(0))


def test_what_is_neither_folder_nor_bundle_is_refused(tmp_path: Path) -> None:
    ours = suite_folder(tmp_path / "a")
    with pytest.raises(InputError, match="no such folder or bundle"):
        merge_into(PLAN, ours, [tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no suite's folder \(no plan.json\)"):
        merge_into(PLAN, ours, [tmp_path / "empty"])
