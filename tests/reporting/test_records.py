import dataclasses
import json
from pathlib import Path

import pytest

from cebench.errors import InputError
from cebench.reporting.records import (
    Record,
    load_records,
    read_records,
    record_address,
    write_record,
    write_records,
)

RECORD = Record(
    table="2", row="context", column="classification", protocol="p", protocol_version=1,
    tier="smoke", metric="mean_ap_sklearn", value=0.5, unit="fraction", higher_is_better=True,
    count=10, seed=0, recipe="r", recipe_sha256="a", weights="w", weights_sha256="b", data="d",
    data_fingerprint="c", cebench_version="0", git_commit="", git_dirty=False, torch_version="2",
    cuda_version="", device="cpu", threads=1, started="2026-11-23T00:00:00Z", seconds=1.0,
)  # fmt: skip


def test_records_survive_the_round_trip_and_are_flat(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_records(tmp_path / "run" / "record.json", [RECORD])
    path = write_record(tmp_path / "records", RECORD)
    assert load_records(path) == [RECORD]
    assert [record for _, record in read_records(tmp_path)] == [RECORD, RECORD]
    assert all(
        not isinstance(value, dict | list) for value in json.loads(path.read_text()).values()
    )


def test_the_address_is_made_of_what_determines_the_number() -> None:
    address = record_address(RECORD)
    assert address.startswith("t2-context-classification-mean_ap_sklearn-s0-")
    for same in ({"value": 0.6}, {"seconds": 2.0}, {"started": "later"}):
        assert record_address(dataclasses.replace(RECORD, **same)) == address
    for other in ({"seed": 1}, {"weights_sha256": "x"}, {"data_fingerprint": "x"}, {"recipe": "x"}):
        assert record_address(dataclasses.replace(RECORD, **other)) != address


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_record_must_be_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        dataclasses.replace(RECORD, value=value)


@pytest.mark.parametrize("text", ["not json", '{"schema": 1}', '[{"table": 2}]'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"record\.json: not a"):
        load_records(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_records(tmp_path / "absent")
