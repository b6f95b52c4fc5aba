"""A transfer from request to record, by the task that trains nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inpainting_scenes import gallery_and_test
from PIL import Image

from cebench.errors import InputError
from cebench.pretrain.run import Request as PretrainingRequest
from cebench.pretrain.run import run_pretraining
from cebench.reporting.records import load_record, read_records
from cebench.reporting.tables import build_tables
from cebench.transfer.run import Request, run_transfer
from cebench.weights.files import random_weights, save_weights


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


def test_the_same_tensors_with_other_pixels_are_other_weights(data: Path, tmp_path: Path) -> None:
    """As of an import again, with its mapping corrected: foreign networks keep their tensors."""
    one, out = random_weights(0), tmp_path / "run"
    other = replace(one.sidecar.preprocessing, mean_rgb=(1.0, 2.0, 3.0))
    for name, sidecar in (
        ("a", one.sidecar),
        ("moved", replace(one.sidecar, data="elsewhere", seconds=7.0)),
        ("b", replace(one.sidecar, preprocessing=other)),
    ):
        (tmp_path / name).mkdir()
        save_weights(tmp_path / name / "weights.safetensors", one.tensors, sidecar)
    record = run_transfer(request(data, out, str(tmp_path / "a")))
    assert run_transfer(request(data, out, str(tmp_path / "moved"))) == record
    with pytest.raises(InputError, match="weights of another row, recipe or preprocessing:"):
        run_transfer(request(data, out, str(tmp_path / "b")))


def test_the_time_of_earlier_sessions_counts(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cebench.transfer.run.seconds_so_far", lambda run: 1000.0)
    assert run_transfer(request(data, tmp_path / "run", "random")).seconds > 1000
