import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner

from cebench.commands.data import data
from cebench.data.proposals.files import load_proposals
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
    assert proposals.name == "imported-voc_2007_train"
    assert list(proposals.boxes) == ["000001", "000002"]
    assert proposals.boxes["000001"].tolist() == [[0, 0, 80, 60], [10, 20, 30, 40]]
    per_class = found(runner, tiny_voc, "--image-set", "train", "--import", mat, "--out", out)
    assert per_class["per_class"]["dog"]["recall_at_70"] == 1
    reading = {"columns": "yxyx", "first_pixel": 1, "clipped": 0, "dropped": 0}
    assert per_class["imported"] == [{"file": "voc_2007_train.mat", **reading}]


def test_proposals_are_named_after_the_imported_files(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    whole = {"i000001": [[1, 1, 60, 80]], "i000002": [[1, 1, 48, 64]], "i000003": [[1, 1, 50, 50]]}
    files = [write_mat(tmp_path / f"f{i}.mat", **{i: whole[i]}) for i in whole]
    way = ("--columns", "yxyx", "--first-pixel", 1, "--out")
    imports = [option for file in files for option in ("--import", file)]
    two = found(runner, tiny_voc, "--image-set", "train", *imports[:4], *way, tmp_path / "two")
    assert two["name"] == "imported-fi000001+fi000002"
    assert [row["file"] for row in two["imported"]] == ["fi000001.mat", "fi000002.mat"]
    three = found(runner, tiny_voc, "--image-set", "trainval", *imports, *way, tmp_path / "three")
    assert three["name"] == "imported-3-files"
    before = (tmp_path / "two").read_bytes()
    text = refused(runner, tiny_voc, "--image-set", "trainval", *imports, *way, tmp_path / "two")
    assert text.endswith("two: holds imported-fi000001+fi000002; choose another file")
    assert (tmp_path / "two").read_bytes() == before


def test_tables_of_recall_have_the_whole_name_of_the_file(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    whole = {"i000001": [[1, 1, 60, 80]], "i000002": [[1, 1, 48, 64]]}
    mat = write_mat(tmp_path / "some.mat", **whole)
    out = tmp_path / "boxes.k50.safetensors"
    run(runner, tiny_voc, "--image-set", "train", "--import", mat, "--out", out)
    made = {path.name for path in tmp_path.iterdir()}
    assert {"boxes.k50-recall.csv", "boxes.k50-recall.png"} <= made
    assert not {"boxes.csv", "boxes.png"} & made


def test_a_file_that_lacks_an_image_is_refused(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    mat = write_mat(tmp_path / "some.mat", i000001=[[1, 1, 60, 80]])
    arguments = [tiny_voc, "--image-set", "train", "--import", mat, "--out", tmp_path / "out"]
    result = runner.invoke(data, ["proposals", *map(str, arguments)])
    assert isinstance(result.exception, InputError)
    assert "some.mat has no proposals for 1 of 2 images (first: 000002)" in str(result.exception)
    assert not (tmp_path / "out").exists()


def refused(runner: CliRunner, *arguments: object) -> str:
    """The message; nothing was written."""
    result = runner.invoke(data, ["proposals", *map(str, arguments)])
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def test_what_would_fail_after_the_search_is_said_before(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object, **__: object) -> None:
        raise AssertionError("searched")

    monkeypatch.setattr("cebench.data.proposals.selective_search.compute_proposals", search)
    assert f"--out {tmp_path} is a folder" in refused(runner, tiny_voc, "--out", tmp_path)
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "boxes.safetensors"
    for dry_run in ([], ["--dry-run"]):
        message = refused(runner, tiny_voc, "--out", out, *dry_run)
        assert "is a file; choose another --out" in message
    out = tmp_path / "folder" / "boxes.safetensors"
    for folder, name in (("Annotations", "000002.xml"), ("JPEGImages", "000003.jpg")):
        (tiny_voc / "VOC2007" / folder / name).unlink()
        assert f"{name} does not exist" in refused(runner, tiny_voc, "--out", out)
    assert not out.parent.exists()


def test_a_set_without_annotations_is_searched_and_left_out_of_the_recall(
    runner: CliRunner, tmp_path: Path, tiny_voc: Path
) -> None:
    annotations = tiny_voc / "VOC2007" / "Annotations"
    (annotations / "000003.xml").unlink()
    sets = ("--image-set", "train", "--image-set", "val", "--min-side", 5)
    both = found(runner, tiny_voc, *sets, "--out", tmp_path / "both.safetensors")
    assert (both["images"], both["sets_without_annotations"]) == (3, ["val"])
    assert both["objects"] == 2
    for path in annotations.iterdir():
        path.unlink()
    out = tmp_path / "boxes.safetensors"
    shown = run(runner, tiny_voc, *sets, "--out", out)
    assert "no recall of train, val: VOC2007 has no annotations" in shown
    assert "dog" not in shown
    assert len(load_proposals(out).boxes) == 3
    assert not list(tmp_path.glob("boxes-recall*"))
    result = found(runner, tiny_voc, *sets, "--out", out)
    assert result["sets_without_annotations"] == ["train", "val"]
    assert "per_class" not in result


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--columns", "xyxy"), "--columns says how to read a file of --import"),
        (("--first-pixel", "0"), "--first-pixel says how to read a file of --import"),
        (("--import", "a.mat", "--mode", "fast"), "--mode belongs to the search"),
        (("--import", "a.mat", "--min-side", "20"), "--min-side belongs to the search"),
        (("--import", "a.mat", "--max-side", "0"), "--max-side belongs to the search"),
    ],
)
def test_options_that_say_nothing_are_refused(
    runner: CliRunner, tiny_voc: Path, options: tuple[str, ...], message: str
) -> None:
    result = runner.invoke(data, ["proposals", str(tiny_voc), "--out", "x", *options])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize("option", ["--mode", "--columns", "--first-pixel"])
def test_wrong_choices_are_refused(runner: CliRunner, tiny_voc: Path, option: str) -> None:
    result = runner.invoke(data, ["proposals", str(tiny_voc), "--out", "x", option, "7"])
    assert result.exit_code == 2
