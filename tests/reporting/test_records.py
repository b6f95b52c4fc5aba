"""Record files: what survives, what is refused, and the names that they go by."""

import json
import math
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from samples import DETECTION, MEASUREMENT, SIDECAR, WEIGHTS, changed, recipe_of

from cebench.config import recipe_sha256
from cebench.errors import InputError
from cebench.pretrain.options.reconstruction import ContextRecipe
from cebench.pretrain.run import Request
from cebench.reporting.records import (
    Interval,
    Record,
    ResolvedRecipe,
    WeightsOrigin,
    load_record,
    read_records,
    record_name,
    write_record,
)

INTERVAL = Interval(low=0.4, high=0.5, level=0.95, method="bootstrap over images")
FULL = changed(interval=INTERVAL, draws=5, weights={"recipe": recipe_of("r", a=1e-5, b=[1, 2])})


def test_a_record_survives_the_round_trip(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "records").mkdir()
    write_record(tmp_path / "run" / "record.json", FULL)
    path = write_record(tmp_path / "records" / f"{record_name(FULL)}.json", FULL)
    assert load_record(path) == FULL
    assert [record for _, record in read_records(tmp_path)] == [FULL, FULL]


def test_links_to_runs_are_followed_and_each_run_is_read_once(tmp_path: Path) -> None:
    runs, disk = tmp_path / "runs", tmp_path / "disk"
    for folder in (runs, disk / "a"):
        folder.mkdir(parents=True)
    write_record(disk / "a" / "record.json", FULL)
    (runs / "a").symlink_to("../disk/a")
    (runs / "again").symlink_to("../disk/a")
    (runs / "round").symlink_to(".")
    assert [path for path, _ in read_records(runs)] == [runs / "a" / "record.json"]


def test_a_folder_that_may_not_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its runs would be missing from the means, unseen; tests may run as root, who may read all."""
    (tmp_path / "private").mkdir()
    scan = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", refusing)
    with pytest.raises(PermissionError, match="private"):
        read_records(tmp_path)


def test_the_name_is_made_of_what_determines_the_numbers() -> None:
    name = record_name(DETECTION)
    assert name.startswith("t2-context-detection-p0-s0-")
    for same in ({"value": 0.6}, {"seconds": 2.0}, {"started": "later"}, {"git_commit": "a"}):
        assert record_name(changed(**same)) == name
    for other in (
        {"seed": 1},
        {"weights": {"sha256": "x"}},
        {"data": replace(DETECTION.data, fingerprint="x")},
        {"recipe": recipe_of("detection-short", steps=801)},
        {"protocol_version": 2},
        {"threads": 8},
    ):
        assert record_name(changed(**other)) != name


def test_the_name_says_which_pretraining_and_that_there_is_no_transfer() -> None:
    assert "-p3-s2-" in record_name(changed(weights={"seed": 3}, seed=2))
    assert "-px-s0-" in record_name(changed(weights={"seed": None}))
    assert record_name(changed(task="pretraining")).startswith("t2-context-pretraining-p0-")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_measurement_is_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        replace(MEASUREMENT, value=value)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (INTERVAL, {"low": 0.6}, r"low=0\.6 exceeds high=0\.5"),
        (INTERVAL, {"level": 95}, "less than 1"),
        (INTERVAL, {"high": math.nan}, "finite"),
        (MEASUREMENT, {"count": -1}, "greater than or equal to 0"),
        (MEASUREMENT, {"metric": "m" * 5000}, "at most 4000"),
        (MEASUREMENT, {"row": "con\ntext"}, "a line break or another control character in a name"),
        (
            WEIGHTS,
            {"tier": "long"},
            "Input should be 'smoke', 'custom', 'short'",
        ),
        (DETECTION, {"tier": "imported"}, "Input should be 'smoke', 'custom', 'short'"),
        (DETECTION, {"seconds": -1.0}, "greater than or equal to 0"),
        (DETECTION, {"schema": 1}, "greater than or equal to 2"),
        (DETECTION.recipe, {"values": {"steps": 1}}, "sha256 is not the hash of values"),
    ],
)
def test_bounds(part: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(part, **change)


def test_a_recipe_carries_its_options_and_the_hash_that_programs_use() -> None:
    recipe, name = Request(method="context", data=(), out=Path()).resolve()
    resolved = ResolvedRecipe.of(name, recipe)
    assert resolved.sha256 == recipe_sha256(recipe) == resolved.hash_without()
    assert resolved.values == recipe.model_dump(mode="json")
    rarer = ResolvedRecipe.of(name, recipe.model_copy(update={"log_every": 1}))
    assert rarer.hash_without() == resolved.hash_without()
    longer = ResolvedRecipe.of(name, recipe.model_copy(update={"steps": 7}))
    assert longer.hash_without() != resolved.hash_without()
    assert longer.hash_without("steps") == resolved.hash_without("steps")
    assert isinstance(recipe, ContextRecipe)


def test_a_recipe_of_unknown_values_equals_its_namesake_only() -> None:
    unknown = ResolvedRecipe(name="context-short", values=None, sha256=None)
    assert unknown.hash_without("steps") == replace(unknown).hash_without()
    assert unknown.hash_without() != replace(unknown, name="context-smoke").hash_without()
    assert unknown.hash_without() != DETECTION.weights.recipe.hash_without()


def test_the_origin_is_what_the_sidecar_says() -> None:
    origin = WeightsOrigin.of("run/weights", replace(SIDECAR, sha256="e" * 64, seed=4))
    assert (origin.name, origin.sha256, origin.seed) == ("run/weights", "e" * 64, 4)
    assert origin.recipe.values == {"mixing_kernel": 1}
    assert (origin.method, origin.tier, origin.architecture) == (
        "context",
        "smoke",
        "context-encoder",
    )


def written(tmp_path: Path, record: Record = DETECTION) -> tuple[Path, dict[str, Any]]:
    path = write_record(tmp_path / "record.json", record)
    return path, json.loads(path.read_text())


def test_every_flipped_digit_is_found(tmp_path: Path) -> None:
    path, _ = written(tmp_path, FULL)
    text = path.read_text()
    places = [place for place, character in enumerate(text) if character in "01234567"]
    for place in places:
        path.write_text(text[:place] + str(int(text[place]) + 1) + text[place + 1 :])
        with pytest.raises(InputError, match=r"record\.json: .*(damaged or edited|of schema)"):
            load_record(path)


def test_an_added_or_a_lost_field_is_found(tmp_path: Path) -> None:
    path, content = written(tmp_path)
    for edited in (
        {**content, "note": "mine"},
        {key: value for key, value in content.items() if key != "seconds"},
        {key: value for key, value in content.items() if key != "content_sha256"},
    ):
        path.write_text(json.dumps(edited))
        with pytest.raises(InputError, match=r"damaged or edited.* run again with --no-resume"):
            load_record(path)


def test_a_field_of_another_program_is_refused_even_with_its_hash(tmp_path: Path) -> None:
    from cebench.reporting import records

    path, _ = written(tmp_path)
    content = {**asdict(DETECTION), "note": "mine"}
    stated = records._content_sha256(json.loads(json.dumps(content)))
    path.write_text(json.dumps({**content, "content_sha256": stated}))
    with pytest.raises(
        InputError, match=r"not a record of schema 2: note: Unexpected keyword.* with --no-resume"
    ):
        load_record(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "not a JSON record file.*; delete it or run again with --no-resume"),
        ("[{", "not a JSON record file"),
        ("[" * 100_000, "not a JSON record file"),
        ("3", "no object.* with --no-resume"),
        (
            '{"schema": 1, "table": "2"}',
            "a record of schema 1, expected 2; run again with --no-resume",
        ),
        ("{}", "a record of schema None, expected 2"),
        (
            '[{"schema": 1, "table": "2"}]',
            "a list of numbers, as schema 1 had it.* with --no-resume",
        ),
    ],
)
def test_what_is_no_record_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"record\.json: .*{message}") as caught:
        load_record(path)
    assert "\n" not in str(caught.value)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match="over 16 MiB: no record"):
        load_record(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_records(tmp_path / "absent")


def test_a_record_has_a_file_name_whatever_its_method() -> None:
    for method in ("SimCLR (ours)/v2", "méthode", "m" * 200):
        name = record_name(changed(weights={"method": method}))
        assert re.fullmatch(r"t2-[A-Za-z0-9_.+-]{1,60}-detection-p0-s0-[0-9a-f]{12}", name)
