"""Estimates of dry runs: their counts against torch's own counter, their formula by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cebench.config import load_recipe
from cebench.models.backbone import Backbone
from cebench.models.backbones import build_backbone, build_trunk
from cebench.models.caffenet import POOL5_CHANNELS, POOL5_SIDE
from cebench.training import estimates
from cebench.training.estimates import Work, convolution_gflops, estimate
from cebench.transfer.classification.recipe import ClassificationRecipe
from cebench.transfer.network_cost import backbone_cost
from cebench.transfer.work import classification_work

CPU = torch.device("cpu")


def gflop_of(network: nn.Module, images: torch.Tensor, *, backward: bool) -> float:
    counter = FlopCounterMode(display=False)
    with counter:
        output = network(images)
        if backward:
            output.sum().backward()
    return counter.get_total_flops() / 1e9


def test_the_work_of_classification_is_training_and_test_crops() -> None:
    recipe, _ = load_recipe(
        ClassificationRecipe, "cebench.transfer", "classification", "paper", ("steps=7",)
    )
    head = nn.Sequential(
        nn.Flatten(),
        nn.Linear(POOL5_CHANNELS * POOL5_SIDE**2, 4096),
        nn.Linear(4096, 4096),
        nn.Linear(4096, 20),
    )
    network = nn.Sequential(build_trunk("caffenet-trunk", None), head)
    forward = gflop_of(network, torch.zeros(1, 3, 227, 227), backward=False)
    found = classification_work(recipe, {"train": 5, "test": 4})
    assert found.gflop == pytest.approx(forward * (3 * 7 * 16 + 4 * 10), rel=0.02)
    assert found.photographs == 9


def test_a_convolution_of_another_library_costs_what_the_hand_counts() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    backbone = Backbone(
        architecture="timm/mine",
        trunk=trunk,
        side=10,
        features=8 * 10 * 10,
        layers={},
        fully_connected=("fc6", "fc7"),
    )
    cost = backbone_cost(backbone)
    # 3 * 3 * 3 products for each of 8 values of a pixel, two operations each.
    assert cost.gflop_per_pixel == pytest.approx(2 * 27 * 8 / 1e9)
    # Both layers put out 8 values of 4 bytes a pixel.
    assert cost.bytes_per_pixel == pytest.approx(2 * 8 * 4)
    fc = 800 * 4096 + 4096 * 4096
    assert cost.head_gflop == cost.region_gflop() == pytest.approx(2 * fc / 1e9)
    assert cost.parameters == fc + 8 * 28
    assert not any(value.is_meta for value in trunk.parameters())


@pytest.mark.parametrize(
    ("name", "billions", "region"), [("resnet18", 3.63, 0.822), ("alexnet", 1.31, 0.109)]
)
def test_published_operations_are_counted(name: str, billions: float, region: float) -> None:
    # torchvision's own count of multiply-adds: 1.814 (ResNet-18), 0.714 (AlexNet, its fc included).
    # layer4 is 0.411 billion of them on 7 x 7 places, which a region has.
    cost = backbone_cost(build_backbone(f"torchvision/{name}"))
    assert cost.gflop_per_pixel * 224**2 == pytest.approx(billions, rel=0.01)
    assert cost.region_gflop() == pytest.approx(region, rel=0.01)


def test_another_network_is_estimated_by_its_own_operations() -> None:
    recipe, _ = load_recipe(
        ClassificationRecipe, "cebench.transfer", "classification", "paper", ("steps=7",)
    )
    cost = backbone_cost(build_backbone("torchvision/resnet18"))
    found = classification_work(recipe, {"train": 5, "test": 4}, cost)
    assert found.gflop == pytest.approx(3.63 * (3 * 7 * 16 + 4 * 10), rel=0.01)


def test_seconds_are_arithmetic_at_half_of_a_convolutions_speed_and_what_is_not_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speeds = {"fp32": 100.0, "bf16": 200.0}
    monkeypatch.setattr(
        estimates, "convolution_gflops", lambda device, precision: speeds[precision]
    )
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    work = Work(gflop=1000, photographs=500, more_seconds=6, images_bytes=2**30)
    found = estimate(work, CPU)
    # The start, 1,000 / 50, then (500 * 0.004 + 6) / 2.
    assert found["estimated_seconds"] == pytest.approx(5 + 20 + 4)
    assert found["estimated_memory_bytes"] == pytest.approx(1.7 * 2**30, rel=1e-6)
    assert estimate(work, CPU, "bf16")["estimated_seconds"] == pytest.approx(5 + 10 + 4)


def test_the_speed_of_a_convolution_counts_its_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([1.0, 1.1, 3.0])  # Began, before the only pass, behind it.
    monkeypatch.setattr(estimates.time, "monotonic", lambda: next(ticks))
    counter = FlopCounterMode(display=False)
    with counter:
        speed = convolution_gflops(CPU)
    one_pass = counter.get_total_flops() / 2 / 1e9  # One more warms up.
    assert speed == pytest.approx(one_pass / 2.0)
