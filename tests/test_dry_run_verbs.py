"""`--dry-run` of the verbs beside pretrain and transfer makes the checks and writes nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import save_file
from samples import DETECTION
from stored_runs import classification_run

from cebench.cli import cli
from cebench.models.backbones import build_trunk
from cebench.pretrain.run import Request, run_pretraining
from cebench.reporting.records import write_record
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run import Request as TransferRequest
from cebench.transfer.run import identity_of

CPU = torch.device("cpu")
FORMAT = ["--format", "json"]
RESCALE = ["weights", "rescale", "random", "--images", "1", "--on", "photos"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/ with one image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos" / "0.png")
    return tmp_path


def call(folder: Path, *arguments: str) -> Result:
    """`cebench ARGUMENTS --dry-run`, which leaves `folder` as it was."""
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(cli, [*arguments, "--dry-run"])
    assert sorted(folder.rglob("*")) == before
    return result


def test_toy_counts_and_checks_the_folder(here: Path) -> None:
    found = json.loads(call(here, "data", "toy", "world", "--images", "10", "--json").stdout)
    assert found["counts"]["VOC2007"] == {"train": 4, "val": 2, "test": 4}
    assert found["images"] == sum(sum(splits.values()) for splits in found["counts"].values())
    assert (
        f"would draw {found['images']} images"
        in call(here, "data", "toy", "world", "--images", "10").stdout
    )
    assert "is not empty" in str(call(here, "data", "toy", "photos").exception)


def test_motion_names_its_clips_and_checks_the_folder(here: Path) -> None:
    (here / "clips" / "walk").mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (32, 32)).save(here / "clips" / "walk" / f"{number}.png")
    given = ["data", "motion", "clips", "--short-side", "32", "--window", "16", "--out"]
    found = json.loads(call(here, *given, "pairs", "--json").stdout)
    assert (len(found["clips"]), found["out"]) == (1, "pairs")
    assert "would track what moves in 1 clips into pairs" in call(here, *given, "pairs").stdout
    assert "no mined patches" in str(call(here, *given, "photos").exception)


def test_weights_are_imported_exported_and_rescaled_without_writing(here: Path) -> None:
    torch.manual_seed(0)
    trunk = {name: value * 2 for name, value in build_trunk().state_dict().items()}
    save_file(trunk, here / "trunk.safetensors")
    given = ["weights", "import", "trunk.safetensors", "--as", "caffenet", "--method", "mine"]
    assert json.loads(call(here, *given, "--out", "new", "--json").stdout)["written"] is False
    (here / "taken").mkdir()
    (here / "taken" / "weights.safetensors").touch()
    assert "exists" in str(call(here, *given, "--out", "taken").exception)
    run_pretraining(Request(method="random", data=(), out=here / "random"))
    given = ["weights", "export", "random", "--to", "caffe", "--out"]
    assert call(here, *given, "w.caffemodel").stdout.startswith("dry run, nothing is written: ")
    assert "end in .caffemodel" in str(call(here, *given, "w.pth").exception)
    found = json.loads(call(here, *RESCALE, "--out", "scaled", "--json").stdout)
    assert (found["method"], found["written"]) == ("random-rescaled", False)


def test_packing_scores_and_writes_nothing(here: Path) -> None:
    classification_run(here / "runs" / "a", "context", 1.0, images=40)
    found = json.loads(call(here, "pack", "runs", "--out", "two.zip", "--json").stdout)
    assert (found["records"], found["numbers"], found["written"]) == (1, 3, False)
    assert "3 numbers that can be scored again" in call(here, "pack", "runs", "--out", "z").stdout
    assert "is a folder" in str(call(here, "pack", "runs", "--out", "runs").exception)


def test_a_suite_is_planned_and_nothing_stored(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cebench.suite.running.call_apart", lambda plan, *given: plan(*given))
    (here / "mine.toml").write_text(
        'title = "mine"\nrecipe = "smoke"\n[data]\nphotos = "photos"\n[rows.random]\n'
        '[rows.autoencoder]\ndata = ["{photos}"]\n[tasks]\n'
    )
    given = ["suite", "run", "mine.toml", "--out", "suite"]
    assert "2 cells, 0 finished" in call(here, *given).stdout
    before = sorted(here.rglob("*"))
    told = CliRunner().invoke(cli, ["suite", "status", "mine.toml", "--out", "suite"])
    assert "waiting" in told.stderr
    assert sorted(here.rglob("*")) == before
    (here / "suite" / "runs" / "of-another-form").mkdir(parents=True)
    (here / "suite" / "plan.json").write_text("{}")
    status = ["suite", "status", "mine.toml", "--out", "suite"]
    assert "no cell of this suite as it is now: 1\n" in CliRunner().invoke(cli, status).stderr
    (here / "suite" / "records").mkdir()
    told = CliRunner().invoke(cli, status)
    assert "no cell of this suite as it is now: 1; suite/records has" in told.stderr
    assert "32 cells" in call(here, "quickstart").stdout


def test_json_of_report_is_its_format(here: Path) -> None:
    classification_run(here / "runs" / "a", "context", 1.0, images=40)
    told = [CliRunner().invoke(cli, ["report", "runs", *how]) for how in (["--json"], FORMAT)]
    assert json.loads(told[0].stdout) == json.loads(told[1].stdout)


def test_a_finished_run_whose_data_are_gone_would_do_nothing(here: Path) -> None:
    given = ["pretrain", "--method", "autoencoder", "--recipe", "smoke", "--data", "photos"]
    given += ["--set", "batch_size=1", "--set", "steps=1", "--set", "held_out_images=0"]
    assert CliRunner().invoke(cli, [*given, "--out", "run"]).exit_code == 0
    (here / "photos").rename(here / "elsewhere")
    told = call(here, *given, "--out", "run")
    assert told.stdout == "run is finished: nothing would be done\n"
    found = json.loads(call(here, *given, "--out", "run", "--json").stdout)
    assert (found["outputs"], found["steps"]) == ([], 1)
    assert "photos" in str(call(here, *given, "--out", "run", "--no-resume").exception)


def test_a_finished_transfer_whose_data_are_gone_would_do_nothing(here: Path) -> None:
    given = ["transfer", "--task", "knn", "--recipe", "smoke", "--weights", "random"]
    given += ["--data", "photos", "--out", "run"]
    request = TransferRequest(
        task="knn", weights="random", data=here / "photos", out=Path("run"), recipe="smoke"
    )
    identity = identity_of(request, *request.resolve(), request.load_weights(), CPU)
    with RunDirectory(here / "run", identity) as run:
        write_record(run.path / "record.json", DETECTION)
    (here / "photos").rename(here / "elsewhere")
    assert call(here, *given).stdout == "run is finished: nothing would be done\n"
