"""Bundles: packed, verified, merged; every damage is found and nothing unsafe is read."""

import io
import json
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from calls import call
from samples import changed
from stored_runs import classification_run, detection_run, three_rows

from cebench.commands.bundles import pack, verify
from cebench.commands.report import report
from cebench.errors import CebenchError, InputError
from cebench.reporting.bundles import MANIFEST, open_bundle, write_bundle
from cebench.reporting.outcomes import FILE_NAME
from cebench.reporting.packing import verify_bundle
from cebench.reporting.records import Interval, load_record, record_name, write_record


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = three_rows(tmp_path / "runs")
    detection_run(folder / "detection", "context", 3.0)
    for run in folder.iterdir():
        (run / "run.toml").write_text('[run]\nverb = "transfer"\n')
    return folder


@pytest.fixture
def bundle(runs: Path) -> Path:
    path = runs.parent / "results.zip"
    call(pack, runs, "--out", path)
    return path


def members(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


def test_a_bundle_verifies_and_reports_as_the_runs_do(runs: Path, bundle: Path) -> None:
    text = call(verify, bundle).stdout
    # 3 rows x 3 definitions and one of detection; step-wise and area have intervals.
    assert "4 records; 10 numbers and" in text
    assert "0 numbers cannot be scored again" in text
    assert call(report, bundle).stdout == call(report, runs).stdout
    pair = ("--compare", "context", "random", "--format", "json")
    assert call(report, bundle, *pair).stdout == call(report, runs, *pair).stdout


def test_equal_runs_give_equal_bytes(runs: Path, bundle: Path) -> None:
    other = runs.parent / "other.zip"
    call(pack, *sorted(runs.iterdir(), reverse=True), "--out", other)
    assert other.read_bytes() == bundle.read_bytes()
    call(pack, bundle, "--out", other)
    assert other.read_bytes() == bundle.read_bytes()


def test_reading_two_bundles_is_merging_them(runs: Path, tmp_path: Path) -> None:
    for row in ("context", "random"):
        call(pack, runs / row, "--out", tmp_path / f"{row}.zip")
    both = [tmp_path / f"{row}.zip" for row in ("context", "random")]
    pair = ("--compare", "context", "random")
    one_column = call(report, runs, *pair, "--column", "classification").stdout
    assert call(report, *both, *pair).stdout == one_column


def test_two_bundles_that_disagree_are_refused(tmp_path: Path) -> None:
    for name, strength in (("a", 1.0), ("b", 1.1)):
        classification_run(tmp_path / name, "context", strength)
        call(pack, tmp_path / name, "--out", tmp_path / f"{name}.zip")
    with pytest.raises(InputError, match=r"a.zip/records/.* and .*b.zip/records/.*differ in value"):
        call(report, tmp_path / "a.zip", tmp_path / "b.zip")
    with pytest.raises(InputError, match="two runs of one name"):
        call(pack, tmp_path / "a.zip", tmp_path / "b.zip", "--out", tmp_path / "c.zip")
    assert not (tmp_path / "c.zip").exists()


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    classification_run(tmp_path / "run", "context", 1.0, images=20)
    path, damaged = tmp_path / "a.zip", tmp_path / "b.zip"
    call(pack, tmp_path / "run", "--out", path)
    content = path.read_bytes()
    step = max(1, len(content) // 400)
    for place in [*range(0, len(content), step), *range(len(content) - 200, len(content))]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        damaged.write_bytes(flipped)
        try:
            problems = verify_bundle(damaged, intervals=False).problems
        except InputError as error:
            problems = [str(error)]
        assert problems, place
        assert not any("\n" in problem for problem in problems)
        with pytest.raises(InputError):
            call(report, damaged)


def test_what_no_bundle_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classification_run(tmp_path / "run", "context", 1.0)
    monkeypatch.setattr("cebench.reporting.bundles.MAX_BYTES", 1000)
    for more in ([], ["--dry-run"]):
        with pytest.raises(InputError, match="pack fewer runs into each"):
            call(pack, tmp_path / "run", "--out", tmp_path / "a.zip", *more)
    assert not (tmp_path / "a.zip").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: is a file; choose another --out"):
        call(pack, tmp_path / "run", "--out", tmp_path / "file" / "a.zip")
    with pytest.raises(InputError, match=r"file: is a file; choose another --out"):
        call(report, tmp_path / "run", "--out", tmp_path / "file" / "tables.md")


def test_what_is_packed_can_be_read(
    tmp_path: Path, bundle: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest counts too, among the files and in their bytes."""
    with zipfile.ZipFile(bundle) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
    for limit, value in (("MAX_BYTES", sum(sizes) - 1), ("MAX_FILES", len(sizes) - 1)):
        with monkeypatch.context() as patch:
            patch.setattr(f"cebench.reporting.bundles.{limit}", value)
            with pytest.raises(InputError, match="pack fewer runs into each"):
                call(pack, runs, "--out", tmp_path / "b.zip")
    monkeypatch.setattr("cebench.reporting.bundles.MAX_FILES", len(sizes))
    call(pack, runs, "--out", tmp_path / "c.zip")
    call(verify, tmp_path / "c.zip", "--quick")


def repacked(bundle: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The bundle written anew, with hashes that fit, after `change` of its files."""
    files = members(bundle)
    change(files)
    write_bundle(bundle, files)
    return bundle


def edited(files: dict[str, bytes], name: str, change: Callable[[bytes], bytes]) -> None:
    files[name] = change(files[name])


def test_a_number_that_was_changed_with_all_its_hashes_is_named(
    bundle: Path, tmp_path: Path
) -> None:
    def change(files: dict[str, bytes]) -> None:
        name = next(n for n in files if n.startswith("records/t2-random-classification"))
        path = tmp_path / "record.json"
        path.write_bytes(files[name])
        record = load_record(path)
        first, *others = record.measurements
        raised = replace(first, value=first.value + 0.001)
        write_record(path, replace(record, measurements=(raised, *others)))
        files[name] = path.read_bytes()

    found = verify_bundle(repacked(bundle, change), intervals=False)
    (problem,) = found.problems
    assert "random, classification, mean_ap_sklearn" in problem
    assert "is recorded" in problem
    with pytest.raises(CebenchError, match=r"1 problem; first: .*mean_ap_sklearn") as caught:
        call(verify, bundle, "--quick")
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_a_deviation_over_draws_of_one_draw_is_named(
    bundle: Path, tmp_path: Path, task: str
) -> None:
    def change(files: dict[str, bytes]) -> None:
        name = next(n for n in files if n.startswith(f"records/t2-context-{task}"))
        path = tmp_path / "record.json"
        path.write_bytes(files.pop(name))
        record = load_record(path)
        made_up = replace(record.measurements[0], metric="mean_ap_area_sd_over_draws")
        record = replace(record, measurements=(*record.measurements, made_up))
        write_record(path, record)
        stem = Path(name).stem
        for other in [n for n in files if stem in n]:
            files[other.replace(stem, record_name(record))] = files.pop(other)
        files[f"records/{record_name(record)}.json"] = path.read_bytes()

    (problem,) = verify_bundle(repacked(bundle, change), intervals=False).problems
    assert f"context, {task}, mean_ap_area_sd_over_draws: " in problem
    assert "is recorded, nan is scored" in problem


@pytest.mark.parametrize("metric", ["mean_ap_sklearn", "mean_ap_voc07_11pt"])
def test_an_interval_that_was_changed_is_named(tmp_path: Path, metric: str) -> None:
    """The second has none: the best precision at recall 0 has no bootstrap that covers."""
    record = classification_run(tmp_path / "run", "context", 1.0)
    (first,) = (m for m in record.measurements if m.metric == metric)
    others = (m for m in record.measurements if m is not first)
    made_up = replace(first, interval=Interval(low=0.1, high=0.2, level=0.95, method="guess"))
    write_record(tmp_path / "run" / "record.json", replace(record, measurements=(made_up, *others)))
    call(pack, tmp_path / "run", "--out", tmp_path / "a.zip")
    problems = verify_bundle(tmp_path / "a.zip").problems
    assert any(f"{metric}: the interval 0.1 to 0.2 is recorded" in line for line in problems)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("records/", "damaged or edited: its content_sha256"),
        ("outcomes/", "its SHA-256 is not the one in its record"),
    ],
)
def test_a_digit_or_byte_changed_with_the_bundles_hashes_is_found(
    bundle: Path, start: str, message: str
) -> None:
    def change(files: dict[str, bytes]) -> None:
        name = next(n for n in files if n.startswith(start))
        edited(files, name, lambda c: c[:-40] + bytes([c[-40] ^ 1]) + c[-39:])

    def change_digit(files: dict[str, bytes]) -> None:
        name = next(n for n in files if n.startswith(start))
        edited(files, name, lambda c: c.replace(b'"seed": 0', b'"seed": 1', 1))

    problems = verify_bundle(
        repacked(bundle, change_digit if start == "records/" else change), intervals=False
    ).problems
    assert any(message in problem for problem in problems)


def test_an_outcome_that_is_missing_is_named(bundle: Path) -> None:
    def change(files: dict[str, bytes]) -> None:
        del files[next(n for n in files if n.startswith("outcomes/"))]

    (problem,) = verify_bundle(repacked(bundle, change), intervals=False).problems
    assert "its outcome is missing" in problem


def write_raw(path: Path, files: Mapping[str, bytes], **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {MANIFEST: b"{}", **files}.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in attributes.items():
                setattr(entry, attribute, value if name != MANIFEST else 0)
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/passwd", "records/../../evil.json", "records\\..\\x.json", "x.json",
     "records/", "records/a/b.json", "C:/x.json", "records/\u0001.json"],
)  # fmt: skip
def test_names_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = write_raw(tmp_path / "a.zip", {name: b"{}"})
    for command in (verify, report):
        with pytest.raises(InputError, match="a bundle holds records/"):
            call(command, path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = (stat.S_IFLNK | 0o777) << 16
    path = write_raw(tmp_path / "a.zip", {"records/a.json": b"/etc/passwd"}, external_attr=link)
    with pytest.raises(InputError, match=r"records/a.json is a link"):
        call(verify, path)


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cebench.reporting.bundles.MAX_BYTES", 2**20)
    files = {f"records/{n}.json": b"\0" * 2**19 for n in range(4)}
    with pytest.raises(InputError, match=r"2 MiB when unpacked; a bundle has at most"):
        call(verify, write_raw(tmp_path / "a.zip", files))


def test_a_file_twice_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("records/a.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("records/a.json", b"{}")
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"holds records/a.json twice"):
        call(verify, tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "no zip file"), (b"PK\x05\x06" + b"\0" * 18, "holds no bundle.json")],
)
def test_what_is_no_bundle_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=message):
        call(verify, tmp_path / "a.zip")


def test_an_absent_bundle_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such bundle"):
        call(verify, tmp_path / "a.zip")


def test_no_file_that_is_read_is_written_over(runs: Path, bundle: Path) -> None:
    run = next(runs.iterdir())
    read = [bundle, run / "record.json", run / FILE_NAME, run / "run.toml"]
    before = [path.read_bytes() for path in read]
    for command in (pack, report):
        for path in read:
            with pytest.raises(InputError, match=f"--out {path}: is read here and would be lost"):
                call(command, runs, bundle, "--out", path)
    assert [path.read_bytes() for path in read] == before


def test_a_damaged_run_is_not_packed(runs: Path, tmp_path: Path) -> None:
    (runs / "random" / FILE_NAME).write_bytes(b"x")
    out = tmp_path / "a.zip"
    with pytest.raises(InputError, match="SHA-256"):
        call(pack, runs, "--out", out)
    assert not out.exists()
    assert not list(tmp_path.glob(".a.zip*"))


def test_a_record_that_lies_without_its_run_is_told_what_to_give(
    runs: Path, tmp_path: Path
) -> None:
    call(report, runs, "--collect", tmp_path / "copies" / "records")
    with pytest.raises(InputError, match="give the run directory, where outcome"):
        call(pack, tmp_path / "copies", "--out", tmp_path / "a.zip")


def test_records_without_an_outcome_are_packed_and_said(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    record = changed()
    write_record(tmp_path / "run" / "record.json", record)
    text = call(pack, tmp_path / "run", "--out", tmp_path / "a.zip").stdout
    assert "1 record, 0 numbers that can be scored again, 1 that cannot" in text
    found = json.loads(call(verify, tmp_path / "a.zip", "--json").stdout)
    assert found["holds"]
    assert len(found["without_outcome"]) == 1
    assert open_bundle(tmp_path / "a.zip").records == [record_name(record)]
