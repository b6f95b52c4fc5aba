"""What a trunk is rescaled on when it is written, and which recipes do so."""

import logging
from importlib.resources import files

import numpy as np
import pytest
import torch

from cebench.config import load_recipe
from cebench.data.store.ragged import RaggedImages
from cebench.models.caffenet import CaffeNetTrunk
from cebench.pretrain import crops as crops_module
from cebench.pretrain.crops import Crops
from cebench.pretrain.options import RECIPES
from cebench.pretrain.run_context import Pretrained
from cebench.pretrain.trunk_training import _rescaled


def test_every_process_takes_the_same_images_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = [np.full((8, 8, 3), 10 * n, dtype=np.uint8) for n in range(6)]
    crops = Crops(RaggedImages.from_arrays(flat), 6, 2, seed=0, device=torch.device("cpu"))
    monkeypatch.setattr(crops_module, "local_slice", lambda count: slice(0, 1))
    shown = crops.first(3)
    assert shown.shape == (3, 3, 6, 6)
    assert shown[:, 0, 0, 0].tolist() == [10 * n for n in crops.training[:3]]
    assert len(crops.first(9)) == 4


@pytest.mark.slow
def test_a_dead_trunk_is_written_as_it_is_and_said(caplog: pytest.LogCaptureFixture) -> None:
    network = CaffeNetTrunk()
    with torch.no_grad():
        network.conv3.weight.zero_()
        network.conv3.bias.fill_(-1)
    made = Pretrained(
        trunk=network.state_dict(), model=None, images=1, data_fingerprint="", steps=1, seconds=0
    )
    images = torch.zeros(2, 3, 115, 115, dtype=torch.uint8)
    with caplog.at_level(logging.WARNING, "cebench"):
        assert _rescaled(made, images, seed=0) is made
    assert "the trunk is not rescaled: a layer has no gradient" in caplog.text


@pytest.mark.parametrize("method", ["imagenet", "motion", "egomotion"])
def test_recipes_that_normalise_batches_rescale_and_no_others(method: str) -> None:
    recipes = files("cebench.pretrain") / "recipes" / method
    names = [file.name.removesuffix(".toml") for file in recipes.iterdir()]
    assert {"paper", "short", "small", "smoke"} <= set(names)
    for name in names:
        values = load_recipe(RECIPES[method], "cebench.pretrain", method, name)[0].model_dump()
        assert values["rescale"] == values["batch_norm"] == (name != "paper"), name
