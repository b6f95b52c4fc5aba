"""A transfer from request to record, by the task that trains nothing."""

from pathlib import Path

import numpy as np
import pytest
from inpainting_scenes import gallery_and_test
from PIL import Image

from cebench.pretrain.run import Request as PretrainingRequest
from cebench.pretrain.run import run_pretraining
from cebench.reporting.records import load_record, read_records
from cebench.reporting.tables import build_tables
from cebench.transfer.run import Request, run_transfer


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A gallery and a test folder of three small images each."""
    return gallery_and_test(tmp_path / "data")


def request(data: Path, out: Path, weights: str) -> Request:
    rows = 'rows=["nn-features", "mean-of-context"]'
    return Request(
        task="inpainting", weights=weights, data=data, out=out, recipe="smoke", changes=(rows,)
    )


def test_random_by_name_and_from_a_file_are_one_number(data: Path, tmp_path: Path) -> None:
    by_name = run_transfer(request(data, tmp_path / "runs" / "a", "random"))
    drawn = PretrainingRequest(method="random", data=(), out=tmp_path / "random")
    path = run_pretraining(drawn)
    from_file = run_transfer(request(data, tmp_path / "runs" / "b", str(path)))
    assert by_name.weights.sha256 == from_file.weights.sha256
    assert by_name.measurements == from_file.measurements

    (table,) = build_tables(read_records(tmp_path / "runs"))
    cells = table.cells[table.cells["n"] > 0]
    assert set(cells["row"]) == {"nn-features-random", "mean-of-context"}
    assert set(cells["n"]) == {1}
    assert set(cells["tier"]) == {"smoke"}


def test_the_record_is_what_the_finished_run_returns(data: Path, tmp_path: Path) -> None:
    record = run_transfer(request(data, tmp_path / "run", "random"))
    assert load_record(tmp_path / "run" / "record.json") == record
    assert run_transfer(request(data, tmp_path / "run", "random")) == record
    assert (record.task, record.table, record.seed) == ("inpainting", "1", 0)
    assert (record.weights.method, record.weights.seed) == ("random", 0)
    assert {m.of_weights for m in record.measurements if m.row == "mean-of-context"} == {False}
    assert record.recipe.values is not None
    assert record.recipe.values["rows"] == ["nn-features", "mean-of-context"]


def test_pictures_of_a_smoke_run_say_so(data: Path, tmp_path: Path) -> None:
    run_transfer(request(data, tmp_path / "run", "random"))
    for name in ("inpainting", "retrieval"):
        with Image.open(tmp_path / "run" / "samples" / f"{name}.png") as picture:
            assert (np.asarray(picture.convert("L"))[-20:] < 128).any()
