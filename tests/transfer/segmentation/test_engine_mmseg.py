"""Ours and mmsegmentation, with the same weights."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from foreign_networks import random_foreign_weights
from PIL import Image
from torch import Tensor

from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VocYear
from cebench.errors import CebenchError
from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.models.backbone_fcn import BackboneFCN
from cebench.models.fcn import FCN, SegmentationNetwork
from cebench.models.options import Stride
from cebench.training.run_directory import RunDirectory
from cebench.transfer.command import transfer
from cebench.transfer.run_context import RunContext
from cebench.transfer.segmentation.data import SegmentationImages, SegmentationSet
from cebench.transfer.segmentation.prediction import Predictor, stored, write_label_png
from cebench.transfer.segmentation.recipe import SegmentationRecipe
from cebench.transfer.segmentation.task import Segmentation, measure
from cebench.weights.files import Preprocessing, Weights, random_weights
from cebench.weights.loading import load_backbone

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mmcv warns of what its wheel without CUDA lacks.
    pytest.importorskip("mmseg", reason="the extra mmseg is not installed")
    from cebench.transfer.segmentation import engine_mmseg

pytestmark = pytest.mark.filterwarnings("ignore")

CPU = torch.device("cpu")
PIXELS = Preprocessing(mean_rgb=(122.0, 117.0, 104.0))
SIZES = [(97, 131), (128, 64), (90, 120)]


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """The engine sets torch's repeatable algorithms."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """VOC2012 with two train images and one val image of noise with a bright square."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate(SIZES):
        labels = np.zeros((height, width), np.uint8)
        labels[20:60, 10:50] = 5 * number + 1
        labels[:, -3:] = 255
        pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
        pixels[20:60, 10:50] += 100
        Image.fromarray(pixels).save(root / "JPEGImages" / f"2008_00000{number}.jpg", quality=95)
        write_label_png(root / "SegmentationClass" / f"2008_00000{number}.png", labels)
    (root / "ImageSets/Segmentation/train.txt").write_text("2008_000000\n2008_000001\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("2008_000002\n")
    return tmp_path / "VOCdevkit"


def network(stride: Stride = 32) -> FCN:
    """Score layers are not zero, so that scores differ."""
    generator = torch.Generator().manual_seed(0)
    fcn = FCN(21, stride, "he", generator)
    for name, parameter in fcn.named_parameters():
        if "score_" in name:
            torch.nn.init.normal_(parameter, std=0.01, generator=generator)
    return fcn.eval()


def noise(count: int) -> SegmentationImages:
    rng = np.random.default_rng(1)
    sizes = SIZES[:count]
    images = RaggedImages.from_arrays(
        [rng.integers(0, 256, (*s, 3), dtype=np.uint8) for s in sizes]
    )
    labels = [rng.integers(0, 21, s, dtype=np.uint8) for s in sizes]
    origin = SegmentationSet("noise", VocYear.__new__(VocYear), tuple(map(str, range(count))))
    return SegmentationImages(origin, images, labels)


def recipe(**changes: object) -> SegmentationRecipe:
    values = {"tier": "smoke", "steps": 2, "accumulate": 2, "learning_rate": 1e-3, "log_every": 1}
    return SegmentationRecipe.model_validate({**values, **changes})


def mmseg_scores(
    network: SegmentationNetwork,
    image: Tensor,
    shape: tuple[int, int],
    multiple: int = 1,
    pixels: Preprocessing = PIXELS,
) -> Tensor:
    model = engine_mmseg.segmentor(network, pixels, multiple).eval()
    given = engine_mmseg.sample(image, torch.zeros(shape, dtype=torch.uint8))
    batch = {"inputs": [given["inputs"]], "data_samples": [given["data_samples"]]}
    with torch.no_grad():
        (found,) = model.test_step(batch)
    scores: Tensor = found.seg_logits.data
    assert torch.equal(found.pred_sem_seg.data[0], scores.argmax(0))
    return scores


@pytest.mark.parametrize(("stride", "multiple", "scale"), [(32, 1, 1), (8, 1, 1), (16, 32, 2)])
def test_same_weights_and_image_give_the_same_scores_and_label_image(
    stride: Stride, multiple: int, scale: int
) -> None:
    fcn, image = network(stride), noise(1).images.image(0)
    shape = (scale * SIZES[0][0], scale * SIZES[0][1])
    ours = Predictor(fcn, PIXELS, CPU, size_multiple=multiple).scores(image, shape)
    theirs = mmseg_scores(fcn, image, shape, multiple)
    assert ours.abs().max() > 0.5
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)
    assert torch.equal(theirs.argmax(0), ours.argmax(0))


def with_scores(network: BackboneFCN) -> BackboneFCN:
    """Score layers are zero at first."""
    for layer in network.head.score_layers:
        torch.nn.init.normal_(layer.weight, std=0.01, generator=torch.Generator().manual_seed(1))
    return network.eval()


def without_dropout(network: SegmentationNetwork) -> SegmentationNetwork:
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    return network


@pytest.mark.parametrize("stride", [32, 8])
def test_imagenets_alexnet_has_the_same_scores(
    imagenet_alexnet: Weights, photograph: np.ndarray, stride: Stride
) -> None:
    """torchvision's, on a photograph; the head is drawn, its scores spread."""
    backbone, _ = load_backbone(imagenet_alexnet)
    generator = torch.Generator().manual_seed(0)
    fcn = with_scores(BackboneFCN(backbone, 21, stride, "he", generator))
    image, pixels = torch.from_numpy(photograph), imagenet_alexnet.sidecar.preprocessing
    shape = (image.shape[0], image.shape[1])
    ours = Predictor(fcn, pixels, CPU).scores(image, shape)
    theirs = mmseg_scores(fcn, image, shape, pixels=pixels)
    assert ours.std(dim=(1, 2)).max() > 0.1  # the pixels differ
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)
    apart = (theirs - ours).abs().max()
    print(f"stride {stride}: scores up to {ours.abs().max():.2f} are {apart:.1e} apart")


@pytest.mark.parametrize("architecture", ["caffenet", "torchvision/resnet18", "timm/test_vit"])
def test_two_steps_of_its_runner_are_two_of_ours(architecture: str, tmp_path: Path) -> None:
    """Also with a falling rate and biases that learn twice as fast; dropout is left out."""
    chosen = recipe(tenth_every=1, bias_multiplier=2, decay_biases=False)
    data, pixels, fcn = noise(3), PIXELS, without_dropout(network())
    if architecture != "caffenet":
        pytest.importorskip(architecture.partition("/")[0])
        weights = random_foreign_weights(architecture)
        pixels = weights.sidecar.preprocessing
        fcn = with_scores(BackboneFCN(load_backbone(weights)[0], 21))
    before = {name: p.detach().clone() for name, p in fcn.named_parameters() if p.requires_grad}
    model = engine_mmseg.segmentor(fcn, pixels)
    engine_mmseg.runner_of(model, data, data, chosen, tmp_path, []).train()
    program = Segmentation(fcn, data, chosen, pixels, 0, CPU)
    fcn.train()
    for step in range(2):
        program.update(step, program.batch(step))
    theirs = model.state_dict()
    for name, ours in fcn.state_dict().items():
        whole = f"backbone.network.{name}".replace("backbone.network.head", "decode_head.scores")
        if name not in before:
            assert torch.equal(ours, theirs[whole]), name
            continue
        moved = (ours - before[name]).norm()
        assert moved > 0
        assert (ours - theirs[whole]).norm() < 1e-3 * moved, name


def test_a_run_is_scored_alike_by_both_metrics(devkit: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunDirectory(run, {"run": {"verb": "transfer"}, "recipe": {"tier": "smoke"}}) as directory:
        run_context = RunContext(
            run=directory,
            weights=random_weights(0),
            data=devkit,
            seed=0,
            device=CPU,
            engine="mmseg",
        )
        outcome = measure(recipe(steps=1, head_init="he", learning_rate=0.02), run_context)
    values = {m.metric: m.value for m in outcome.measurements}
    assert values["mean_iou"] > 0
    assert values["mean_iou_mmseg"] == pytest.approx(values["mean_iou"], abs=0.5e-4)
    assert (run / "predictions" / "2008_000002.png").is_file()
    assert (run / "samples" / "segmentation.png").is_file()
    assert not list(run.rglob("*.pth"))
    assert [line["step"] for line in directory.metrics()] == [1]
    assert (run / "curves.png").is_file()


def test_a_diverging_run_stops_and_stdout_carries_the_result_alone(
    devkit: Path, tmp_path: Path, runner: CliRunner
) -> None:
    given = ["--task", "segmentation", "--engine", "mmseg", "--weights", "random"]
    given += ["--data", str(devkit), "--recipe", "smoke"]
    given += ["--set", "steps=2", "--set", "accumulate=1"]
    finished = runner.invoke(transfer, [*given, "--out", str(tmp_path / "run"), "--json"])
    assert {r["metric"] for r in json.loads(finished.stdout)["measurements"]} > {"mean_iou_mmseg"}
    diverging = [
        "--set",
        "steps=4",
        "--set",
        "learning_rate=1e30",
        "--out",
        str(tmp_path / "other"),
    ]
    stopped = runner.invoke(transfer, [*given, *diverging])
    assert isinstance(stopped.exception, CebenchError)
    assert "loss is" in str(stopped.exception)
    assert not (tmp_path / "other" / "record.json").exists()


def test_both_metrics_agree_on_confusions_of_many_classes(tmp_path: Path) -> None:
    data, fcn = noise(3), network()
    ours = engine_mmseg.StoredPredictions(data, tmp_path)
    model = engine_mmseg.segmentor(fcn, PIXELS)
    runner = engine_mmseg.runner_of(model, data, data, recipe(), tmp_path / "work", [ours])
    theirs = runner.test()["mIoU"]
    pairs = zip(data.labels, stored(data, tmp_path), strict=True)
    confusion = sum(confusion_matrix(truth, labels, 21) for truth, labels in pairs)
    assert theirs == pytest.approx(100 * segmentation_scores(confusion).mean_iou, abs=0.005)
