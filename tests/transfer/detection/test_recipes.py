"""The constants of the protocol, as literals: a changed default is a changed number."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detection_scenes import CPU, RECIPE, open_run
from foreign_networks import random_foreign_weights

from cebench.config import load_recipe
from cebench.data.voc.devkit import VocYear
from cebench.models.fast_rcnn import FastRCNN
from cebench.transfer.detection import prediction, task
from cebench.transfer.detection.data import FAST_RCNN_PIXELS, read_set
from cebench.transfer.detection.recipe import DetectionRecipe
from cebench.transfer.detection.task import Detection, measure
from cebench.transfer.run_context import RunContext
from cebench.weights.files import Preprocessing, Weights, random_weights

FOREIGN = random_foreign_weights("torchvision/resnet18")
PAPER = {
    "tier": "paper",
    "log_every": 100,
    "checkpoint_every": 5000,
    "year": 2007,
    "train_set": "trainval",
    "test_set": "test",
    "train_images": 0,
    "test_images": 0,
    "proposals": "fast",
    "proposal_max_side": 0,
    "proposal_min_side": 20,
    "max_proposals": 0,
    "scales": (600,),
    "max_side": 1000,
    "test_scales": (600,),
    "test_max_side": 1000,
    "steps": 150_000,
    "images_per_step": 2,
    "rois_per_image": 64,
    "learning_rate": 0.002,
    "tenth_every": 50_000,
    "momentum": 0.9,
    "weight_decay": 0.0005,
    "precision": "fp32",
    "conv1_padding": 5,
    "random_from": "pool5",
    "head_init": "caffenet",
    "optimizer": "sgd",
    "adamw_learning_rate": 0.0001,
    "adamw_weight_decay": 0.05,
    "layer_decay": 1,
    "warmup_steps": 0,
    "decay_from": 1,
    "final_rate": 0.02,
    "roi_pooling": "max",
    "train_conv1": True,
    "train_batch_norm": False,
    "train_difficult": True,
    "caps": "original",
    "pictures": 9,
}
STOCK = {"steps": 40_000, "learning_rate": 0.001, "tenth_every": 30_000}
FIVE_SCALES = {"scales": (480, 576, 688, 864, 1200), "max_side": 2000}
SHORT = {
    "tier": "short",
    "log_every": 10,
    "checkpoint_every": 400,
    "train_set": "train",
    "test_set": "val",
    "test_images": 400,
    "proposal_max_side": 200,
    "proposal_min_side": 8,
    "scales": (300,),
    "max_side": 500,
    "test_scales": (300,),
    "test_max_side": 500,
    "steps": 800,
    "learning_rate": 0.0002,
    "tenth_every": 600,
    "head_init": "data",
    "precision": "bf16",
}


def recipe_of(name: str) -> DetectionRecipe:
    recipe, full_name = load_recipe(DetectionRecipe, "cebench.transfer", "detection", name)
    assert full_name == f"detection-{name}"
    return recipe


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("paper", PAPER),
        ("paper-40k", PAPER | STOCK),
        ("paper-multiscale", PAPER | FIVE_SCALES),
        ("paper-labels", PAPER | {"random_from": "drop7", "train_conv1": False}),
        ("short", PAPER | SHORT),
    ],
)
def test_every_constant_of_a_recipe(name: str, values: dict[str, Any]) -> None:
    assert recipe_of(name).model_dump() == values


def test_the_smoke_recipe_names_its_tier() -> None:
    assert recipe_of("smoke").tier == "smoke"


def test_constants_outside_the_recipes() -> None:
    assert prediction.BOXES_PER_IMAGE == 100
    assert prediction.BOXES_PER_CLASS == 40
    assert prediction.LEAST_SCORE == 0.05


def test_the_network_has_the_geometry_of_fast_rcnns_caffenet() -> None:
    """models/CaffeNet/test.prototxt: kernel, stride, padding, groups; pool1 and pool2 padded."""
    with torch.device("meta"):
        network = FastRCNN()
    trunk = network.trunk
    found = [
        (conv.kernel_size, conv.stride, conv.padding, conv.groups)
        for conv in (trunk.conv1, trunk.conv2, trunk.conv3, trunk.conv4, trunk.conv5)
    ]
    assert found == [
        ((11, 11), (4, 4), (5, 5), 1),
        ((5, 5), (1, 1), (2, 2), 2),
        ((3, 3), (1, 1), (1, 1), 1),
        ((3, 3), (1, 1), (1, 1), 2),
        ((3, 3), (1, 1), (1, 1), 2),
    ]
    for pool in (trunk.pool1, trunk.pool2):
        assert (pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode) == (3, 2, 1, True)
    # conv1 (600 + 10 - 11) / 4 + 1 = 150; pools ceil(149 / 2) + 1 = 76, ceil(75 / 2) + 1 = 39.
    conv5 = trunk.feature_maps(torch.zeros(1, 3, 600, 800, device="meta"))[16]
    assert conv5.shape == (1, 256, 39, 51)


def test_the_papers_rates_momentum_and_decay(devkit: Path) -> None:
    voc = VocYear(devkit, 2007)
    data = read_set(voc, "train", voc.ids("train")[:1])
    recipe = recipe_of("paper").model_copy(update={"scales": (40,)})
    program = Detection(FastRCNN(), data, [np.zeros((0, 4), np.float32)], recipe, 0, CPU)
    weights, biases = program.optimizer.param_groups
    assert len(weights["params"]) == len(biases["params"]) == 9
    assert {parameter.dim() for parameter in biases["params"]} == {1}
    assert (weights["weight_decay"], biases["weight_decay"]) == (0.0005, 0)
    assert weights["momentum"] == biases["momentum"] == 0.9
    for step, rate in ((49_999, 0.002), (50_000, 0.0002), (149_999, 0.00002)):
        program.update(step, program.batch(step))
        assert weights["lr"] == pytest.approx(rate)
        assert biases["lr"] == pytest.approx(2 * rate)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "pixels"),
    [
        (random_weights(0), FAST_RCNN_PIXELS),
        (FOREIGN, FOREIGN.sidecar.preprocessing),
    ],
)
def test_the_test_has_its_own_scales_longest_side_and_caps_and_the_networks_pixels(
    weights: Weights,
    pixels: Preprocessing,
    devkit: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Reached(Exception):  # noqa: N818 - no error
        pass

    given: dict[str, object] = {}

    def predict(*_: object, **options: object) -> None:
        given.update(options)
        raise Reached

    monkeypatch.setattr(task, "predict", predict)
    changes = {"test_scales": (60, 90), "test_max_side": 123, "caps": "py-faster-rcnn"}
    recipe = RECIPE.model_copy(update={**changes, "steps": 1, "max_side": 456})
    with open_run(tmp_path / "run") as run, pytest.raises(Reached):
        measure(recipe, RunContext(run=run, weights=weights, data=devkit, seed=0, device=CPU))
    assert given.pop("preprocessing") == pixels
    assert given.pop("parts") == tmp_path / "run" / "checkpoints" / "detections"
    assert given == {
        "scales": (60, 90),
        "max_side": 123,
        "caps": "py-faster-rcnn",
        "precision": "fp32",
        "device": CPU,
    }
