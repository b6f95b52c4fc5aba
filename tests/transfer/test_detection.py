import heapq
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cebench.config import load_recipe
from cebench.data.voc import VOC_CLASSES, VocYear
from cebench.data.voc_results import read_detection_files
from cebench.errors import InputError
from cebench.metrics.detection import Detections, detection_scores, stack_objects
from cebench.models.box_coding import box_target_statistics
from cebench.models.fast_rcnn import FastRCNN
from cebench.models.roi_sampling import label_rois, network_rois
from cebench.run_directory import RunDirectory
from cebench.training import train
from cebench.transfer.detection import Detection, DetectionRecipe, measure, target_statistics
from cebench.transfer.detection_data import (
    flip_boxes,
    network_image,
    proposals_of,
    read_set,
    stack_images,
    subset,
)
from cebench.transfer.detection_prediction import (
    Found,
    best,
    candidates,
    cap_classes,
    classify,
    suppress,
)
from cebench.transfer.setting import Outcome, Setting
from cebench.weights import random_weights

CPU = torch.device("cpu")
COLOURS = {"car": (200, 30, 30), "dog": (30, 60, 220)}
# Objects of each image, half-open; the last image of each set shows nothing and has no proposal.
SCENES = {
    "000001": [("car", (10, 12, 60, 50))],
    "000002": [("dog", (40, 20, 90, 70)), ("car", (4, 50, 34, 76))],
    "000003": [],
    "000011": [("car", (12, 12, 62, 50))],
    "000012": [("dog", (38, 20, 88, 70))],
    "000013": [],
}
RECIPE = DetectionRecipe(
    tier="smoke",
    train_set="train",
    test_set="test",
    proposal_min_side=8,
    short_side=80,
    rois_per_image=16,
    steps=2,
    log_every=1,
)


def write_devkit(devkit: Path) -> Path:
    """Rectangles of one colour per class on a plain ground, 80 x 100 pixels."""
    root = devkit / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for image_id, objects in SCENES.items():
        pixels = np.full((80, 100, 3), 120, np.uint8)
        text = "<annotation><size><width>100</width><height>80</height></size>"
        for name, (x0, y0, x1, y1) in objects:
            pixels[y0:y1, x0:x1] = COLOURS[name]
            text += (
                f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x0 + 1}</xmin>"
                f"<ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            )
        Image.fromarray(pixels).save(
            root / "JPEGImages" / f"{image_id}.jpg", quality=95, subsampling=0
        )
        (root / "Annotations" / f"{image_id}.xml").write_text(f"{text}</annotation>")
    ids = list(SCENES)
    for name, members in {"train": ids[:3], "test": ids[3:], "all": ids, "bare": ids[2:3]}.items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(members))
    return devkit


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_devkit(tmp_path_factory.mktemp("toy") / "VOCdevkit")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def network() -> FastRCNN:
    return FastRCNN(generator=torch.Generator().manual_seed(0)).eval()


def open_run(path: Path) -> RunDirectory:
    return RunDirectory(path, {"run": {"test": "detection"}})


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
    for name in ("curves.png", "samples/detections.png", "per_class.csv"):
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


def jittered(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Forty proposals about each box."""
    moved = np.repeat(boxes, 40, axis=0) + rng.integers(-18, 19, (40 * len(boxes), 4))
    moved[:, :2] = moved[:, :2].clip(0)
    moved[:, 2:] = moved[:, 2:].clip(moved[:, :2] + 4, [100, 80])
    return moved.astype(np.float32)


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
    settings = {"mode": "fast", "min_side": 5, "limit": 0}
    found = proposals_of(voc, ["000001", "000003"], tmp_path, max_side=50, **settings)
    boxes = found.boxes["000001"]
    truth = voc.annotation("000001").boxes[0]
    assert np.abs(boxes - truth).max(axis=1).min() <= 2
    assert len(list(tmp_path.glob("proposals-*.safetensors"))) == 1
    again = proposals_of(voc, ["000001", "000003"], tmp_path, max_side=50, **settings)
    assert again.sha256 == found.sha256
    first = proposals_of(voc, ["000001"], tmp_path, max_side=50, **{**settings, "limit": 1})
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


@pytest.mark.parametrize("tier", ["smoke", "short", "paper"])
def test_recipes_are_valid_and_name_their_tier(tier: str) -> None:
    recipe, name = load_recipe(DetectionRecipe, "cebench.transfer", "detection", tier)
    assert name == f"detection-{tier}"
    assert recipe.tier == tier


def test_paper_recipe_uses_every_image_proposal_and_pixel() -> None:
    recipe, _ = load_recipe(DetectionRecipe, "cebench.transfer", "detection", "paper")
    reductions = (recipe.train_images, recipe.test_images, recipe.proposal_max_side)
    assert (*reductions, recipe.max_proposals) == (0, 0, 0, 0)
    assert (recipe.short_side, recipe.max_side, recipe.rois_per_image) == (600, 1000, 64)
