import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cebench.cli import cli
from cebench.commands import explain as explain_command
from cebench.commands.explain import find_cell
from cebench.errors import InputError
from cebench.reporting.published import load_published
from cebench.reporting.records import load_record, write_record

ROOT = Path(__file__).parents[2]
CELLS = [
    (row.id, column.id)
    for layout in load_published().layouts.values()
    for row in layout.rows
    for column in layout.columns
]


def explained(runner: CliRunner, cell: str, folder: Path) -> dict[str, Any]:
    result = runner.invoke(
        cli, ["explain", cell, "--json", "--results", str(folder)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.output)
    return content


def test_context_detection(runner: CliRunner, tmp_path: Path) -> None:
    content = explained(runner, "context detection", tmp_path)
    assert content["task"] == "detection"
    assert content["metric"] == "mean_ap_voc07_11pt"
    assert content["protocol"].startswith("voc-fast-rcnn-selective-search version ")
    assert content["published"]["printed"] == "44.5%"
    assert [number["percent"] for number in content["quoted"]["numbers"]] == [44.5]
    assert content["records"] == []
    ids = {choice["id"] for choice in content["choices"]}
    assert {"context-mask", "detection-schedule"} <= ids
    assert not {"segmentation-stride", "imagenet-init", "gan-overlap"} & ids


def test_a_variant_is_determined_by_what_determines_its_method(
    runner: CliRunner, tmp_path: Path
) -> None:
    rows = ("context-gan", "context-gan-l2")
    method, variant = (explained(runner, f"{row} psnr", tmp_path)["choices"] for row in rows)
    assert variant == method
    explains = {
        row: explained(runner, f"{row} conv4", tmp_path)["choices"]
        for row in ("random", "imagenet", "imagenet-rescaled", "imagenet-rescale", "random-other")
    }
    assert explains["imagenet-rescaled"] == explains["imagenet"]
    assert explains["imagenet-rescale"] != explains["imagenet"]
    assert explains["random-other"] != explains["random"]


def test_a_conflict_is_told(runner: CliRunner, tmp_path: Path) -> None:
    content = explained(runner, "motion classification", tmp_path)
    assert [number["percent"] for number in content["quoted"]["numbers"]] == [62.8, 63.1]
    assert "58.7" in content["quoted"]["conflicts"][0]


@pytest.mark.parametrize(
    ("cell", "task"),
    [
        ("context-gan psnr", "inpainting"),
        ("random classification_fc8", "classification"),
        ("anything conv4", "linear-svm"),
        ("anything shots_8", "low-shot-svm"),
        ("context pretraining_time", ""),
    ],
)
def test_the_task_behind_a_column(runner: CliRunner, cell: str, task: str, tmp_path: Path) -> None:
    assert explained(runner, cell, tmp_path)["task"] == task


def test_every_cell_of_the_tables_is_found() -> None:
    for row, column in CELLS:
        found_row, _, found_column = find_cell(f"{row} {column}")
        assert (found_row, found_column.id) == (row, column)


def test_records_of_a_folder(runner: CliRunner) -> None:
    content = explained(runner, "context-gan psnr", ROOT / "results")
    assert {record["seed"] for record in content["records"]} == {0, 1, 2}
    assert all(19 < record["value"] < 20 for record in content["records"])
    assert all(Path(record["path"]).is_file() for record in content["records"])


@pytest.mark.parametrize(
    ("cell", "tier"), [("context-gan-l2 mean_l1", "custom"), ("context conv3", "small")]
)
def test_a_record_has_the_tier_that_the_table_has(runner: CliRunner, cell: str, tier: str) -> None:
    records = explained(runner, cell, ROOT / "results")["records"]
    assert {record["tier"] for record in records} == {tier}


def test_a_record_names_the_seed_of_its_pretraining_too(runner: CliRunner) -> None:
    arguments = ["explain", "context conv3", "--results", str(ROOT / "results")]
    text = runner.invoke(cli, arguments).output
    records = explained(runner, "context conv3", ROOT / "results")["records"]
    for record in records:
        seeds = f"pretraining {record['pretraining_seed']}, seed {record['seed']}, small"
        assert seeds in " ".join(text.split())
    fills = explained(runner, "nn-hog mean_l1", ROOT / "results")["records"]
    assert {record["pretraining_seed"] for record in fills} == {None}


def test_a_record_that_lies_in_two_places_is_shown_once(runner: CliRunner, tmp_path: Path) -> None:
    (file,) = (ROOT / "results/records").glob("t1-context-gan-inpainting-p1-*.json")
    for folder in ("records", "runs"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "record.json").write_bytes(file.read_bytes())
    assert len(explained(runner, "context-gan psnr", tmp_path)["records"]) == 1


def test_another_network_is_a_cell_of_its_own(runner: CliRunner) -> None:
    content = explained(runner, "imagenet classification", ROOT / "results")
    assert content["published"]["printed"] == "78.2%"
    # Records appear as runs finish: what must hold is that each is of a pretraining of ours.
    pretrained = {record["path"] for record in content["records"]}
    assert None not in {record["pretraining_seed"] for record in content["records"]}
    content = explained(runner, "imagenet (torchvision/alexnet) classification", ROOT / "results")
    assert content["published"] is None
    assert {record["seed"] for record in content["records"]} == {0, 1}
    assert {record["pretraining_seed"] for record in content["records"]} == {None}
    assert pretrained.isdisjoint(record["path"] for record in content["records"])


def test_text_fits_80_columns_and_names_the_entries(runner: CliRunner) -> None:
    text = runner.invoke(
        cli, ["explain", "context segmentation", "--results", str(ROOT / "results")]
    ).output
    assert "published    30.0%" in text
    assert "29.7 % (context)" in text
    assert "[segmentation-stride]" in text
    prose = [line for line in text.splitlines() if "/" not in line]
    assert max(map(len, prose)) <= explain_command.COLUMNS


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("detection", "expected a row and a column"),
        ("context detecton", "no column 'detecton'; did you mean 'detection'"),
        ("contxt detection", "no row 'contxt'; did you mean 'context'"),
        ("", "expected a row and a column"),
    ],
)
def test_a_wrong_cell_is_one_line(
    runner: CliRunner, tmp_path: Path, cell: str, message: str
) -> None:
    result = runner.invoke(cli, ["explain", cell, "--results", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert re.search(message, str(result.exception))


def test_a_row_of_ones_own_is_known_by_its_record(runner: CliRunner, tmp_path: Path) -> None:
    cell = "mine (torchvision/alexnet) classification"
    result = runner.invoke(cli, ["explain", cell, "--results", str(tmp_path)])
    assert "one that a record in --results DIR has" in str(result.exception)
    (tmp_path / "records").mkdir()
    for path in (ROOT / "results/records").glob("t2-imagenet-classification-*.json"):
        record = load_record(path)
        if record.weights.architecture == "torchvision/alexnet":
            weights = replace(record.weights, method="mine")
            measured = tuple(replace(m, row="mine") for m in record.measurements)
            mine = replace(record, weights=weights, measurements=measured)
            write_record(tmp_path / "records" / path.name, mine)
    content = explained(runner, cell, tmp_path)
    assert {record["seed"] for record in content["records"]} == {0, 1}
    assert content["published"] is None
