from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import CPU, RECIPE, open_run
from fc_weights import SHAPES, weights_with_fc

from cebench.config import validate
from cebench.data.voc.devkit import VocYear
from cebench.errors import InputError
from cebench.transfer.detection.data import read_set
from cebench.transfer.detection.recipe import DetectionRecipe
from cebench.transfer.detection.task import Detection, build
from cebench.transfer.run_context import RunContext
from cebench.weights.files import Weights, random_weights


def built(devkit: Path, folder: Path, weights: Weights, **changes: object) -> Detection:
    voc = VocYear(devkit, 2007)
    data = read_set(voc, "train", voc.ids("train")[:1])
    recipe = RECIPE.model_copy(update=changes)
    with open_run(folder / "run") as run:
        context = RunContext(run=run, weights=weights, data=devkit, seed=0, device=CPU)
        return build(recipe, context, data, [np.zeros((0, 4), np.float32)])


@pytest.mark.slow
def test_drop7_takes_fc6_and_fc7_from_the_weights_and_pool5_draws_them(
    devkit: Path, tmp_path: Path
) -> None:
    weights = weights_with_fc()
    taken = built(devkit, tmp_path, weights, random_from="drop7").network.state_dict()
    drawn = built(devkit, tmp_path, weights).network.state_dict()
    assert all(torch.equal(taken[name], weights.tensors[name]) for name in SHAPES)
    assert not any(torch.equal(drawn[name], weights.tensors[name]) for name in SHAPES)
    # What is drawn in both is drawn alike.
    others = taken.keys() - SHAPES.keys()
    assert others
    assert all(torch.equal(taken[name], drawn[name]) for name in others)


def test_weights_without_fc6_are_refused(devkit: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"random: has no fc6.weight; random_from=drop7 needs"):
        built(devkit, tmp_path, random_weights(0), random_from="drop7")


def test_it_excludes_a_scaled_head() -> None:
    values = {**RECIPE.model_dump(), "random_from": "drop7", "head_init": "data"}
    with pytest.raises(InputError, match="random_from=drop7 draws no fc6 and fc7; give head_init"):
        validate(DetectionRecipe, values, where="recipe x")
