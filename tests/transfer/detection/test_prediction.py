import heapq
from pathlib import Path

import numpy as np
import pytest
import torch

from cebench.data.voc.devkit import VocYear
from cebench.models.fast_rcnn import FastRCNN
from cebench.models.roi_sampling import network_rois, pyramid_rois
from cebench.transfer.detection import prediction
from cebench.transfer.detection.data import pyramid, read_set
from cebench.transfer.detection.prediction import (
    ImageDetections,
    best,
    candidates,
    cap_classes,
    classify,
    predict,
    suppress,
)


def test_regions_computed_once_score_as_if_each_were_computed(
    network: FastRCNN, rng: np.random.Generator
) -> None:
    corners = rng.uniform(0, 60, (40, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (40, 2))], axis=1)
    boxes = boxes.astype(np.float32)
    image = 50 * torch.randn(1, 3, 80, 120, generator=torch.Generator().manual_seed(1))
    rois = network_rois([boxes], [0.8])
    statistics = (torch.zeros(21, 4), torch.ones(21, 4))
    with torch.no_grad():
        probability, _ = classify(network, image, rois, torch.from_numpy(boxes), statistics)
        expected = network(image, rois)[0].softmax(dim=1)
    torch.testing.assert_close(probability, expected, rtol=1e-4, atol=1e-6)


def test_regions_at_several_scales_score_as_at_their_own(
    devkit: Path, network: FastRCNN, rng: np.random.Generator
) -> None:
    pixels = VocYear(devkit, 2007).image("000001")
    corners = rng.uniform(0, 20, (20, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 90, (20, 2))], axis=1)
    boxes = boxes.astype(np.float32)
    statistics = (torch.zeros(21, 4), torch.ones(21, 4))
    images, factors = pyramid(pixels, (80, 400), 2000)
    rois = pyramid_rois(boxes, factors)
    assert set(rois[:, 0].tolist()) == {0, 1}
    with torch.no_grad():
        probability, _ = classify(network, images, rois, torch.from_numpy(boxes), statistics)
        for level, factor in enumerate(factors):
            mine = (rois[:, 0] == level).numpy()
            alone = network_rois([boxes[mine]], [factor])
            expected = network(images[level : level + 1], alone)[0].softmax(dim=1)
            torch.testing.assert_close(probability[mine], expected, rtol=1e-4, atol=1e-6)


def test_caps_of_the_original_equal_its_heap(rng: np.random.Generator) -> None:
    # 12 images with 2 classes: 100 candidates of class 0 each, 1200 > 40 * 12 = 480 in all; of
    # class 1 only 20 each, which all stay.
    found = []
    for _ in range(12):
        labels = torch.tensor([0] * 100 + [1] * 20)
        scores = torch.from_numpy(rng.permutation(100_000)[:120].astype(np.float32))
        found.append(ImageDetections(labels, scores, torch.zeros(120, 4)))
    kept = cap_classes(found)
    threshold = -np.inf
    top: list[float] = []
    for one in found:  # lib/fast_rcnn/test.py:test_net, its heap and rising threshold
        for score in one.scores[:100].tolist():
            if score > threshold:
                heapq.heappush(top, score)
        while len(top) > 480:
            heapq.heappop(top)
            threshold = top[0]
    for one, capped in zip(found, kept, strict=True):
        expected = [score for score in one.scores[:100].tolist() if score > threshold]
        assert capped.scores[capped.labels == 0].tolist() == expected
        assert (capped.labels == 1).sum() == 20


def test_candidates_follow_the_chosen_caps() -> None:
    probability = torch.tensor([[0.5, 0.44, 0.06], [0.9, 0.04, 0.06]])
    boxes = torch.arange(24.0).view(2, 3, 4)
    thresholded = candidates(probability, boxes, "py-faster-rcnn")
    assert thresholded.labels.tolist() == [0, 1, 1]
    assert thresholded.boxes.tolist() == [boxes[0, 1].tolist(), *boxes[:, 2].tolist()]
    ranked = candidates(torch.rand(150, 3), torch.zeros(150, 3, 4), "original")
    assert ranked.labels.bincount().tolist() == [100, 100]


def test_suppression_works_within_a_class_and_the_best_are_kept() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [30, 30, 40, 40]])
    found = ImageDetections(torch.tensor([0, 0, 1, 0]), torch.tensor([0.5, 0.9, 0.3, 0.2]), boxes)
    kept = suppress(found)
    assert sorted(kept.scores.tolist()) == pytest.approx([0.2, 0.3, 0.9])
    assert best(kept, 2).scores.tolist() == pytest.approx([0.9, 0.3])


def test_suppression_begins_above_an_overlap_of_3_tenths() -> None:
    # 10 x 10 boxes moved by 5 and by 6 pixels: IoU 50 / 150 and 40 / 160 with the best.
    boxes = torch.tensor([[5.0, 0, 15, 10], [0, 6, 10, 16], [0, 0, 10, 10]])
    kept = suppress(ImageDetections(torch.zeros(3).long(), torch.tensor([0.5, 0.6, 0.9]), boxes))
    assert sorted(kept.scores.tolist()) == pytest.approx([0.6, 0.9])


def test_a_class_is_capped_before_suppression_and_boxes_end_at_the_border(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three boxes of a class in two images, of which two may stay: what scores above the second.

    The first two overlap: with suppression first there would be two, and the third would stay.
    """
    scored = [([0.9, 0.8], [[60, 40, 140, 120], [62, 40, 140, 120]]), ([0.7], [[0, 0, 30, 30]])]
    answers = iter(scored)

    def classify(*_: object) -> tuple[torch.Tensor, torch.Tensor]:
        scores, boxes = next(answers)
        probability, decoded = torch.zeros(len(scores), 21), torch.zeros(len(scores), 21, 4)
        probability[:, 3], decoded[:, 3] = torch.tensor(scores), torch.tensor(boxes).float()
        return probability, decoded

    monkeypatch.setattr(prediction, "classify", classify)
    monkeypatch.setattr(prediction, "BOXES_PER_CLASS", 1)
    voc = VocYear(devkit, 2007)
    found = predict(
        FastRCNN.__new__(FastRCNN),
        read_set(voc, "test", voc.ids("test")[:2]),
        [np.array(boxes, np.float32) for _, boxes in scored],
        (torch.zeros(21, 4), torch.ones(21, 4)),
        scales=(80,),
        max_side=100,
        caps="original",
        precision="fp32",
        device=torch.device("cpu"),
        parts=tmp_path,
    )
    assert (found.images.tolist(), found.labels.tolist()) == ([0], [2])
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.boxes.tolist() == [[60, 40, 100, 80]]  # of the image of 100 x 80 pixels
