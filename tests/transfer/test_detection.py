import heapq
from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import CPU, RECIPE, jittered, open_run, write_devkit
from PIL import Image
from safetensors.torch import load_file

from cebench.config import load_recipe
from cebench.data.proposals import Proposals, load_proposals, save_proposals
from cebench.data.selective_search import SelectiveSearch
from cebench.data.voc import VOC_CLASSES, VocYear
from cebench.data.voc_results import read_detection_files
from cebench.errors import InputError
from cebench.metrics.detection import Detections, Objects, detection_scores, stack_objects
from cebench.models.box_coding import box_target_statistics
from cebench.models.fast_rcnn import FastRCNN
from cebench.models.roi_sampling import label_rois, network_rois, pyramid_rois
from cebench.training import train
from cebench.transfer.detection.data import (
    flip_boxes,
    network_image,
    proposals_of,
    pyramid,
    read_set,
    stack_images,
    subset,
)
from cebench.transfer.detection.pictures import best_median_worst, found_overlap
from cebench.transfer.detection.prediction import (
    Found,
    best,
    candidates,
    cap_classes,
    classify,
    predict,
    suppress,
)
from cebench.transfer.detection.report import report, similar_classes
from cebench.transfer.detection.task import Detection, DetectionRecipe, measure, target_statistics
from cebench.transfer.run import Request, run_transfer
from cebench.transfer.setting import Outcome, Setting
from cebench.weights import random_weights


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_devkit(tmp_path_factory.mktemp("toy") / "VOCdevkit")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def network() -> FastRCNN:
    return FastRCNN(generator=torch.Generator().manual_seed(0)).eval()


def run(recipe: DetectionRecipe, devkit: Path, path: Path) -> Outcome:
    with open_run(path) as opened:
        return measure(
            recipe,
            Setting(run=opened, weights=random_weights(0), data=devkit, seed=0, device=CPU),
        )


@pytest.fixture(scope="module")
def measured(devkit: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A whole run."""
    path = tmp_path_factory.mktemp("runs") / "run"
    return path, run(RECIPE, devkit, path)


def test_run_leaves_numbers_detections_and_pictures(measured: tuple[Path, Outcome]) -> None:
    path, outcome = measured
    assert [m.metric for m in outcome.measurements] == ["mean_ap_voc07_11pt", "mean_ap_area"]
    assert {(m.column, m.count) for m in outcome.measurements} == {("detection", 3)}
    assert all(0 <= m.value <= 1 for m in outcome.measurements)
    for name in (
        "curves.png",
        "precision_recall.png",
        "errors.png",
        "errors.csv",
        "samples/detections.png",
        "per_class.csv",
    ):
        assert (path / name).stat().st_size > 0
    assert len((path / "per_class.csv").read_text().splitlines()) == 21
    assert list(path.parent.glob("proposals-*.safetensors"))


def test_stored_detections_and_result_files_score_as_the_run_did(
    measured: tuple[Path, Outcome], devkit: Path
) -> None:
    path, outcome = measured
    arrays = {k: v.numpy() for k, v in load_file(path / "detections.safetensors").items()}
    voc = VocYear(devkit, 2007)
    ids = voc.ids(path / "detections" / "test.txt")
    annotations = [voc.annotation(image_id) for image_id in ids]
    truth = stack_objects((a.boxes, a.labels, a.difficult) for a in annotations)
    rows = read_detection_files(path / "detections", "test", ids)
    assert len(rows.scores) == len(arrays["scores"]) > 0
    for detections in (Detections(**arrays), Detections(*rows)):
        scores = detection_scores(detections, truth, len(VOC_CLASSES))
        values = [scores.mean_ap_voc07_11pt, scores.mean_ap_area]
        assert values == [m.value for m in outcome.measurements]


def trained(devkit: Path, path: Path, *stops: int) -> tuple[FastRCNN, list[float]]:
    """The network and its losses after the last of `stops`, a new program for each."""
    voc, rng = VocYear(devkit, 2007), np.random.default_rng(0)
    data = read_set(voc, "train", voc.ids("train")[:2])
    boxes = [jittered(annotation.boxes, rng) for annotation in data.annotations]
    for steps in stops:
        network = FastRCNN(generator=torch.Generator().manual_seed(0))
        with open_run(path) as opened:
            train(
                Detection(network, data, boxes, RECIPE, 0, CPU),
                opened,
                label="detection",
                steps=steps,
                seed=0,
                data_fingerprint="toy",
                log_every=1,
                checkpoint_every=100,
            )
            losses = [line["loss"] for line in opened.metrics()]
    return network, losses


def test_training_lowers_the_loss_and_continues_as_if_uninterrupted(
    devkit: Path, tmp_path: Path
) -> None:
    straight, losses = trained(devkit, tmp_path / "straight", 6)
    continued, again = trained(devkit, tmp_path / "continued", 3, 6)
    assert np.mean(losses[-3:]) < 0.6 * losses[0]
    assert losses == again
    assert all(map(torch.equal, straight.parameters(), continued.parameters()))


def test_both_sets_sharing_an_image_are_refused(devkit: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train set train and test set all share 3 images"):
        run(RECIPE.model_copy(update={"test_set": "all"}), devkit, tmp_path / "run")


def test_set_without_objects_and_wrong_sizes_are_refused(devkit: Path, tmp_path: Path) -> None:
    voc = VocYear(devkit, 2007)
    with pytest.raises(InputError, match=r"bare: the 1 images .* show no object"):
        read_set(voc, "bare", voc.ids("bare"))
    other = VocYear(write_devkit(tmp_path / "VOCdevkit"), 2007)
    Image.new("RGB", (90, 80)).save(other.image_path("000001"))
    with pytest.raises(InputError, match=r"000001\.jpg is 90 x 80 but its annotation says 100"):
        read_set(other, "train", other.ids("train"))


def test_image_without_objects_or_proposals_gives_no_regions(
    devkit: Path, network: FastRCNN
) -> None:
    voc = VocYear(devkit, 2007)
    data = read_set(voc, "train", voc.ids("train"))
    program = Detection(
        FastRCNN(generator=torch.Generator().manual_seed(0)),
        data,
        [np.zeros((0, 4), np.float32)] * 3,
        RECIPE.model_copy(update={"images_per_step": 6}),
        seed=0,
        device=CPU,
    )
    batch = program.batch(0)  # every image once as it is and once mirrored
    # Objects are candidates themselves: two images with one and two of them, each twice.
    assert (batch.labels > 0).sum() == 6
    assert len(batch.images) == 6
    nothing = np.zeros((0, 4), np.float32)
    with torch.no_grad():
        probability, boxes = classify(
            network,
            torch.zeros(1, 3, 80, 100),
            network_rois([nothing], [1.0]),
            torch.from_numpy(nothing),
            program.statistics,
        )
    assert probability.shape == (0, 21)
    for caps in ("original", "py-faster-rcnn"):
        assert len(suppress(candidates(probability, boxes, caps)).scores) == 0


def test_mirrored_boxes_hold_what_the_boxes_held() -> None:
    pixels = np.zeros((6, 10, 3), np.uint8)
    pixels[1:4, 2:5] = 255
    boxes = np.array([[2, 1, 5, 4]], np.float32)
    flipped = flip_boxes(boxes, width=10)
    x0, y0, x1, y1 = flipped[0].astype(int)
    assert (pixels[:, ::-1][y0:y1, x0:x1] == 255).all()
    np.testing.assert_array_equal(flip_boxes(flipped, 10), boxes)


def test_mirrored_images_of_a_batch_carry_mirrored_regions(devkit: Path) -> None:
    voc = VocYear(devkit, 2007)
    data = read_set(voc, "train", voc.ids("train")[:1])
    recipe = RECIPE.model_copy(update={"images_per_step": 2, "rois_per_image": 4})
    program = Detection(FastRCNN(), data, [np.zeros((0, 4), np.float32)], recipe, 0, CPU)
    batch = program.batch(0)  # the only image and its mirror image, at scale 1
    for index, _, y0, _, y1 in batch.rois.int().tolist():
        assert (y0, y1) == (12, 50)
        x0, x1 = batch.rois[index, [1, 3]].int().tolist()
        red = batch.images[index, 0, 30] > 40
        assert red.nonzero().squeeze(1)[[0, -1]].tolist() == [x0, x1 - 1]
    assert sorted(batch.rois[:, 1].tolist()) == [10, 40]


def test_target_statistics_count_the_mirrored_set_too(rng: np.random.Generator) -> None:
    objects = [(np.array([[10, 10, 60, 60], [70, 20, 95, 70]], np.float32), np.array([3, 7]))]
    corners = rng.integers(0, 60, (400, 2))
    boxes = np.concatenate([corners, corners + rng.integers(10, 60, (400, 2))], axis=1)
    proposals = [boxes.astype(np.float32)]
    mean, std = target_statistics(proposals, objects)
    labels, targets = [], []
    for flip in (lambda b: b, lambda b: flip_boxes(b, 130)):
        own, classes = flip(objects[0][0]), objects[0][1]
        rois, _ = label_rois(np.concatenate([own, flip(proposals[0])]), own, classes)
        labels.append(rois.labels)
        targets.append(rois.targets)
    expected = box_target_statistics(np.concatenate(targets), np.concatenate(labels))
    np.testing.assert_allclose(mean, expected[0], atol=1e-6)
    np.testing.assert_allclose(std, expected[1], atol=1e-6)
    assert std[4, 0] != 1


@pytest.mark.parametrize(
    ("height", "width", "shape", "scale"),
    [(375, 500, (600, 800), 1.6), (500, 200, (1000, 400), 2.0), (600, 1000, (600, 1000), 1.0)],
)
def test_network_image_has_the_protocols_sides(
    height: int, width: int, shape: tuple[int, int], scale: float
) -> None:
    image, found = network_image(np.zeros((height, width, 3), np.uint8), 600, 1000)
    assert image.shape == (3, *shape)
    assert found == scale
    # Black minus the mean pixel.
    np.testing.assert_allclose(image[:, 5, 7], [-122.7717, -115.9465, -102.9801], rtol=1e-6)


def test_padding_is_zero_at_the_bottom_and_the_right() -> None:
    batch = stack_images([torch.ones(3, 2, 5), torch.ones(3, 4, 3)])
    assert batch.shape == (2, 3, 4, 5)
    assert batch[0, :, :2].eq(1).all()
    assert batch[0, :, 2:].eq(0).all()
    assert batch[1, :, :, :3].eq(1).all()
    assert batch[1, :, :, 3:].eq(0).all()


def test_subsets_are_nested_and_keep_the_order() -> None:
    ids = [f"{i:06d}" for i in range(50)]
    small, large = subset(ids, 5), subset(ids, 20)
    assert len(small) == 5
    assert set(small) < set(large)
    assert large == sorted(large)
    assert subset(ids, 0) == subset(ids, 99) == ids


def test_proposals_of_reduced_images_are_in_pixels_of_the_stored_image(
    devkit: Path, tmp_path: Path
) -> None:
    voc = VocYear(devkit, 2007)
    settings = {"source": "fast", "search": SelectiveSearch("fast", 5, 50)}
    found = proposals_of(voc, ["000001", "000003"], tmp_path, limit=0, **settings)
    boxes = found.boxes["000001"]
    truth = voc.annotation("000001").boxes[0]
    assert np.abs(boxes - truth).max(axis=1).min() <= 2
    assert len(list(tmp_path.glob("proposals-*.safetensors"))) == 1
    again = proposals_of(voc, ["000001", "000003"], tmp_path, limit=0, **settings)
    assert again.sha256 == found.sha256
    first = proposals_of(voc, ["000001"], tmp_path, limit=1, **settings)
    np.testing.assert_array_equal(first.boxes["000001"], boxes[:1])


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


def test_caps_of_the_original_equal_its_heap(rng: np.random.Generator) -> None:
    # 12 images with 2 classes: 100 candidates of class 0 each, 1200 > 40 * 12 = 480 in all; of
    # class 1 only 20 each, which all stay.
    found = []
    for _ in range(12):
        labels = torch.tensor([0] * 100 + [1] * 20)
        scores = torch.from_numpy(rng.permutation(100_000)[:120].astype(np.float32))
        found.append(Found(labels, scores, torch.zeros(120, 4)))
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
    found = Found(torch.tensor([0, 0, 1, 0]), torch.tensor([0.5, 0.9, 0.3, 0.2]), boxes)
    kept = suppress(found)
    assert sorted(kept.scores.tolist()) == pytest.approx([0.2, 0.3, 0.9])
    assert best(kept, 2).scores.tolist() == pytest.approx([0.9, 0.3])


@pytest.mark.parametrize("name", ["smoke", "short", "paper", "paper-40k", "paper-multiscale"])
def test_recipes_are_valid_and_name_their_tier(name: str) -> None:
    recipe, full_name = load_recipe(DetectionRecipe, "cebench.transfer", "detection", name)
    assert full_name == f"detection-{name}"
    assert recipe.tier == name.partition("-")[0]


def test_paper_recipe_uses_every_image_proposal_and_pixel() -> None:
    recipe, _ = load_recipe(DetectionRecipe, "cebench.transfer", "detection", "paper")
    reductions = (recipe.train_images, recipe.test_images, recipe.proposal_max_side)
    assert (*reductions, recipe.max_proposals) == (0, 0, 0, 0)
    assert (recipe.scales, recipe.max_side, recipe.rois_per_image) == ((600,), 1000, 64)
    assert (recipe.test_scales, recipe.test_max_side, recipe.precision) == ((600,), 1000, "fp32")


def test_three_images_are_learned_by_heart(devkit: Path) -> None:
    """Average precision 1: nothing between the pixels and the number is out of place.

    Weights as He et al. draw them and no dropout, so that fifty steps are enough.
    """
    voc, rng = VocYear(devkit, 2007), np.random.default_rng(0)
    data = read_set(voc, "three images", ["000001", "000002", "000011"])
    boxes = [jittered(annotation.boxes, rng)[:60] for annotation in data.annotations]
    changes = {"learning_rate": 2e-4, "tenth_every": 45, "scales": (120,), "test_scales": (120,)}
    recipe = RECIPE.model_copy(update=changes)
    network = FastRCNN(generator=torch.Generator().manual_seed(0))
    network.dropout.p = 0.0
    generator = torch.Generator().manual_seed(1)
    trunk = network.trunk
    convolutions = (trunk.conv1, trunk.conv2, trunk.conv3, trunk.conv4, trunk.conv5)
    for layer in (*convolutions, network.fc6, network.fc7):
        torch.nn.init.kaiming_normal_(layer.weight, generator=generator)
        torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        trunk.conv1.weight /= 300  # of pixels that reach 150
    program = Detection(network, data, boxes, recipe, 0, CPU)
    for step in range(52):
        program.update(step, program.batch(step))
    found = predict(
        network.eval(),
        data,
        boxes,
        program.statistics,
        scales=recipe.test_scales,
        max_side=recipe.test_max_side,
        caps="py-faster-rcnn",
        precision="fp32",
        device=CPU,
    )
    truth = stack_objects((a.boxes, a.labels, a.difficult) for a in data.annotations)
    scores = detection_scores(found, truth, len(VOC_CLASSES))
    assert (scores.mean_ap_voc07_11pt, scores.mean_ap_area) == (1, 1)


def one_step(devkit: Path, **changes: object) -> tuple[FastRCNN, float]:
    voc, rng = VocYear(devkit, 2007), np.random.default_rng(0)
    data = read_set(voc, "train", voc.ids("train")[:2])
    boxes = [jittered(annotation.boxes, rng) for annotation in data.annotations]
    network = FastRCNN(generator=torch.Generator().manual_seed(0)).eval()
    recipe = RECIPE.model_copy(update=changes)
    program = Detection(network, data, boxes, recipe, 0, CPU)
    return network, float(program.update(0, program.batch(0))["loss"])


def test_conv1_trains_unless_it_is_frozen_and_bf16_learns_the_same(
    devkit: Path, network: FastRCNN
) -> None:
    before = network.trunk.conv1.weight, network.trunk.conv2.weight
    trained_network, loss = one_step(devkit)
    frozen, _ = one_step(devkit, train_conv1=False)
    rounded, rounded_loss = one_step(devkit, precision="bf16")
    assert not torch.equal(trained_network.trunk.conv1.weight, before[0])
    assert torch.equal(frozen.trunk.conv1.weight, before[0])
    assert not torch.equal(frozen.trunk.conv2.weight, before[1])
    assert rounded.trunk.conv1.weight.dtype == torch.float32
    assert rounded_loss == pytest.approx(loss, rel=0.01)
    assert rounded_loss != loss


def test_difficult_objects_are_learned_from_or_not(tiny_voc: Path) -> None:
    voc = VocYear(tiny_voc, 2007)
    data = read_set(voc, "train", voc.ids("train"))  # two images with a difficult object each
    nothing = [np.zeros((0, 4), np.float32)] * 2
    for train_difficult, counts in ((True, [2, 2]), (False, [1, 1])):
        recipe = RECIPE.model_copy(update={"train_difficult": train_difficult})
        program = Detection(FastRCNN(), data, nothing, recipe, 0, CPU)
        assert [len(labels) for _, labels in program.objects] == counts


def test_each_training_image_draws_one_of_the_scales(devkit: Path) -> None:
    voc = VocYear(devkit, 2007)
    data = read_set(voc, "train", voc.ids("train"))
    recipe = RECIPE.model_copy(update={"scales": (40, 80, 160), "images_per_step": 1})
    nothing = [np.zeros((0, 4), np.float32)] * 3
    program = Detection(FastRCNN(), data, nothing, recipe, 0, CPU)
    sides = [program.batch(step).images.shape[2] for step in range(24)]
    assert set(sides) == {40, 80, 160}
    assert sides == [program.batch(step).images.shape[2] for step in range(24)]


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


def test_a_truncated_photograph_is_named(tmp_path: Path) -> None:
    devkit = write_devkit(tmp_path / "VOCdevkit")
    path = VocYear(devkit, 2007).image_path("000012")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"000012\.jpg is truncated or damaged"):
        run(RECIPE, devkit, tmp_path / "run")


@pytest.fixture
def proposals_file(devkit: Path, tmp_path: Path) -> Path:
    """The whole image and the objects' boxes, images in another order than the lists'."""
    voc, boxes = VocYear(devkit, 2007), {}
    for image_id in reversed(voc.ids("all")):
        whole = np.array([[0, 0, 100, 80]], np.float32)
        boxes[image_id] = np.concatenate([whole, voc.annotation(image_id).boxes])
    save_proposals(tmp_path / "boxes.safetensors", Proposals("by hand", boxes))
    return tmp_path / "boxes.safetensors"


def taken(devkit: Path, ids: list[str], source: Path | str, limit: int = 0) -> Proposals:
    voc = VocYear(devkit, 2007)
    return proposals_of(voc, ids, devkit, source=str(source), search=SelectiveSearch(), limit=limit)


def test_proposals_of_a_file_belong_to_their_images_in_whatever_order(
    devkit: Path, proposals_file: Path
) -> None:
    found = taken(devkit, ["000001", "000012"], proposals_file)
    assert list(found.boxes) == ["000001", "000012"]
    assert found.boxes["000001"].tolist() == [[0, 0, 100, 80], [10, 12, 60, 50]]
    first = taken(devkit, ["000001", "000012"], proposals_file, limit=1)
    assert first.name == "by hand-first1"
    assert [len(boxes) for boxes in first.boxes.values()] == [1, 1]
    assert first.sha256 != found.sha256


def test_proposals_of_other_images_are_refused(
    devkit: Path, proposals_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no proposals for 1 of 2 images"):
        taken(devkit, ["000001", "000099"], proposals_file)
    for box in ((0, 0, 101, 80), (-1, 0, 9, 9), (5, 5, 5, 9), (float("nan"), 0, 9, 9)):
        path = tmp_path / "other.safetensors"
        save_proposals(path, Proposals("other", {"000001": np.array([box], np.float32)}))
        with pytest.raises(InputError, match=r"1 of 1 boxes of 000001 .* its 100 x 80 pixels"):
            taken(devkit, ["000001"], path)
    with pytest.raises(InputError, match="'slow' is no file; expected fast, quality or"):
        taken(devkit, ["000001"], "slow")


def test_name_and_hash_of_the_proposals_are_part_of_the_outcome(
    measured: tuple[Path, Outcome],
) -> None:
    path, outcome = measured
    (file,) = path.parent.glob("proposals-*.safetensors")
    proposals = load_proposals(file)
    assert outcome.proposals == f"{proposals.name} {proposals.sha256}"
    assert proposals.name == "selective-search-fast-k50+50-min8"


def test_pictures_show_the_best_the_middle_and_the_worst() -> None:
    values = np.array([0.1, np.nan, 0.9, 0.5, 0.3, 0.7, 0.0])
    assert best_median_worst(values, 3).tolist() == [2, 3, 6]
    assert best_median_worst(values, 99).tolist() == [2, 5, 3, 4, 0, 6]
    assert best_median_worst(np.array([np.nan]), 3).tolist() == []


def test_overlap_of_an_image_is_that_of_its_objects_with_their_class() -> None:
    square = (0.0, 0, 10, 10)
    truth = Objects(
        images=np.array([4, 4, 4]),
        labels=np.array([1, 2, 2]),
        boxes=np.array([square, square, (50, 50, 60, 60)], np.float32),
        difficult=np.array([False, False, True]),
    )
    found = Detections(
        images=np.array([4, 4]),
        labels=np.array([1, 3]),
        scores=np.array([0.5, 0.9]),
        boxes=np.array([(0, 0, 10, 6), square]),
    )
    # Object 1 by 60 of 100 pixels; object 2 by none of its class; the difficult one is left out.
    assert found_overlap(found, truth, 4, np.array([0, 1])) == pytest.approx(0.3)
    assert found_overlap(found, truth, 4, np.array([], int)) == 0
    assert np.isnan(found_overlap(found, truth, 5, np.array([], int)))


def test_a_set_without_any_detection_is_reported(devkit: Path, tmp_path: Path) -> None:
    voc = VocYear(devkit, 2007)
    test = read_set(voc, "test", voc.ids("test"))
    empty = np.zeros(0, np.int64)
    nothing = Detections(empty, empty, np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
    scores = report(nothing, test, "test", 3, tmp_path)
    assert scores.mean_ap_area == 0
    for name in ("precision_recall.png", "errors.png", "samples/detections.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_similar_classes_are_mutual_and_never_the_same() -> None:
    similar = similar_classes()
    assert (similar == similar.T).all()
    assert not similar.diagonal().any()
    named = {name: similar[VOC_CLASSES.index(name)] for name in ("bottle", "sofa", "bird")}
    assert not named["bottle"].any()
    assert {VOC_CLASSES[i] for i in np.flatnonzero(named["sofa"])} == {"chair", "diningtable"}
    assert named["bird"][VOC_CLASSES.index("aeroplane")]


def test_another_engine_than_the_tasks_is_refused(devkit: Path, tmp_path: Path) -> None:
    request = Request(
        task="detection", weights="random", data=devkit, out=tmp_path / "run", engine="mmseg"
    )
    with pytest.raises(InputError, match="--engine mmseg: detection is computed by native, detec"):
        run_transfer(request)
