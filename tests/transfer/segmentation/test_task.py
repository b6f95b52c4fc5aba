from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segmentation_scenes import (
    CPU,
    IDENTITY,
    MEAN,
    PIXELS,
    ThinFCN,
    program,
    recipe,
    three_scenes,
    train_data,
    train_to,
)

from cebench.config import load_recipe
from cebench.data.voc.devkit import VocYear
from cebench.errors import CebenchError
from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.models.backbone_fcn import BackboneFCN
from cebench.models.backbones import build_backbone
from cebench.models.caffenet import preprocess
from cebench.models.fcn import FCN
from cebench.models.options import Stride
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run_context import RunContext
from cebench.transfer.segmentation import task
from cebench.transfer.segmentation.data import (
    SegmentationData,
    SegmentationImages,
    SegmentationSet,
)
from cebench.transfer.segmentation.parameters import parameter_groups
from cebench.transfer.segmentation.prediction import Predictor
from cebench.transfer.segmentation.recipe import SegmentationRecipe
from cebench.transfer.segmentation.task import Segmentation, train_and_predict
from cebench.weights.files import Preprocessing, random_weights


def test_stopping_after_a_step_and_continuing_changes_no_bit(devkit: Path, tmp_path: Path) -> None:
    data = train_data(devkit)
    straight, before, after = (program(data) for _ in range(3))
    train_to(2, straight, tmp_path / "straight")
    train_to(1, before, tmp_path / "stopped")
    train_to(2, after, tmp_path / "stopped")
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(tensor, after.network.state_dict()[name]), name
        assert not torch.equal(tensor, before.network.state_dict()[name]), name


def test_a_step_takes_the_mean_gradient_of_its_passes(devkit: Path) -> None:
    subject = program(train_data(devkit), momentum=0, weight_decay=0)
    subject.network.eval()  # Dropout would make the passes differ.
    batch = subject.batch(0)
    assert [image.shape[0] for image, _ in batch] == [1, 1, 1]
    before = {name: p.detach().clone() for name, p in subject.network.named_parameters()}
    gradients = {name: torch.zeros_like(p) for name, p in before.items()}
    for image, labels in batch:
        subject.network.zero_grad()
        scores = subject.network(image)
        F.cross_entropy(scores, labels.long(), ignore_index=255).backward()
        for name, parameter in subject.network.named_parameters():
            gradients[name] += parameter.grad / 3
    subject.update(0, batch)
    for name, parameter in subject.network.named_parameters():
        rate = 0.02 if name == "score_fr.bias" else 0.01
        expected = before[name] - rate * gradients[name]
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-6)


def test_passes_of_several_crops_take_the_step_of_single_ones(devkit: Path) -> None:
    data, weights = train_data(devkit), []
    for at_once in (1, 4):
        subject = program(data, crop=32, accumulate=4, images_per_pass=at_once)
        subject.network.eval()
        batch = subject.batch(0)
        assert [len(images) for images, _ in batch] == [at_once] * (4 // at_once)
        subject.update(0, batch)
        weights.append(subject.network.fc7.weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)


def test_padding_to_a_multiple_adds_mean_pixels_and_void(devkit: Path) -> None:
    subject, plain = (program(train_data(devkit), size_multiple=m) for m in (100, 1))
    for (image, labels), (bare, bare_labels) in zip(subject.batch(0), plain.batch(0), strict=True):
        height, width = bare_labels.shape[1:]
        assert all(side % 100 == 0 for side in image.shape[-2:])
        assert torch.equal(image[..., :height, :width], bare)
        assert torch.equal(labels[..., :height, :width], bare_labels)
        assert not image[..., height:, :].any()
        assert (labels[..., width:] == 255).all()


def test_the_rate_falls_to_a_tenth_and_biases_follow_their_multiplier(devkit: Path) -> None:
    """The schedule and multipliers of richzhang/colorization, a hundred thousandth as long."""
    changes = {"tenth_every": 2, "bias_multiplier": 2, "decay_biases": False}
    subject = program(train_data(devkit), accumulate=1, learning_rate=1e-4, **changes)
    rates = []
    for step in range(5):
        subject.update(step, subject.batch(step))
        rates.append(sorted({group["lr"] for group in subject.optimizer.param_groups}))
    assert rates[0] == rates[1] == pytest.approx([1e-4, 2e-4])
    assert rates[2] == rates[3] == pytest.approx([1e-5, 2e-5])
    assert rates[4] == pytest.approx([1e-6, 2e-6])
    biases = {id(p) for n, p in subject.network.named_parameters() if n.endswith("bias")}
    for group in subject.optimizer.param_groups:
        undecayed = group["weight_decay"] == 0
        assert all((id(p) in biases) == undecayed for p in group["params"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cuda_graphs": True}, "cuda_graphs=true needs compile=true"),
        ({"compile": True}, "compile=true needs a size_multiple"),
        ({"images_per_pass": 3}, "needs a crop"),
        ({"images_per_pass": 2, "crop": 32}, "must divide accumulate=3"),
        ({"crop": 65, "short_side": 64}, "crop must be within short_side=64"),
        ({"stride": 4}, "32, 16 or 8"),
    ],
)
def test_options_that_do_not_agree_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


def test_only_the_score_bias_does_not_decay(devkit: Path) -> None:
    subject = program(train_data(devkit))
    groups = subject.optimizer.param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = dict(subject.network.named_parameters())
    assert {name for name, p in named.items() if decay[id(p)] == 0} == {"score_fr.bias"}
    assert len(decay) == len(named)


@pytest.mark.parametrize("stride", [32, 8])
def test_only_the_score_layers_have_multipliers_in_every_network(stride: Stride) -> None:
    with torch.device("meta"):
        caffenet = FCN(21, stride)
    for network in (caffenet, BackboneFCN(build_backbone("torchvision/resnet18"), 21, stride)):
        groups = parameter_groups(network, recipe())
        given = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
        named = [(name, given[id(p)]) for name, p in network.named_parameters() if p.requires_grad]
        special = {name for name, values in named if values != (0.01, 5e-4)}
        assert special == {name for name, _ in named if "score_" in name and "bias" in name}
        assert len(special) == {32: 1, 8: 3}[stride]
        assert {values for name, values in named if name in special} == {(0.02, 0)}


def test_the_test_sees_images_as_training_does(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Predictor] = []
    monkeypatch.setattr(task, "predict", lambda predictor, *_: given.append(predictor))
    data, weights = train_data(devkit), random_weights(0)
    chosen = recipe(steps=1, accumulate=1, precision="bf16", size_multiple=32)
    with RunDirectory(tmp_path / "run", IDENTITY) as run:
        sidecar = replace(weights.sidecar, preprocessing=PIXELS)
        weights = replace(weights, sidecar=sidecar)
        run_context = RunContext(run=run, weights=weights, data=devkit, seed=0, device=CPU)
        network = ThinFCN()
        train_and_predict(network, SegmentationData(data, data, ""), chosen, run_context)
    assert given == [Predictor(given[0].network, PIXELS, CPU, "bf16", 32)]
    assert not network.training


def test_scores_are_enlarged_between_the_centres_of_pixels() -> None:
    """Two columns to four: a quarter of a pixel beside the centres, the border's value outside."""
    predictor = Predictor(lambda x: x[:, :1], Preprocessing(mean_rgb=(0.0, 0.0, 0.0)), CPU)
    image = torch.tensor([[[0] * 3, [4] * 3]], dtype=torch.uint8)
    assert predictor.scores(image, (1, 4)).tolist() == [[[0, 1, 3, 4]]]


def test_images_of_a_step_depend_on_seed_and_step_alone(devkit: Path) -> None:
    data = train_data(devkit)
    one, two = program(data, accumulate=20), program(data, accumulate=20)
    one.batch(0)
    shapes = [[image.shape[-2] for image, _ in subject.batch(5)] for subject in (one, two)]
    assert shapes[0] == shapes[1]
    assert set(shapes[0]) == {96, 128}  # With replacement: 20 draws from two images.


def test_a_loss_that_is_no_number_stops_the_run(devkit: Path, tmp_path: Path) -> None:
    subject = program(train_data(devkit))
    with torch.no_grad():
        subject.network.score_fr.bias[0] = float("nan")
    with pytest.raises(CebenchError, match="step 0: loss is nan"):
        train_to(1, subject, tmp_path / "run")


@pytest.mark.long
def test_three_images_are_learned_by_heart_from_a_random_trunk() -> None:
    """FCN-32s at full width and dropout left out: 25 steps of all three, 0.4 s each."""
    images, labels = three_scenes()
    origin = SegmentationSet("three", VocYear.__new__(VocYear), ("a", "b", "c"))
    data = SegmentationImages(origin, images, labels)
    chosen = recipe(learning_rate=3e-4, weight_decay=5e-4)
    network = FCN(21, 32, "data", torch.Generator().manual_seed(0))
    network.head.dropout.p = 0
    pixels = preprocess(torch.stack([images.image(i).permute(2, 0, 1) for i in range(3)]), MEAN)
    with torch.no_grad():
        network.head.data_dependent_init([network.trunk(pixels)])
    subject = Segmentation(network, data, chosen, PIXELS, 0, CPU)
    for step in range(25):
        subject.update(step, [(pixels, torch.from_numpy(np.stack(labels)))])
    predictor = Predictor(network.eval(), PIXELS, CPU)
    confusion = sum(
        confusion_matrix(truth, predictor.labels(images.image(i), truth.shape), 21)
        for i, truth in enumerate(labels)
    )
    assert segmentation_scores(np.asarray(confusion)).mean_iou > 0.9


@pytest.mark.parametrize("tier", ["smoke", "short", "paper"])
def test_the_recipes_are_valid(tier: str) -> None:
    loaded, _ = load_recipe(SegmentationRecipe, "cebench.transfer", "segmentation", tier)
    assert loaded.tier == tier


def test_the_paper_recipe_is_the_published_schedule() -> None:
    loaded, _ = load_recipe(SegmentationRecipe, "cebench.transfer", "segmentation", "paper")
    values = loaded.model_dump(exclude={"log_every", "checkpoint_every"})
    assert values == {
        "tier": "paper",
        "year": 2012,
        "train_data": "sbd",
        "train_set": "train",
        "test_set": "seg11valid",
        "test_images": 0,
        "short_side": 0,
        "crop": 0,
        "size_multiple": 1,
        "stride": 32,
        "random_from": "pool5",
        "head_init": "caffenet",
        "steps": 100_000,
        "accumulate": 20,
        "images_per_pass": 1,
        "learning_rate": 1e-4,
        "tenth_every": 0,
        "bias_multiplier": 1,
        "decay_biases": True,
        "train_batch_norm": False,
        "optimizer": "sgd",
        "adamw_learning_rate": 1e-4,
        "adamw_weight_decay": 0.05,
        "layer_decay": 1,
        "warmup_steps": 0,
        "decay_from": 1,
        "final_rate": 0.02,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "precision": "fp32",
        "compile": False,
        "cuda_graphs": False,
    }


def test_other_strides_are_another_protocol() -> None:
    assert [recipe(stride=stride).variant for stride in (32, 16, 8)] == ["", "16s", "8s"]
