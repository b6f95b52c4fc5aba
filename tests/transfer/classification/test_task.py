import csv
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from classification_scenes import recipe, run
from fc_weights import SHAPES, weights_with_fc
from PIL import Image
from power_cuts import power_cut
from rescoring import assert_rescored

from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.errors import InputError
from cebench.metrics.average_precision import multilabel_scores
from cebench.models.backbones import build_backbone
from cebench.models.options import Part
from cebench.transfer.classification import task
from cebench.transfer.classification.recipe import ClassificationRecipe
from cebench.transfer.classification.task import Classification, build_classifier, check_weights
from cebench.transfer.labelled_images import LabelledImages
from cebench.weights.files import Preprocessing, random_weights
from cebench.weights.loading import load_backbone


@pytest.mark.slow
def test_it_measures_stores_predictions_and_they_score_the_same(
    devkit: Path, tmp_path: Path
) -> None:
    chosen = recipe(train_from="all")
    outcome = run(chosen, devkit, tmp_path / "run")
    measured = {m.metric: m.value for m in outcome.measurements}
    assert {m.column for m in outcome.measurements} == {"classification"}
    assert {m.count for m in outcome.measurements} == {2}
    with (tmp_path / "run" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["000003", "000004"]
    scores = np.array([[float(row[name]) for name in VOC_CLASSES] for row in rows])
    labels = np.full((2, 20), -1)
    labels[1, VOC_CLASSES.index("dog")] = 1
    assert multilabel_scores(scores, labels).mean_ap_sklearn == measured["mean_ap_sklearn"]
    # One positive of two images: ranked first its AP is 1, ranked last 1/2.
    assert measured["mean_ap_sklearn"] in (0.5, 1.0)
    assert chosen.variant == "2-crops"
    with (tmp_path / "run" / "per_class.csv").open() as file:
        dog = list(csv.DictReader(file))[VOC_CLASSES.index("dog")]
    assert (dog["positives"], dog["images"]) == ("1", "2")
    assert float(dog["ap_sklearn"]) == measured["mean_ap_sklearn"]
    for name in ("curves.png", "precision_recall.png", "samples/mistakes.png"):
        with Image.open(tmp_path / "run" / name) as picture:
            assert picture.size[0] > 300


def test_every_definition_is_recorded_for_all_crops_and_for_one(
    devkit: Path, tmp_path: Path
) -> None:
    outcome = run(recipe(), devkit, tmp_path / "run")
    assert_rescored(outcome, images=2)
    metrics = {m.metric: m for m in outcome.measurements}
    names = [
        f"mean_ap_{definition}{crops}"
        for definition in ("sklearn", "voc07_11pt", "area")
        for crops in ("", "_one_crop")
    ]
    assert metrics.keys() == set(names)


@pytest.mark.slow
def test_a_broken_off_run_scores_the_same_bits(devkit: Path, tmp_path: Path) -> None:
    chosen = recipe(train_from="all", steps=2, checkpoint_every=1)
    run(chosen, devkit, tmp_path / "straight")
    with power_cut(Classification, 1):
        run(chosen, devkit, tmp_path / "run")
    run(chosen, devkit, tmp_path / "run")
    both = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("straight", "run")]
    assert both[0] == both[1]


PARTS: dict[Part, set[str]] = {
    "all": {"trunk", "fc6", "fc7", "fc8"},
    "fc6-8": {"fc6", "fc7", "fc8"},
    "fc8": {"fc8"},
    "pool5": {"fc8"},
}


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_variant_trains_its_part_and_leaves_the_rest_bit_for_bit(
    devkit: Path, tmp_path: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def remember(*arguments: object) -> object:
        network = build_classifier(*arguments)  # type: ignore[arg-type]
        built.append((network, {k: v.clone() for k, v in network.state_dict().items()}))
        return network

    monkeypatch.setattr(task, "build_classifier", remember)
    outcome = run(recipe(train_from=part), devkit, tmp_path / "run")
    ((network, before),) = built
    changed = {
        name.split(".")[0]
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == PARTS[part]
    assert hasattr(network, "fc6") == (part != "pool5")
    columns = {m.column for m in outcome.measurements}
    assert columns == {"classification" if part == "all" else f"classification_{part}"}
    variant = recipe(train_from=part).variant
    assert variant == ("2-crops" if part == "all" else f"{part}-2-crops")


def test_frozen_parts_are_in_eval_mode_while_the_rest_trains() -> None:
    weights = random_weights(0)
    chosen = recipe(train_from="fc8")
    network = build_classifier(load_backbone(weights)[0], chosen, weights, 0).train()
    training = {name for name, module in network.named_children() if module.training}
    assert training == {"fc8", "drop7"}
    grown = [name for name, p in network.named_parameters() if p.requires_grad]
    assert grown == ["fc8.weight", "fc8.bias"]


def test_batch_normalisation_keeps_its_statistics_while_all_layers_train() -> None:
    backbone = build_backbone("torchvision/resnet18")
    chosen = recipe(train_from="all")
    network = build_classifier(backbone, chosen, random_weights(0), 0).train()
    assert not network.fully_connected
    before = backbone.trunk.get_buffer("bn1.running_mean").clone()
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert torch.equal(backbone.trunk.get_buffer("bn1.running_mean"), before)
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.slow
def test_fc6_and_fc7_come_from_the_weights_if_only_fc8_is_drawn() -> None:
    drawn = random_weights(0)
    chosen = recipe(train_from="all", random_from="drop7")
    with pytest.raises(InputError, match=r"random: has no fc6.weight; random_from=drop7 needs"):
        build_classifier(load_backbone(drawn)[0], chosen, drawn, 0)
    weights = weights_with_fc()
    backbone, proof = load_backbone(weights)
    network = build_classifier(backbone, chosen, weights, 0)
    assert proof.unexpected == ()
    state = network.state_dict()
    assert all(torch.equal(state[name], weights.tensors[name]) for name in SHAPES)
    assert network.fc8.weight.std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.slow
def test_a_foreign_backbone_sees_its_own_size_and_range(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build_backbone("torchvision/resnet18", seed=5)
    seen = []
    forward = torch.nn.Module.__call__

    def look(module: torch.nn.Module, *inputs: torch.Tensor) -> object:
        if isinstance(module, torch.nn.Conv2d) and inputs[0].shape[1] == 3:
            seen.append(inputs[0].detach())
        return forward(module, *inputs)

    preprocessing = Preprocessing(
        range=(0, 1), mean_rgb=(0.485, 0.456, 0.406), std_rgb=(0.229, 0.224, 0.225), side=224
    )
    drawn = random_weights(0)
    sidecar = replace(
        drawn.sidecar, architecture="torchvision/resnet18", preprocessing=preprocessing
    )
    weights = replace(drawn, tensors=dict(backbone.trunk.state_dict()), sidecar=sidecar)
    monkeypatch.setattr(torch.nn.Module, "__call__", look)
    run(recipe(test_crops=1), devkit, tmp_path / "run", weights=weights)
    assert {tuple(pixels.shape[1:]) for pixels in seen} == {(3, 224, 224)}
    assert max(float(pixels.abs().max()) for pixels in seen) < 2.7


@pytest.mark.slow
def test_the_rule_of_the_deepcluster_port_gives_other_crops_and_another_protocol(
    devkit: Path, tmp_path: Path
) -> None:
    run(recipe(crop_rule="area"), devkit, tmp_path / "area")
    assert recipe(crop_rule="area").variant == "pool5-area-rule-2-crops"
    run(recipe(), devkit, tmp_path / "scale")
    both = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("area", "scale")]
    assert both[0] != both[1]


def tiny_program(chosen: ClassificationRecipe) -> Classification:
    """One linear layer on the colour of 1 px crops."""
    layers = {"trunk": torch.nn.Flatten(), "fc8": torch.nn.Linear(3, 20)}
    network = torch.nn.Sequential(OrderedDict(layers))
    one = RaggedImages.from_arrays([np.zeros((60, 80, 3), np.uint8)])
    labelled = LabelledImages(["a"], one, np.ones((1, 20), np.int8))
    return Classification(
        network,  # type: ignore[arg-type]
        Preprocessing(),
        labelled,
        chosen,
        0,
        torch.device("cpu"),
    )


PLAIN_SGD = {"learning_rate": 1e-3, "momentum": 0.0, "weight_decay": 0.0}


def test_the_learning_rate_is_halved_and_biases_learn_twice_as_fast() -> None:
    program = tiny_program(recipe(steps=5, halve_every=2, **PLAIN_SGD))
    crops, labels = torch.full((2, 3, 1, 1), 130.0), torch.ones(2, 20, dtype=torch.int8)
    for step, rate in ((0, 1e-3), (1, 1e-3), (2, 5e-4), (4, 2.5e-4)):
        program.update(step, (crops, labels))
        assert [group["lr"] for group in program.optimizer.param_groups] == [rate, 2 * rate]


def test_weights_and_biases_have_the_recipes_momentum_and_decay() -> None:
    groups = tiny_program(recipe(momentum=0.8, weight_decay=0.25)).optimizer.param_groups
    assert [(group["momentum"], group["weight_decay"]) for group in groups] == [(0.8, 0.25)] * 2


@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_the_norm_of_all_gradients_together_is_clipped(limit: float) -> None:
    program = tiny_program(recipe(clip_gradients=limit, **PLAIN_SGD))
    _, layer = program.network
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    crops, labels = torch.full((2, 3, 1, 1), 200.0), torch.ones(2, 20, dtype=torch.int8)
    # At score 0 the gradient of a present class is -1/2, times the input for its weights.
    pixel = program.preprocessing(crops.clone())[0].flatten()
    norm = 0.5 * (20 * (1 + pixel.square().sum())) ** 0.5
    program.update(0, (crops, labels))
    expected = 1e-3 * 0.5 * min(1.0, limit / float(norm))
    torch.testing.assert_close(layer.weight.detach(), expected * pixel.expand(20, 3))
    torch.testing.assert_close(layer.bias.detach(), torch.full((20,), 2 * expected))


@pytest.mark.slow
def test_the_head_is_scaled_to_training_crops_or_refused_where_there_is_none(
    devkit: Path, tmp_path: Path
) -> None:
    chosen = recipe(train_from="all", head_init="data", steps=1, test_crops=1)
    outcome = run(chosen, devkit, tmp_path / "run")
    assert outcome.measurements[0].column == "classification"
    with pytest.raises(InputError, match="no fc6 and fc7 that head_init=data could scale"):
        check_weights(recipe(head_init="data"), random_weights(0))
