"""FCN on networks of timm and torchvision: whole runs, resumption, learning by heart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_networks import NETWORKS, random_foreign_weights
from segmentation_scenes import CPU, IDENTITY, recipe, three_scenes, train_data, train_to

from cebench.data.voc.devkit import VocYear
from cebench.errors import InputError
from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.training.run_directory import RunDirectory
from cebench.transfer.run_context import RunContext
from cebench.transfer.segmentation.data import SegmentationImages, SegmentationSet
from cebench.transfer.segmentation.prediction import Predictor
from cebench.transfer.segmentation.recipe import SegmentationRecipe
from cebench.transfer.segmentation.task import Segmentation, build, measure
from cebench.weights.files import Weights


def program_of(
    weights: Weights, chosen: SegmentationRecipe, data: SegmentationImages, folder: Path
) -> Segmentation:
    with RunDirectory(folder, IDENTITY) as run:
        given = RunContext(run=run, weights=weights, data=folder, seed=0, device=CPU)
        network = build(chosen, given, data)
    return Segmentation(network, data, chosen, weights.sidecar.preprocessing, 0, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_whole_run(architecture: str, devkit: Path, tmp_path: Path) -> None:
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    weights = random_foreign_weights(architecture)
    chosen = recipe(steps=1, accumulate=2, head_init="data", optimizer="by-network")
    with RunDirectory(tmp_path / "run", IDENTITY) as run:
        given = RunContext(run=run, weights=weights, data=devkit, seed=0, device=CPU)
        outcome = measure(chosen, given)
    assert all(0 <= m.value <= 1 for m in outcome.measurements)


@pytest.mark.parametrize("architecture", ["timm/test_resnet", "timm/test_vit"])
def test_stopping_after_a_step_and_continuing_changes_no_bit(
    architecture: str, devkit: Path, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    data, weights = train_data(devkit), random_foreign_weights(architecture)
    chosen = recipe(accumulate=2, optimizer="by-network", train_batch_norm=True)
    straight, before, after = (
        program_of(weights, chosen, data, tmp_path / f"{n}") for n in range(3)
    )
    train_to(2, straight, tmp_path / "straight")
    train_to(1, before, tmp_path / "stopped")
    train_to(2, after, tmp_path / "stopped")
    theirs = after.network.state_dict()
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.long
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("timm/test_resnet", {"train_batch_norm": True, "stride": 8}), ("timm/test_vit", {})],
)
def test_three_images_are_learned_by_heart(
    architecture: str, changes: dict[str, object], tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    images, labels = three_scenes(side=64)
    origin = SegmentationSet("three", VocYear.__new__(VocYear), ("a", "b", "c"))
    data = SegmentationImages(origin, images, labels)
    options = {"optimizer": "adamw", "adamw_learning_rate": 2e-3, "images_per_pass": 3, "crop": 64}
    chosen = recipe(**options, **changes)
    subject = program_of(random_foreign_weights(architecture), chosen, data, tmp_path / "run")
    subject.network.train()
    for step in range(120):
        losses = subject.update(step, subject.batch(step))
    predictor = Predictor(subject.network.eval(), subject.preprocessing, CPU)
    confusion = sum(
        confusion_matrix(truth, predictor.labels(images.image(i), truth.shape), 21)
        for i, truth in enumerate(labels)
    )
    found = segmentation_scores(np.asarray(confusion)).mean_iou
    print(architecture, found, float(losses["loss"]))
    assert found > 0.9


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("torchvision/resnet18", {"random_from": "drop7"}, "resnet18 has no fc6 and fc7 that"),
        ("torchvision/shufflenet_v2_x0_5", {}, "has no feature maps that are known"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    architecture: str, changes: dict[str, object], message: str, devkit: Path, tmp_path: Path
) -> None:
    weights = random_foreign_weights(architecture)
    with pytest.raises(InputError, match=message):
        program_of(weights, recipe(**changes), train_data(devkit), tmp_path / "run")
