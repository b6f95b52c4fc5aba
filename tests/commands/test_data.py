import json

import numpy as np
import pytest
from PIL import Image

from cebench.commands.data import data
from cebench.errors import InputError


def test_verify_prints_counts_and_succeeds(runner, tiny_voc):
    result = runner.invoke(data, ["verify", str(tiny_voc)])
    assert result.exit_code == 0
    assert "4 boxes, 2 of them difficult" in result.stdout
    assert "all is well" in result.stdout
    assert "verifying VOC2007: 3/3 images" in result.stderr


def test_verify_json_is_one_object(runner, tiny_voc):
    (tiny_voc / "VOC2007" / "JPEGImages" / "000002.jpg").unlink()
    result = runner.invoke(data, ["verify", str(tiny_voc), "--json"])
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["problems"] == 1
    (found,) = summary["data_sets"]
    assert found["per_class"]["dog"] == {"boxes": 2, "difficult": 1, "images": 2, "masks": 1}
    assert "000002.jpg does not exist" in found["problems"][0]


def test_verify_lists_what_is_broken(runner, tmp_path):
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    result = runner.invoke(data, ["verify", str(tmp_path)])
    assert result.exit_code == 1
    assert "1 missing or broken:" in result.stdout
    assert "b.jpg is not an image" in result.stdout


def test_verify_of_nothing_is_a_mistake(runner, tmp_path):
    result = runner.invoke(data, ["verify", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert result.stdout == ""


def test_toy_world_can_be_verified(runner, tmp_path):
    folder = tmp_path / "toy"
    result = runner.invoke(data, ["toy", str(folder), "--images", "4", "--seed", "1"])
    assert result.exit_code == 0, result.output
    assert "4 images, seed 1" in result.stdout
    result = runner.invoke(data, ["verify", str(folder)])
    assert result.exit_code == 0, result.stdout
    for name in ("VOC2007", "VOC2012", "SBD", "unlabeled", "facades"):
        assert name in result.stdout


@pytest.mark.parametrize("arguments", [["toy"], ["toy", "x", "--images", "0"], ["verify"]])
def test_bad_arguments_are_mistakes(runner, arguments):
    assert runner.invoke(data, arguments).exit_code == 2
