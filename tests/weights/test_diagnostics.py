import json
from pathlib import Path

import pytest
import torch
from blurred_photos import save_photos
from click.testing import CliRunner

from cebench.commands.weights import weights
from cebench.errors import InputError
from cebench.weights.files import random_weights, save_weights


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_photos(tmp_path / "photos", [(60, 50)] * 3, colours=6)


def test_inspect_prints_the_life_of_each_layer(photos: Path, runner: CliRunner) -> None:
    arguments = ["inspect", "random", "--on", str(photos)]
    text = runner.invoke(weights, arguments)
    assert text.exit_code == 0, text.output
    assert "effective rank" in text.output
    values = json.loads(runner.invoke(weights, [*arguments, "--json"]).output)["layers"]
    assert [value["layer"] for value in values] == [*(f"conv{n}" for n in range(1, 6)), "pool5"]
    conv1, pool5 = values[0], values[-1]
    assert conv1["channels"] == 96
    # Behind CaffeNet's fillers, with biases of 1, nearly all of pool5 is positive.
    assert 0 < conv1["active_share"] < 1
    assert pool5["active_share"] > 0.9
    assert 1 <= pool5["effective_rank"] < 30


def test_a_folder_without_images_is_a_mistake(tmp_path: Path, runner: CliRunner) -> None:
    (tmp_path / "empty").mkdir()
    result = runner.invoke(weights, ["inspect", "random", "--on", str(tmp_path / "empty")])
    assert isinstance(result.exception, InputError)
    assert "\n" not in str(result.exception)


def test_a_network_of_which_nothing_is_left_alive_is_shown(
    photos: Path, runner: CliRunner, tmp_path: Path
) -> None:
    drawn = random_weights(0)
    dead = drawn.tensors | {"conv5.bias": torch.full((256,), -1e6)}
    save_weights(tmp_path / "weights.safetensors", dead, drawn.sidecar)
    result = runner.invoke(weights, ["inspect", str(tmp_path), "--on", str(photos)])
    assert "trunk: no: " in result.stdout
    lines = [line.split() for line in result.stdout.splitlines() if "%" in line]
    found = {line[0]: line[2] for line in lines}
    assert (found["conv1"], found["conv5"], found["pool5"]) == ("0.0%", "100.0%", "100.0%")
