"""`--no-resume` on a finished run: a mistake in the command leaves the run as it was."""

from pathlib import Path

import pytest
import torch
from blurred_photos import save_photos
from click.testing import CliRunner
from samples import DETECTION

from cebench import pretrain, transfer
from cebench.cli import cli
from cebench.errors import InputError
from cebench.pretrain.run import Request, run_pretraining
from cebench.training.run_directory import RunDirectory
from cebench.training.run_owner import Identity
from cebench.transfer.run import Request as TransferRequest
from cebench.transfer.run import run_transfer

CPU = torch.device("cpu")


def finish(out: Path, identity: Identity) -> dict[str, bytes]:
    """Leave a finished run in `out`; what its folder holds."""
    with RunDirectory(out, identity) as run:
        run.log_metrics(1, {"loss": 1.0})
        run.finish(DETECTION)
        (run.path / "weights.safetensors").write_bytes(b"weeks")
    return content(out)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.lock"}


@pytest.mark.parametrize("data", ["nowhere", "empty"])
def test_a_pretraining_outlives_mistyped_data(data: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    given = {"method": "context", "out": tmp_path / "run", "data": (tmp_path / data,)}
    request = Request(**given, recipe="smoke", resume=False, device="cpu")
    before = finish(request.out, pretrain.run.identity_of(request, *request.resolve(), CPU))
    with pytest.raises(InputError):
        run_pretraining(request)
    assert content(request.out) == before
    command = ["pretrain", "--method", "context", "--recipe", "smoke", "--no-resume"]
    places = ["--data", str(request.data[0]), "--out", str(request.out), "--device", "cpu"]
    result = CliRunner().invoke(cli, [*command, *places])
    assert isinstance(result.exception, InputError)
    assert content(request.out) == before


def test_a_pretraining_outlives_a_damaged_image(tmp_path: Path) -> None:
    """It is found when all images are decoded, after the new run has claimed the folder."""
    photos = save_photos(tmp_path / "photos", [(60, 40), (50, 50)])
    given = {"method": "context", "out": tmp_path / "run", "data": (photos,)}
    request = Request(**given, recipe="smoke", resume=False, device="cpu")
    before = finish(request.out, pretrain.run.identity_of(request, *request.resolve(), CPU))
    image = photos / "0.png"
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"0\.png is truncated"):
        run_pretraining(request)
    assert content(request.out) == before


def test_a_transfer_outlives_mistyped_data(tmp_path: Path) -> None:
    given = {"task": "knn", "weights": "random", "out": tmp_path / "run", "resume": False}
    request = TransferRequest(**given, data=tmp_path / "nowhere", recipe="smoke", device="cpu")
    weights = request.load_weights()
    identity = transfer.run.identity_of(request, *request.resolve(), weights, CPU)
    before = finish(request.out, identity)
    with pytest.raises(InputError):
        run_transfer(request)
    command = ["transfer", "--task", "knn", "--weights", "random", "--recipe", "smoke"]
    command += ["--no-resume", "--device", "cpu"]
    places = ["--data", str(request.data), "--out", str(request.out)]
    assert isinstance(CliRunner().invoke(cli, [*command, *places]).exception, InputError)
    assert content(request.out) == before
