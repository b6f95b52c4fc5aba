from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import CPU, RECIPE, jittered, open_run, write_devkit
from rescoring import assert_rescored
from safetensors.torch import load_file

from cebench.data.proposals.files import Proposals, load_proposals, save_proposals
from cebench.data.voc.devkit import VOC_CLASSES, VocYear
from cebench.data.voc.results import read_detection_files
from cebench.errors import InputError
from cebench.metrics.detection import Detections, detection_scores, stack_objects
from cebench.models.box_coding import box_target_statistics
from cebench.models.fast_rcnn import FastRCNN
from cebench.models.roi_sampling import label_rois, network_rois
from cebench.training.loop import Schedule, train
from cebench.transfer.detection import task
from cebench.transfer.detection.data import DetectionSet, find_images, flip_boxes, read_set
from cebench.transfer.detection.prediction import candidates, classify, predict, suppress
from cebench.transfer.detection.recipe import DetectionRecipe
from cebench.transfer.detection.task import Detection, measure, target_statistics
from cebench.transfer.run import Request, run_transfer
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import random_weights


def run(recipe: DetectionRecipe, devkit: Path, path: Path) -> Outcome:
    with open_run(path) as opened:
        return measure(
            recipe,
            RunContext(run=opened, weights=random_weights(0), data=devkit, seed=0, device=CPU),
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
    assert_rescored(outcome, images=3)
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
            schedule = Schedule(
                label="detection",
                steps=steps,
                seed=0,
                data_fingerprint="toy",
                log_every=1,
                checkpoint_every=100,
            )
            train(Detection(network, data, boxes, RECIPE, 0, CPU), opened, schedule)
            losses = [line["loss"] for line in opened.metrics()]
    return network, losses


@pytest.mark.slow
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


@pytest.mark.long
def test_three_images_are_learned_by_heart(devkit: Path, tmp_path: Path) -> None:
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
        parts=tmp_path,
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


@pytest.mark.slow
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


def test_a_step_without_any_region_changes_no_weight_and_loses_nothing(tiny_voc: Path) -> None:
    """Both images show difficult objects only: neither foreground nor background."""
    voc = VocYear(tiny_voc, 2007)
    annotations = tuple(
        replace(annotation, difficult=np.ones_like(annotation.difficult))
        for annotation in map(voc.annotation, voc.ids("train"))
    )
    data = DetectionSet(voc, tuple(voc.ids("train")), annotations)
    recipe = RECIPE.model_copy(update={"train_difficult": False, "weight_decay": 0.0})
    boxes = [np.array([[0, 0, 20, 30], [4, 4, 40, 44]], np.float32)] * 2
    program = Detection(FastRCNN(), data, boxes, recipe, 0, CPU)
    before = [parameter.clone() for parameter in program.network.parameters()]
    batch = program.batch(0)
    assert (len(batch.images), len(batch.rois), len(batch.labels)) == (2, 0, 0)
    losses = program.update(0, batch)
    assert {name: float(value) for name, value in losses.items()} == {
        "loss": 0,
        "class_loss": 0,
        "box_loss": 0,
    }
    assert all(map(torch.equal, program.network.parameters(), before))


def test_each_training_image_draws_one_of_the_scales(devkit: Path) -> None:
    voc = VocYear(devkit, 2007)
    data = read_set(voc, "train", voc.ids("train"))
    recipe = RECIPE.model_copy(update={"scales": (40, 80, 160), "images_per_step": 1})
    nothing = [np.zeros((0, 4), np.float32)] * 3
    program = Detection(FastRCNN(), data, nothing, recipe, 0, CPU)
    sides = [program.batch(step).images.shape[2] for step in range(24)]
    assert set(sides) == {40, 80, 160}
    assert sides == [program.batch(step).images.shape[2] for step in range(24)]


def test_a_truncated_photograph_is_named_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devkit = write_devkit(tmp_path / "VOCdevkit")
    voc = VocYear(devkit, 2007)
    boxes = {image_id: np.array([[0, 0, 50, 60]], np.float32) for image_id in voc.ids("all")}
    file = tmp_path / "boxes.safetensors"
    save_proposals(file, Proposals("by hand", boxes))
    for image_id in ("000011", "000012"):
        path = voc.image_path(image_id)
        path.write_bytes(path.read_bytes()[:-400])
    monkeypatch.setattr(task, "train", lambda *_, **__: pytest.fail("trained"))
    for source in ("fast", str(file)):
        with pytest.raises(InputError, match=r"000011\.jpg is truncated or damaged"):
            run(RECIPE.model_copy(update={"proposals": source}), devkit, tmp_path / "run")


def test_a_dry_run_checks_the_file_of_proposals(devkit: Path, tmp_path: Path) -> None:
    file = tmp_path / "boxes.safetensors"
    recipe = RECIPE.model_copy(update={"proposals": str(file)})
    ids = VocYear(devkit, 2007).ids("all")
    with pytest.raises(InputError, match="is no file; expected fast, quality or"):
        find_images(recipe, devkit)
    for known, side, message in ((ids[:-1], 60, "no proposals for 1 of 6"), (ids, 90, "reach out")):
        boxes = {image_id: np.array([[0, 0, side, side]], np.float32) for image_id in known}
        save_proposals(file, Proposals("by hand", boxes))
        with pytest.raises(InputError, match=message):
            find_images(recipe, devkit)


def test_name_and_hash_of_the_proposals_are_part_of_the_outcome(
    measured: tuple[Path, Outcome],
) -> None:
    path, outcome = measured
    (file,) = path.parent.glob("proposals-*.safetensors")
    proposals = load_proposals(file)
    assert outcome.proposals == f"{proposals.name} {proposals.sha256}"
    assert proposals.name == "selective-search-fast-k50,100-min8"


def test_another_engine_than_the_tasks_is_refused(devkit: Path, tmp_path: Path) -> None:
    request = Request(
        task="detection", weights="random", data=devkit, out=tmp_path / "run", engine="mmseg"
    )
    with pytest.raises(InputError, match="--engine mmseg: detection is computed by native, detec"):
        run_transfer(request)
