"""Fast R-CNN on networks of timm and torchvision: its head, its pixels, and whole runs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import CPU, RECIPE, jittered, open_run
from foreign_networks import NETWORKS, random_foreign_weights
from torch import nn

from cebench.data.voc.devkit import VOC_CLASSES, VocYear
from cebench.errors import InputError
from cebench.metrics.detection import detection_scores, stack_objects
from cebench.models.backbone import first_convolution
from cebench.models.backbone_fast_rcnn import BackboneFastRCNN
from cebench.models.backbones import build_backbone
from cebench.models.roi_pooling import roi_pool
from cebench.training.loop import Schedule, train
from cebench.transfer.detection.data import network_image, pixels_of, read_set
from cebench.transfer.detection.prediction import predict
from cebench.transfer.detection.recipe import DetectionRecipe
from cebench.transfer.detection.task import Detection, build_network, measure
from cebench.transfer.run_context import RunContext
from cebench.weights.files import Weights, random_weights


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def context(weights: Weights, devkit: Path, folder: Path) -> RunContext:
    return RunContext(run=open_run(folder), weights=weights, data=devkit, seed=0, device=CPU)


def program_of(
    weights: Weights, recipe: DetectionRecipe, devkit: Path, folder: Path
) -> tuple[Detection, list[np.ndarray]]:
    """Three images with objects, their own boxes jittered as proposals."""
    voc, rng = VocYear(devkit, 2007), np.random.default_rng(0)
    data = read_set(voc, "three images", ["000001", "000002", "000011"])
    boxes = [jittered(annotation.boxes, rng)[:60] for annotation in data.annotations]
    network = build_network(recipe, context(weights, devkit, folder))
    pixels = pixels_of(weights.sidecar)
    return Detection(network, data, boxes, recipe, 0, CPU, pixels), boxes


@pytest.mark.slow
@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_whole_run(architecture: str, devkit: Path, tmp_path: Path) -> None:
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    weights = random_foreign_weights(architecture)
    changes = {"roi_pooling": "align", "optimizer": "by-network", "head_init": "data"}
    recipe = RECIPE.model_copy(update=changes)
    with open_run(tmp_path / "run") as run:
        given = RunContext(run=run, weights=weights, data=devkit, seed=0, device=CPU)
        outcome = measure(recipe, given)
    assert all(0 <= m.value <= 1 for m in outcome.measurements)


@pytest.mark.parametrize(
    ("architecture", "stride", "side", "widths"),
    [
        ("torchvision/alexnet", 16, 6, (9216, 4096, 4096)),
        ("torchvision/resnet18", 16, 14, (512,)),
        ("timm/test_resnet", 16, 14, (96,)),
        ("timm/test_vit", 16, 7, (64 * 49, 1024, 1024)),
        ("timm/test_convnext", 16, 7, (48 * 49, 1024, 1024)),
        ("timm/vit_tiny_patch16_224", 16, 7, (192 * 49, 1024, 1024)),
    ],
)
def test_the_head_is_what_the_network_ends_in(
    architecture: str, stride: int, side: int, widths: tuple[int, ...]
) -> None:
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    network = BackboneFastRCNN(build_backbone(architecture), 20, seeded())
    assert (network.stride, network.pooled_side) == (stride, side)
    found = [layer.in_features for layer in network.hidden] + [network.cls_score.in_features]
    assert tuple(found) == widths
    rois = torch.tensor([[0.0, 0, 0, 50, 60], [1, 10, 10, 90, 60], [1, 0, 0, 120, 96]])
    with torch.no_grad():
        scores, deltas = network.eval()(torch.randn(2, 3, 90, 120), rois)
    assert (scores.shape, deltas.shape) == ((3, 21), (3, 84))


def test_score_layers_begin_as_fast_rcnns() -> None:
    """N(0, 0.01) for classes, N(0, 0.001) for boxes, biases 0 (fast-rcnn, train.prototxt)."""
    network = BackboneFastRCNN(build_backbone("torchvision/resnet18"), 20, seeded())
    for layer, deviation in ((network.cls_score, 0.01), (network.bbox_pred, 0.001)):
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert layer.weight.mean().item() == pytest.approx(0, abs=deviation / 20)
        assert not layer.bias.any()


def test_a_residual_networks_region_goes_through_its_last_stage() -> None:
    """C4 spelled out: layer3's region of 14 x 14, layer4, mean."""
    network = BackboneFastRCNN(build_backbone("torchvision/resnet18"), 3, seeded()).eval()
    trunk, images = network.trunk, torch.randn(1, 3, 96, 160, generator=seeded(1))
    with torch.no_grad():
        x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(images))))
        x = trunk.layer3(trunk.layer2(trunk.layer1(x)))
        # Half-open 16 .. 113 is inclusive 16 .. 112.
        pooled = roi_pool(x, torch.tensor([[0.0, 16, 16, 112, 80]]), 1 / 16, 14)
        expected = network.cls_score(trunk.layer4(pooled).mean((2, 3)))
        scores, _ = network(images, torch.tensor([[0.0, 16, 16, 113, 81]]))
    torch.testing.assert_close(scores, expected)


def test_alexnets_regions_lie_where_its_map_looks() -> None:
    """Value i of its last map looks at pixel 16 i + 15 (11 and 3 wide, not padded to centre)."""
    network = BackboneFastRCNN(build_backbone("torchvision/alexnet"), 3, seeded()).eval()
    assert network.shift == 7.5
    trunk, images = network.trunk, torch.randn(1, 3, 160, 192, generator=seeded(1))
    with torch.no_grad():
        conv5 = trunk.features[:12](images)
        rois = torch.tensor([[0.0, 40, 24, 121, 105]])
        shifted = torch.tensor([[0.0, 40 - 7.5, 24 - 7.5, 120 - 7.5, 104 - 7.5]])
        assert torch.equal(network.features(images), conv5)
        expected = roi_pool(conv5, shifted, 1 / 16, 6)
        assert torch.equal(network.pool(conv5, rois), expected)


@pytest.mark.slow
def test_many_regions_in_parts_are_those_at_once() -> None:
    network = BackboneFastRCNN(build_backbone("torchvision/resnet18"), 3, seeded())
    corners = 60 * torch.rand(300, 2, generator=seeded(2))
    rois = torch.cat([torch.zeros(300, 1), corners, corners + 40], dim=1)
    images = torch.randn(1, 3, 64, 64, generator=seeded(1))
    with torch.no_grad():
        at_once, in_parts = network.train()(images, rois), network.eval()(images, rois)
    for whole, parts in zip(at_once, in_parts, strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_batch_normalisation_stays_as_it_came_unless_it_is_trained(
    devkit: Path, tmp_path: Path
) -> None:
    weights = random_foreign_weights("torchvision/resnet18")
    for trained in (False, True):
        recipe = RECIPE.model_copy(update={"train_batch_norm": trained})
        program, _ = program_of(weights, recipe, devkit, tmp_path / f"{trained}")
        program.network.train()
        program.update(0, program.batch(0))
        state = program.network.trunk.state_dict()
        for name in ("bn1.running_mean", "layer4.1.bn2.weight"):
            assert torch.equal(state[name], weights.tensors[name]) != trained, name
        assert not torch.equal(state["conv1.weight"], weights.tensors["conv1.weight"])


def test_a_frozen_first_convolution_and_a_position_embedding_stay(
    devkit: Path, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    weights = random_foreign_weights("timm/test_vit")
    changes = {"train_conv1": False, "optimizer": "by-network"}
    program, _ = program_of(weights, RECIPE.model_copy(update=changes), devkit, tmp_path / "run")
    assert isinstance(program.optimizer, torch.optim.AdamW)
    program.update(0, program.batch(0))
    state = program.network.trunk.state_dict()
    assert torch.equal(state["pos_embed"], weights.tensors["pos_embed"])
    assert torch.equal(state["patch_embed.proj.weight"], weights.tensors["patch_embed.proj.weight"])
    assert not torch.equal(state["cls_token"], weights.tensors["cls_token"])
    assert isinstance(first_convolution(program.network.trunk), nn.Conv2d)


def test_pixels_are_those_of_the_weights() -> None:
    weights = random_foreign_weights("torchvision/resnet18")
    image, _ = network_image(np.full((8, 8, 3), 255, np.uint8), 8, 8, pixels_of(weights.sidecar))
    expected = [(1 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    np.testing.assert_allclose(image[:, 3, 3], expected, rtol=1e-5)
    own, _ = network_image(
        np.zeros((8, 8, 3), np.uint8), 8, 8, pixels_of(random_weights(0).sidecar)
    )
    np.testing.assert_allclose(own[:, 0, 0], [-122.7717, -115.9465, -102.9801], rtol=1e-6)


@pytest.mark.slow
def test_drop7_takes_alexnets_fc6_and_fc7(devkit: Path, tmp_path: Path) -> None:
    weights = random_foreign_weights("torchvision/alexnet")
    recipe = RECIPE.model_copy(update={"random_from": "drop7"})
    network = build_network(recipe, context(weights, devkit, tmp_path / "run"))
    for layer, name in zip(network.hidden, ("fc6", "fc7"), strict=True):
        assert torch.equal(layer.weight, weights.tensors[f"{name}.weight"])


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("torchvision/resnet18", {"random_from": "drop7"}, "resnet18 has no fc6 and fc7 that"),
        ("torchvision/shufflenet_v2_x0_5", {}, "has no feature maps that are known"),
        ("timm/vit_small_patch32_224", {}, "no map of stride 16 .* only of 32; take a network"),
    ],
)
def test_networks_that_do_not_fit_are_refused_in_one_line(
    architecture: str, changes: dict[str, object], message: str, devkit: Path, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    side = 224 if "vit" in architecture else 64
    given = context(random_foreign_weights(architecture, side), devkit, tmp_path / "run")
    with pytest.raises(InputError, match=message) as refused:
        build_network(RECIPE.model_copy(update=changes), given)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["timm/test_resnet", "timm/test_vit"])
def test_stopping_and_continuing_changes_no_bit(
    architecture: str, devkit: Path, tmp_path: Path
) -> None:
    pytest.importorskip("timm")
    recipe = RECIPE.model_copy(update={"optimizer": "by-network", "roi_pooling": "align"})
    weights, states = random_foreign_weights(architecture), []
    for name, stops in (("straight", (4,)), ("continued", (2, 4))):
        for steps in stops:
            program, _ = program_of(weights, recipe, devkit, tmp_path / "given")
            with open_run(tmp_path / name) as run:
                schedule = Schedule(
                    label="detection",
                    steps=steps,
                    seed=0,
                    data_fingerprint="toy",
                    log_every=1,
                    checkpoint_every=100,
                )
                train(program, run, schedule)
        states.append(program.network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.long
@pytest.mark.parametrize(
    ("architecture", "changes", "steps"),
    [
        ("timm/test_resnet", {"train_batch_norm": True}, 250),
        ("timm/test_vit", {}, 150),
    ],
)
def test_three_images_are_learned_by_heart(
    architecture: str, changes: dict[str, object], steps: int, devkit: Path, tmp_path: Path
) -> None:
    """Average precision 1: nothing between the pixels and the number is out of place."""
    pytest.importorskip("timm")
    options = {"head_init": "he", "roi_pooling": "align", "scales": (160,), "max_side": 200}
    options |= {"optimizer": "adamw", "adamw_learning_rate": 1e-3, "tenth_every": 200}
    recipe = RECIPE.model_copy(update={**options, **changes})
    weights = random_foreign_weights(architecture)
    program, boxes = program_of(weights, recipe, devkit, tmp_path / "run")
    program.network.train()
    for step in range(steps):
        losses = program.update(step, program.batch(step))
    found = predict(
        program.network.eval(),
        program.data,
        boxes,
        program.statistics,
        scales=recipe.scales,
        max_side=recipe.max_side,
        caps="py-faster-rcnn",
        precision="fp32",
        device=CPU,
        parts=tmp_path,
        preprocessing=program.preprocessing,
    )
    annotations = program.data.annotations
    truth = stack_objects((a.boxes, a.labels, a.difficult) for a in annotations)
    scores = detection_scores(found, truth, len(VOC_CLASSES))
    print(architecture, scores.mean_ap_area, {k: float(v) for k, v in losses.items()})
    assert scores.mean_ap_voc07_11pt == 1
