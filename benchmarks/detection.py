"""Time Fast R-CNN against detectron2's code on the same weights, alternated in one process.

Run: python benchmarks/detection.py PHOTO [--rois 2000] [--threads 2] [--rounds 5]
Two lines: a test image from pixels on their way to the network to detections (py-faster-rcnn's
caps), with Selective Search's boxes; and a training step of two images with 64 regions each.
Their half is detectron2's pooling, head, predictor, inference and loss, on our trunk, with the
SGD that its configuration builds. Both halves must find the same before they are timed. Ours is
ahead in a test image mainly because regions that pool the same cells are computed once, as in the
original; how many there are is printed.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from alternation import medians, print_ratios
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor

from cebench.config import Precision
from cebench.data.images import read_image
from cebench.data.proposals.selective_search import SelectiveSearch
from cebench.devices import autocast
from cebench.models.box_coding import clip_boxes
from cebench.models.fast_rcnn import FastRCNN, detection_losses
from cebench.models.parameter_groups import caffe_parameter_groups
from cebench.models.roi_sampling import LabelledRois, network_rois, pyramid_rois, sample_rois
from cebench.transfer.detection.data import pyramid
from cebench.transfer.detection.engine_detectron2 import Detectron2FastRCNN
from cebench.transfer.detection.prediction import best, candidates, classify, suppress

CPU = torch.device("cpu")
INCLUSIVE = torch.tensor([0, 0, 1, 1])
UNITS = (torch.zeros(21, 4), torch.ones(21, 4))


def spread_network() -> FastRCNN:
    """Weights that make scores differ: CaffeNet's fillers leave every class equally likely."""
    generator = torch.Generator().manual_seed(0)
    network = FastRCNN(generator=generator).eval()
    trunk = network.trunk
    convolutions = (trunk.conv1, trunk.conv2, trunk.conv3, trunk.conv4, trunk.conv5)
    for layer in (*convolutions, network.fc6, network.fc7):
        torch.nn.init.kaiming_normal_(layer.weight, generator=generator)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        trunk.conv1.weight /= 200
    return network


def our_test(
    network: FastRCNN, pixels: np.ndarray, boxes: np.ndarray, precision: Precision
) -> Callable[[], Tensor]:
    """What `cebench transfer` does with a test image."""

    def detect() -> Tensor:
        images, factors = pyramid(pixels, (600,), 1000)
        rois = pyramid_rois(boxes, factors)
        with torch.no_grad(), autocast(CPU, precision):
            found = classify(network, images, rois, torch.from_numpy(boxes), UNITS)
        clipped = clip_boxes(found[1], *pixels.shape[:2])
        return best(suppress(candidates(found[0], clipped, "py-faster-rcnn")), 100).scores

    return detect


def their_test(
    network: Detectron2FastRCNN, pixels: np.ndarray, boxes: np.ndarray
) -> Callable[[], Tensor]:
    """The same through detectron2."""
    proposals = torch.from_numpy(boxes)

    def detect() -> Tensor:
        images, factors = pyramid(pixels, (600,), 1000)
        rois = network_rois([boxes], factors)
        with torch.inference_mode(), autocast(CPU, "fp32"):
            scores, deltas = network(images, rois)
            transform = network.box_predictor.box2box_transform
            decoded = transform.apply_deltas(deltas[:, 4:], proposals - INCLUSIVE)
            decoded = (decoded.view(-1, 4) + INCLUSIVE).view(len(boxes), -1)
            (found,), _ = fast_rcnn_inference(
                [decoded], [scores.softmax(1).roll(-1, 1)], [pixels.shape[:2]], 0.05, 0.3, 100
            )
        return found.scores

    return detect


def our_step(
    network: FastRCNN, images: Tensor, rois: Tensor, sampled: LabelledRois, precision: Precision
) -> Callable[[], float]:
    """What `cebench transfer` does with a batch."""
    groups = caffe_parameter_groups(network.named_parameters(), 1e-5, 5e-4, decay_biases=False)
    sgd = torch.optim.SGD(groups, momentum=0.9, fused=True)
    labels, targets = torch.from_numpy(sampled.labels), torch.from_numpy(sampled.targets)

    def step() -> float:
        with autocast(CPU, precision):
            scores, deltas = network(images, rois)
        loss = sum(detection_losses(scores, deltas, labels, targets, *UNITS))
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        sgd.step()
        return float(loss.detach())

    return step


def their_step(
    network: Detectron2FastRCNN, images: Tensor, rois: Tensor, sampled: LabelledRois
) -> Callable[[], float]:
    """The same with detectron2's loss and its default optimizer."""
    groups = caffe_parameter_groups(network.named_parameters(), 1e-5, 5e-4, decay_biases=False)
    sgd = torch.optim.SGD(groups, momentum=0.9)
    transform = network.box_predictor.box2box_transform
    boxes = torch.from_numpy(sampled.boxes) - INCLUSIVE
    proposals = Instances((1, 1))
    proposals.proposal_boxes = Boxes(boxes)
    proposals.gt_boxes = Boxes(transform.apply_deltas(torch.from_numpy(sampled.targets), boxes))
    proposals.gt_classes = (torch.from_numpy(sampled.labels) - 1) % 21

    def step() -> float:
        scores, deltas = network(images, rois)
        with EventStorage():
            predictions = (scores.roll(-1, dims=1), deltas[:, 4:])
            loss = sum(network.box_predictor.losses(predictions, [proposals]).values())
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return float(loss.detach())

    return step


def time_test(network: FastRCNN, pixels: np.ndarray, boxes: np.ndarray, rounds: int) -> None:
    """Print the line of a test image."""
    twin = Detectron2FastRCNN(network).eval()
    ways = {
        "ours": our_test(network, pixels, boxes, "fp32"),
        "detectron2": their_test(twin, pixels, boxes),
        "ours bf16": our_test(network, pixels, boxes, "bf16"),
    }
    torch.testing.assert_close(ways["ours"](), ways["detectron2"](), rtol=0, atol=1e-4)
    # Weights once converted to bfloat16 stay so until the outermost autocast ends: a run has one
    # around all its images.
    with autocast(CPU, "bf16"):
        times = medians(ways, rounds)
    rois = pyramid_rois(boxes, pyramid(pixels, (600,), 1000)[1])
    cells = torch.floor((rois[:, 1:] - INCLUSIVE) / 16 + 0.5).unique(dim=0)
    title = f"test image of {len(boxes)} regions, {len(cells)} of them different on conv5"
    print_ratios(title, times)


def time_step(network: FastRCNN, pixels: np.ndarray, boxes: np.ndarray, rounds: int) -> None:
    """Print the line of a training step."""
    objects, labels = boxes[[10, 40]], np.array([3, 8])
    drawn = [sample_rois(np.random.default_rng(i), boxes, objects, labels) for i in (0, 1)]
    images, (factor,) = pyramid(pixels, (600,), 1000)
    batch = images.repeat(2, 1, 1, 1)
    rois = network_rois([one.boxes for one in drawn], [factor] * 2)
    sampled = LabelledRois(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))
    copies = [spread_network(), Detectron2FastRCNN(spread_network()).eval(), spread_network()]
    ways = {
        "ours": our_step(copies[0], batch, rois, sampled, "fp32"),
        "detectron2": their_step(copies[1], batch, rois, sampled),
        "ours bf16": our_step(copies[2], batch, rois, sampled, "bf16"),
    }
    losses = [ways[name]() for name in ("ours", "detectron2")]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    for copy in copies:
        copy.train()
    print_ratios(f"training step, 2 images, {len(rois)} regions", medians(ways, rounds))


def main() -> None:
    """Print two lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("--rois", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pixels = read_image(options.photo)
    boxes = SelectiveSearch()(pixels)
    boxes = boxes[np.random.default_rng(0).permutation(len(boxes))[: options.rois]]
    network = spread_network()
    time_test(network, pixels, boxes, options.rounds)
    time_step(network, pixels, boxes, options.rounds)


if __name__ == "__main__":
    main()
