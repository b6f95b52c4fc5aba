import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from cebench.commands.data import data
from cebench.data.proposals import load_proposals
from cebench.errors import InputError


def run(runner: CliRunner, *arguments: object) -> str:
    result = runner.invoke(data, ["proposals", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def found(runner: CliRunner, *arguments: object) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(run(runner, *arguments, "--json"))
    return values


def test_search_leaves_one_file_a_table_and_a_picture(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    out = tmp_path / "boxes.safetensors"
    options = (tiny_voc, "--image-set", "val", "--image-set", "train", "--min-side", 5, "--out")
    result = found(runner, *options, out)
    proposals = load_proposals(out)
    assert list(proposals.boxes) == ["000003", "000001", "000002"]
    assert result["name"] == proposals.name == "selective-search-fast-k50,100-min5"
    assert result["sha256"] == proposals.sha256
    assert result["images"] == 3
    assert result["per_class"]["dog"]["objects"] == 1  # the other one is difficult
    assert result["per_class"]["cat"]["recall_at_50"] is None
    assert (tmp_path / "boxes-recall.png").stat().st_size > 0
    rows = list(csv.DictReader((tmp_path / "boxes-recall.csv").read_text().splitlines()))
    assert len(rows) == 21
    assert float(rows[-1]["recall_at_50"]) == result["recall_at_50"]

    before = out.stat().st_mtime_ns
    shown = run(runner, *options, out)
    assert out.stat().st_mtime_ns == before
    assert proposals.sha256 in shown
    assert "dog" in shown


def write_mat(path: Path, **boxes: list[list[int]]) -> Path:
    """The historic form: y1 x1 y2 x2 from 1, ids beside."""
    cells, names = np.empty((len(boxes), 1), object), np.empty((len(boxes), 1), object)
    for row, (name, of_image) in enumerate(boxes.items()):
        cells[row, 0], names[row, 0] = np.array(of_image), name.removeprefix("i")
    scipy.io.savemat(path, {"boxes": cells, "images": names})
    return path


def test_historic_files_are_imported_and_said_how(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    # 000001 is 80 x 60 pixels, 000002 is 64 x 48: whole images, and the dog's box in 000001.
    boxes = {"i000002": [[1, 1, 48, 64]], "i000001": [[1, 1, 60, 80], [21, 11, 40, 30]]}
    mat = write_mat(tmp_path / "voc_2007_train.mat", **boxes)
    out = tmp_path / "historic.safetensors"
    shown = run(runner, tiny_voc, "--image-set", "train", "--import", mat, "--out", out)
    assert "voc_2007_train.mat: columns y1 x1 y2 x2, first pixel 1; 0 boxes clipped" in shown
    proposals = load_proposals(out)
    assert proposals.name == "imported-historic"
    assert list(proposals.boxes) == ["000001", "000002"]
    assert proposals.boxes["000001"].tolist() == [[0, 0, 80, 60], [10, 20, 30, 40]]
    per_class = found(runner, tiny_voc, "--image-set", "train", "--import", mat, "--out", out)
    assert per_class["per_class"]["dog"]["recall_at_70"] == 1


def test_a_file_that_lacks_an_image_is_refused(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    mat = write_mat(tmp_path / "some.mat", i000001=[[1, 1, 60, 80]])
    arguments = [tiny_voc, "--image-set", "train", "--import", mat, "--out", tmp_path / "out"]
    result = runner.invoke(data, ["proposals", *map(str, arguments)])
    assert isinstance(result.exception, InputError)
    assert "some.mat has no proposals for 1 of 2 images (first: 000002)" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--mode", "--columns", "--first-pixel"])
def test_wrong_choices_are_refused(runner: CliRunner, tiny_voc: Path, option: str) -> None:
    result = runner.invoke(data, ["proposals", str(tiny_voc), "--out", "x", option, "7"])
    assert result.exit_code == 2
