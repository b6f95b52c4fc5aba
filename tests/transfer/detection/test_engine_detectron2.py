"""Our Fast R-CNN against detectron2's own code, where detectron2 is installed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import write_devkit

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.metrics.detection import Detections, Objects, detection_scores
from cebench.models.backbone_fast_rcnn import BackboneFastRCNN
from cebench.models.backbones import build_backbone
from cebench.models.box_coding import clip_boxes, decode_boxes, encode_boxes
from cebench.models.fast_rcnn import FastRCNN, RegionNetwork, RoiPooling, detection_losses
from cebench.models.roi_sampling import network_rois
from cebench.transfer.detection.data import network_image, stack_images
from cebench.transfer.detection.prediction import best, candidates, classify, suppress
from cebench.transfer.run import Request, run_transfer
from cebench.weights.files import Weights
from cebench.weights.loading import load_backbone

pytest.importorskip("detectron2.modeling")

SIZE = (160, 240)  # height, width


@pytest.fixture(scope="module")
def ours() -> FastRCNN:
    """With scores that spread: CaffeNet's fillers leave every class equally likely."""
    generator = torch.Generator().manual_seed(0)
    network = FastRCNN(generator=generator).eval()
    trunk = network.trunk
    for layer in (trunk.conv1, trunk.conv2, trunk.conv3, trunk.conv4, trunk.conv5):
        torch.nn.init.kaiming_normal_(layer.weight, generator=generator)
    for head in (network.fc6, network.fc7):
        torch.nn.init.kaiming_normal_(head.weight, generator=generator)
        torch.nn.init.zeros_(head.bias)
    torch.nn.init.normal_(network.bbox_pred.weight, std=0.002, generator=generator)
    with torch.no_grad():
        trunk.conv1.weight /= 200
    return network


@pytest.fixture(scope="module")
def theirs(ours: FastRCNN) -> RegionNetwork:
    from cebench.transfer.detection.engine_detectron2 import Detectron2FastRCNN

    return Detectron2FastRCNN(ours).eval()


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, (180, 110), (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 50, (count, 2))], axis=1)
    return boxes.astype(np.float32)


def scene() -> tuple[torch.Tensor, list[np.ndarray], torch.Tensor]:
    """Two images, the boxes of each, and the regions of both in an order of their own."""
    rng = np.random.default_rng(0)
    images = 60 * torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    boxes = [random_boxes(rng, 40), random_boxes(rng, 30)]
    rois = network_rois(boxes, [1.0, 1.0])
    return images, boxes, rois[torch.from_numpy(rng.permutation(70))]


def test_same_weights_and_boxes_give_the_same_scores_and_deltas(
    ours: FastRCNN, theirs: RegionNetwork
) -> None:
    images, _, rois = scene()
    with torch.no_grad():
        (scores, deltas), (other_scores, other_deltas) = ours(images, rois), theirs(images, rois)
    probability, other = scores.softmax(dim=1), other_scores.softmax(dim=1)
    assert probability.std(dim=0).max() > 0.01  # the regions differ
    torch.testing.assert_close(probability, other, rtol=0, atol=1e-5)
    torch.testing.assert_close(deltas[:, 4:], other_deltas[:, 4:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("pooling", ["max", "align"])
def test_imagenets_alexnet_has_the_same_scores(
    imagenet_alexnet: Weights, photograph: np.ndarray, pooling: RoiPooling
) -> None:
    """torchvision's, on a photograph of 600 px; the head is drawn, its scores spread."""
    from cebench.transfer.detection.engine_detectron2 import Detectron2FastRCNN

    backbone, _ = load_backbone(imagenet_alexnet)
    generator = torch.Generator().manual_seed(0)
    ours = BackboneFastRCNN(backbone, 20, generator, "he", pooling).eval()
    pixels = imagenet_alexnet.sidecar.preprocessing
    image, scale = network_image(photograph, 600, 1000, pixels)
    rois = network_rois([random_boxes(np.random.default_rng(0), 60)], [scale])
    with torch.no_grad():
        scores, deltas = ours(stack_images([image]), rois)
        others = Detectron2FastRCNN(ours).eval()(stack_images([image]), rois)
    assert scores.std(dim=0).max() > 0.05  # the regions differ
    for found, other in ((scores, others[0]), (deltas[:, 4:], others[1][:, 4:])):
        torch.testing.assert_close(found, other, rtol=0, atol=1e-4)
        apart = (found - other).abs().max()
        print(f"{pooling}: values up to {found.abs().max():.2f} are {apart:.1e} apart")


def test_batch_normalisation_stays_as_it_came() -> None:
    from cebench.transfer.detection.engine_detectron2 import Detectron2FastRCNN

    network = Detectron2FastRCNN(BackboneFastRCNN(build_backbone("torchvision/vgg11_bn"), 20))
    norms = [m for m in network.train().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training or norm.weight.requires_grad for norm in norms)


def test_the_losses_are_detectron2s(ours: FastRCNN, theirs: RegionNetwork) -> None:
    from detectron2.structures import Boxes, Instances
    from detectron2.utils.events import EventStorage

    images, boxes, _ = scene()
    rois = network_rois(boxes[:1], [1.0])
    shifted = boxes[0] + np.array([3, -2, 6, 4], np.float32)
    labels = torch.tensor([0, 5, 20, 1] * 10)
    with torch.no_grad():
        scores, deltas = ours(images[:1], rois)
    targets = torch.from_numpy(encode_boxes(boxes[0], shifted)) * (labels > 0)[:, None]
    units = (torch.zeros(21, 4), torch.ones(21, 4))
    class_loss, box_loss = detection_losses(scores, deltas, labels, targets, *units)
    # detectron2's widths are x1 - x0, ours x1 - x0 - 1: inclusive corners make them the same.
    inclusive = np.array([0, 0, 1, 1], np.float32)
    proposals = Instances(SIZE)
    proposals.proposal_boxes = Boxes(torch.from_numpy(boxes[0] - inclusive))
    proposals.gt_boxes = Boxes(torch.from_numpy(shifted - inclusive))
    proposals.gt_classes = (labels - 1) % 21  # background last
    with EventStorage():
        losses = theirs.box_predictor.losses((scores.roll(-1, dims=1), deltas[:, 4:]), [proposals])
    torch.testing.assert_close(losses["loss_cls"], class_loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(losses["loss_box_reg"], box_loss, rtol=1e-5, atol=1e-6)


def test_detectron2s_own_inference_has_the_same_average_precision(
    ours: FastRCNN, theirs: RegionNetwork
) -> None:
    """Pooling, head, decoding, clipping, suppression and cap are theirs, on the same weights."""
    from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference

    images, boxes, _ = scene()
    generator = torch.Generator().manual_seed(2)
    mean = 0.1 * torch.randn(21, 4, generator=generator)
    std = 0.2 + 0.1 * torch.rand(21, 4, generator=generator)
    mean[0], std[0] = 0, 1
    found = []
    for index, of_image in enumerate(boxes):
        image, rois = images[index : index + 1], network_rois([of_image], [1.0])
        proposals = torch.from_numpy(of_image)
        with torch.no_grad():
            probability, decoded = classify(ours, image, rois, proposals, (mean, std))
            logits, deltas = theirs(image, rois)
        kept = best(
            suppress(candidates(probability, clip_boxes(decoded, *SIZE), "py-faster-rcnn")), 100
        )
        # The statistics are folded into the deltas, as the original folds them into its snapshot.
        unfolded = (deltas.view(-1, 21, 4) * std + mean)[:, 1:].flatten(1)
        inclusive = proposals - torch.tensor([0, 0, 1, 1])
        half_open = theirs.box_predictor.box2box_transform.apply_deltas(unfolded, inclusive)
        half_open = half_open.view(-1, 4) + torch.tensor([0, 0, 1, 1])
        scores = logits.softmax(dim=1).roll(-1, dims=1)
        (instances,), _ = fast_rcnn_inference(
            [half_open.view(len(proposals), -1)], [scores], [SIZE], 0.05, 0.3, 100
        )
        assert len(instances.scores) == len(kept.scores) > 20
        torch.testing.assert_close(instances.scores, kept.scores, rtol=0, atol=1e-4)
        torch.testing.assert_close(instances.pred_boxes.tensor, kept.boxes, rtol=0, atol=1e-2)
        found.append((kept, instances))
    # Objects near some of the detections, so that the average precision is neither 0 nor 1.
    truth = Objects(
        images=np.repeat([0, 1], 8),
        labels=np.concatenate([kept.labels[:16:2].numpy() for kept, _ in found]),
        boxes=np.concatenate([kept.boxes[:16:2].numpy() + 2 for kept, _ in found]),
        difficult=np.arange(16) % 5 == 0,
    )
    values = [
        detection_scores(joined(parts), truth, len(VOC_CLASSES)).mean_ap_voc07_11pt
        for parts in (
            [(kept.labels, kept.scores, kept.boxes) for kept, _ in found],
            [(i.pred_classes, i.scores, i.pred_boxes.tensor) for _, i in found],
        )
    ]
    assert 0.1 < values[0] < 1
    assert values[0] == values[1]


def joined(parts: list[tuple[torch.Tensor, ...]]) -> Detections:
    labels, scores, boxes = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    counts = [len(part[0]) for part in parts]
    return Detections(np.repeat(np.arange(len(parts)), counts), labels, scores, boxes)


def test_decoding_is_detectron2s(theirs: RegionNetwork) -> None:
    rng = np.random.default_rng(3)
    boxes = random_boxes(rng, 20)
    deltas = torch.from_numpy(rng.normal(0, 0.3, (20, 84)).astype(np.float32))
    decoded = decode_boxes(torch.from_numpy(boxes), deltas, torch.zeros(21, 4), torch.ones(21, 4))
    inclusive = torch.from_numpy(boxes) - torch.tensor([0, 0, 1, 1])
    expected = theirs.box_predictor.box2box_transform.apply_deltas(deltas, inclusive)
    expected = expected.view(20, 21, 4) + torch.tensor([0, 0, 1, 1])
    torch.testing.assert_close(decoded, expected, rtol=1e-5, atol=1e-3)


def test_a_run_of_detectron2_follows_the_same_recipe(tmp_path: Path) -> None:
    """Equal weights, regions and dropout pattern: the first steps are equal."""
    devkit = write_devkit(tmp_path / "VOCdevkit")
    changes = ("train_set=train", "train_images=0", "test_images=0", "steps=2", "log_every=1")
    losses = {}
    for engine in ("native", "detectron2"):
        request = Request(
            task="detection",
            weights="random",
            data=devkit,
            out=tmp_path / engine,
            recipe="smoke",
            changes=changes,
            device="cpu",
            engine=engine,
        )
        record = run_transfer(request)
        assert record.protocol.endswith("-detectron2") == (engine == "detectron2")
        lines = (tmp_path / engine / "metrics.jsonl").read_text().splitlines()
        losses[engine] = [json.loads(line)["loss"] for line in lines]
    assert len(losses["native"]) == 2
    assert losses["native"] == pytest.approx(losses["detectron2"], rel=1e-4)
