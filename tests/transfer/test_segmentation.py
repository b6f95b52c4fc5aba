import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.io import savemat
from torch import Tensor, nn

from cebench.config import load_recipe
from cebench.data.images import read_label_image
from cebench.data.ragged import RaggedImages
from cebench.data.sbd import Sbd
from cebench.data.voc import VocYear, voc_palette
from cebench.errors import CebenchError, InputError
from cebench.metrics.segmentation import confusion_matrix, segmentation_scores
from cebench.models.caffenet import preprocess
from cebench.models.fcn import FCN, upscore
from cebench.run_directory import RunDirectory
from cebench.training import train
from cebench.transfer.segmentation.data import (
    LabelledImages,
    SegmentationSet,
    draw,
    find_sets,
    fingerprint,
    load,
    resize_labels,
)
from cebench.transfer.segmentation.pictures import best_median_worst, legend
from cebench.transfer.segmentation.recipe import SegmentationRecipe
from cebench.transfer.segmentation.report import Predictor, write_label_png
from cebench.transfer.segmentation.task import Segmentation, measure
from cebench.transfer.setting import Outcome, Setting
from cebench.weights import random_weights

CPU = torch.device("cpu")
MEAN = (120.0, 120.0, 120.0)
SIZES = {"2008_000001": (96, 128), "2008_000002": (128, 64), "2008_000003": (64, 128)}
IDENTITY = {"run": {"verb": "transfer"}, "recipe": {"tier": "smoke"}}


class ThinFCN(FCN):
    """A few channels at FCN-32s's stride of 32, so that a step takes milliseconds."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 32, stride=32), nn.ReLU())  # type: ignore[assignment]
        self.fc6 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc7 = nn.Conv2d(16, 16, 1)
        self.score_fr = nn.Conv2d(16, 21, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.dropout(F.relu(self.fc7(F.relu(self.fc6(self.trunk(images / 100))))))
        return upscore(self.score_fr(features), 32, *images.shape[-2:], offset=18)


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """VOC2012 with two train images and one val image: the left half is a bright dog.

    SBD's tree beside it has the same photographs.
    """
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for image_id, (height, width) in SIZES.items():
        labels = np.zeros((height, width), dtype=np.uint8)
        labels[:, : width // 2] = 12
        labels[:, width // 2] = 255
        pixels = np.where(labels[:, :, None] == 12, np.uint8(220), np.uint8(30)).repeat(3, axis=2)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{image_id}.jpg", quality=95)
        write_label_png(root / "SegmentationClass" / f"{image_id}.png", labels)
    lists = root / "ImageSets" / "Segmentation"
    ids = list(SIZES)
    for name, members in {"train": ids[:2], "val": ids[2:], "trainval": ids}.items():
        (lists / f"{name}.txt").write_text("".join(f"{i}\n" for i in members))
    return tmp_path / "VOCdevkit"


@pytest.fixture
def sbd(devkit: Path) -> Path:
    voc = VocYear(devkit, 2012)
    dataset = devkit.parent / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls"):
        (dataset / folder).mkdir(parents=True)
    for image_id in SIZES:
        photograph = voc.image_path(image_id).read_bytes()
        (dataset / "img" / f"{image_id}.jpg").write_bytes(photograph)
        labels = voc.segmentation(image_id)
        labels[labels == 255] = 0
        savemat(dataset / "cls" / f"{image_id}.mat", {"GTcls": {"Segmentation": labels}})
    (dataset / "train.txt").write_text("2008_000001\n2008_000002\n")
    (dataset / "val.txt").write_text("2008_000003\n")
    return dataset


def recipe(**changes: object) -> SegmentationRecipe:
    values = {"tier": "smoke", "steps": 2, "accumulate": 3, "learning_rate": 0.01, "log_every": 1}
    return SegmentationRecipe.model_validate({**values, **changes})


def train_data(devkit: Path, short_side: int = 0) -> LabelledImages:
    voc = VocYear(devkit, 2012)
    return load(SegmentationSet("train", voc, tuple(voc.ids("train", "Segmentation"))), short_side)


def program(data: LabelledImages, **changes: object) -> Segmentation:
    return Segmentation(ThinFCN(), data, recipe(**changes), MEAN, 0, CPU)


def train_to(steps: int, subject: Segmentation, run: Path) -> None:
    with RunDirectory(run, IDENTITY) as directory:
        train(
            subject,
            directory,
            label="segmentation",
            steps=steps,
            seed=0,
            data_fingerprint="",
            log_every=1,
            checkpoint_every=1,
        )


def test_stopping_after_a_step_and_continuing_changes_no_bit(devkit: Path, tmp_path: Path) -> None:
    data = train_data(devkit)
    straight, before, after = (program(data) for _ in range(3))
    train_to(2, straight, tmp_path / "straight")
    train_to(1, before, tmp_path / "stopped")
    train_to(2, after, tmp_path / "stopped")
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(tensor, after.network.state_dict()[name]), name
        assert not torch.equal(tensor, before.network.state_dict()[name]), name


def test_a_step_takes_the_mean_gradient_of_its_passes(devkit: Path) -> None:
    subject = program(train_data(devkit), momentum=0, weight_decay=0)
    subject.network.eval()  # Dropout would make the passes differ.
    batch = subject.batch(0)
    assert [image.shape[0] for image, _ in batch] == [1, 1, 1]
    before = {name: p.detach().clone() for name, p in subject.network.named_parameters()}
    gradients = {name: torch.zeros_like(p) for name, p in before.items()}
    for image, labels in batch:
        subject.network.zero_grad()
        scores = subject.network(image)
        F.cross_entropy(scores, labels.long(), ignore_index=255).backward()
        for name, parameter in subject.network.named_parameters():
            gradients[name] += parameter.grad / 3
    subject.update(0, batch)
    for name, parameter in subject.network.named_parameters():
        rate = 0.02 if name == "score_fr.bias" else 0.01
        expected = before[name] - rate * gradients[name]
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-4, atol=1e-6)


def test_crops_are_squares_of_image_and_labels_alike(devkit: Path) -> None:
    data = train_data(devkit)
    labels = data.labels_as_seen()
    pairs = draw(data.images, labels, 40, 32, 0, 3)
    bright = torch.stack([image[:, :, 0] > 125 for image, _ in pairs])
    dogs = torch.stack([labels for _, labels in pairs])
    sure = dogs != 255
    assert bright.shape == dogs.shape == (40, 32, 32)
    assert ((bright == (dogs == 12)) | ~sure).float().mean() > 0.98  # JPEG blurs the border.
    # The dog is on the left of its image, so on the right of a mirrored one.
    edges = [(d[:, 0] == 12).all() != (d[:, -1] == 12).all() for d in dogs]
    left = [bool((d[:, 0] == 12).all()) for d, edge in zip(dogs, edges, strict=True) if edge]
    assert 0 < sum(left) < len(left)
    again = draw(data.images, labels, 40, 32, 0, 3)
    assert all(
        torch.equal(a, b)
        for one, two in zip(pairs, again, strict=True)
        for a, b in zip(one, two, strict=True)
    )
    with pytest.raises(InputError, match="has no crop of 70"):
        draw(data.images, labels, 40, 70, 0, 3)


def test_passes_of_several_crops_take_the_step_of_single_ones(devkit: Path) -> None:
    data, weights = train_data(devkit), []
    for at_once in (1, 4):
        subject = program(data, crop=32, accumulate=4, images_per_pass=at_once)
        subject.network.eval()
        batch = subject.batch(0)
        assert [len(images) for images, _ in batch] == [at_once] * (4 // at_once)
        subject.update(0, batch)
        weights.append(subject.network.fc7.weight.detach())
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)


def test_padding_to_a_multiple_adds_mean_pixels_and_void(devkit: Path) -> None:
    subject, plain = (program(train_data(devkit), size_multiple=m) for m in (100, 1))
    for (image, labels), (bare, bare_labels) in zip(subject.batch(0), plain.batch(0), strict=True):
        height, width = bare_labels.shape[1:]
        assert all(side % 100 == 0 for side in image.shape[-2:])
        assert torch.equal(image[..., :height, :width], bare)
        assert torch.equal(labels[..., :height, :width], bare_labels)
        assert not image[..., height:, :].any()
        assert (labels[..., width:] == 255).all()


def test_scores_of_a_padded_image_are_cut_to_it() -> None:
    image = RaggedImages.from_arrays([np.full((40, 64, 3), 200, np.uint8)]).image(0)
    network = FCN(21, 32, "he", torch.Generator().manual_seed(0)).eval()
    torch.nn.init.normal_(network.head.score_fr.weight, std=0.01)
    padded, plain = (
        Predictor(network, MEAN, CPU, size_multiple=m).scores(image, (40, 64)) for m in (96, 1)
    )
    assert padded.shape == plain.shape
    # Conv layers see zeros behind the border of a map and biases behind that of an image.
    torch.testing.assert_close(padded[:, :8, :8], plain[:, :8, :8], rtol=0.05, atol=0.05)


def test_the_rate_falls_to_a_tenth_and_biases_follow_their_multiplier(devkit: Path) -> None:
    """The schedule and multipliers of richzhang/colorization, a hundred thousandth as long."""
    changes = {"tenth_every": 2, "bias_multiplier": 2, "decay_biases": False}
    subject = program(train_data(devkit), accumulate=1, learning_rate=1e-4, **changes)
    rates = []
    for step in range(5):
        subject.update(step, subject.batch(step))
        rates.append(sorted({group["lr"] for group in subject.sgd.param_groups}))
    assert rates[0] == rates[1] == pytest.approx([1e-4, 2e-4])
    assert rates[2] == rates[3] == pytest.approx([1e-5, 2e-5])
    assert rates[4] == pytest.approx([1e-6, 2e-6])
    biases = {id(p) for n, p in subject.network.named_parameters() if n.endswith("bias")}
    for group in subject.sgd.param_groups:
        undecayed = group["weight_decay"] == 0
        assert all((id(p) in biases) == undecayed for p in group["params"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cuda_graphs": True}, "cuda_graphs=true needs compile=true"),
        ({"images_per_pass": 3}, "needs a crop"),
        ({"images_per_pass": 2, "crop": 32}, "must divide accumulate=3"),
        ({"crop": 65, "short_side": 64}, "crop must be within short_side=64"),
        ({"stride": 4}, "32, 16 or 8"),
    ],
)
def test_options_that_do_not_agree_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


def test_only_the_score_bias_does_not_decay(devkit: Path) -> None:
    subject = program(train_data(devkit))
    decay = {
        id(p): group["weight_decay"] for group in subject.sgd.param_groups for p in group["params"]
    }
    named = dict(subject.network.named_parameters())
    assert {name for name, p in named.items() if decay[id(p)] == 0} == {"score_fr.bias"}
    assert len(decay) == len(named)


def test_images_of_a_step_depend_on_seed_and_step_alone(devkit: Path) -> None:
    data = train_data(devkit)
    one, two = program(data, accumulate=20), program(data, accumulate=20)
    one.batch(0)
    shapes = [[image.shape[-2] for image, _ in subject.batch(5)] for subject in (one, two)]
    assert shapes[0] == shapes[1]
    assert set(shapes[0]) == {96, 128}  # With replacement: 20 draws from two images.


def test_a_loss_that_is_no_number_stops_the_run(devkit: Path, tmp_path: Path) -> None:
    subject = program(train_data(devkit))
    with torch.no_grad():
        subject.network.score_fr.bias[0] = float("nan")
    with pytest.raises(CebenchError, match="step 0: loss is nan"):
        train_to(1, subject, tmp_path / "run")


def three_scenes(side: int = 48) -> tuple[RaggedImages, list[np.ndarray]]:
    """A red dog on the left, a green person below, a blue cat on the right; the rest is grey."""
    rng = np.random.default_rng(0)
    left, low = (np.indices((side, side))[axis] < side // 2 for axis in (1, 0))
    images, labels = [], []
    for label, colour, there in (
        (12, (220, 60, 60), left),
        (15, (60, 220, 60), ~low),
        (8, (60, 60, 220), ~left),
    ):
        pixels = np.where(there[:, :, None], colour, 100) + rng.integers(-20, 21, (side, side, 3))
        images.append(pixels.astype(np.uint8))
        labels.append(np.where(there, label, 0).astype(np.uint8))
    return RaggedImages.from_arrays(images), labels


def test_three_images_are_learned_by_heart_from_a_random_trunk() -> None:
    """FCN-32s at full width and dropout left out: 25 steps of all three, 0.4 s each."""
    images, labels = three_scenes()
    origin = SegmentationSet("three", VocYear.__new__(VocYear), ("a", "b", "c"))
    data = LabelledImages(origin, images, labels)
    chosen = recipe(learning_rate=3e-4, weight_decay=5e-4)
    network = FCN(21, 32, "data", torch.Generator().manual_seed(0))
    network.head.dropout.p = 0
    pixels = preprocess(torch.stack([images.image(i).permute(2, 0, 1) for i in range(3)]), MEAN)
    with torch.no_grad():
        network.head.standardise([network.trunk(pixels)])
    subject = Segmentation(network, data, chosen, MEAN, 0, CPU)
    for step in range(25):
        subject.update(step, [(pixels, torch.from_numpy(np.stack(labels)))])
    predictor = Predictor(network.eval(), MEAN, CPU)
    confusion = sum(
        confusion_matrix(truth, predictor.labels(images.image(i), truth.shape), 21)
        for i, truth in enumerate(labels)
    )
    assert segmentation_scores(np.asarray(confusion)).mean_iou > 0.9


def test_labels_are_resized_to_the_image_without_mixing() -> None:
    labels = np.array([[0, 0, 12, 12], [0, 0, 12, 12], [255, 255, 3, 3], [255, 255, 3, 3]], "uint8")
    assert resize_labels(labels, 2, 2).tolist() == [[0, 12], [255, 3]]
    assert resize_labels(labels, 4, 4) is labels
    large = resize_labels(
        np.random.default_rng(0).choice([0, 20, 255], (50, 70)).astype("uint8"), 33, 46
    )
    assert large.shape == (33, 46)
    assert set(np.unique(large)) <= {0, 20, 255}


def test_the_network_sees_resized_images_and_labels_of_one_size(devkit: Path) -> None:
    data = train_data(devkit, short_side=24)
    assert [tuple(labels.shape) for labels in data.labels_as_seen()] == [(24, 32), (48, 24)]
    assert [labels.shape for labels in data.labels] == [(96, 128), (128, 64)]
    subject = program(data)
    for image, labels in subject.batch(0):
        assert image.shape[-2:] == labels.shape[-2:]


def test_predictions_have_the_size_of_the_truth_whatever_the_network_sees() -> None:
    image = RaggedImages.from_arrays([np.full((40, 64, 3), 200, np.uint8)]).image(0)
    labels = Predictor(ThinFCN().eval(), MEAN, CPU).labels(image, (75, 120))
    assert labels.shape == (75, 120)


@pytest.mark.parametrize(("train_set", "test_set"), [("trainval", "val"), ("train", "train")])
def test_sets_that_share_an_image_are_refused(devkit: Path, train_set: str, test_set: str) -> None:
    with pytest.raises(InputError, match="share"):
        find_sets(devkit, 2012, "voc", train_set, test_set, 0)


def test_a_part_of_an_overlapping_test_set_is_refused_too(devkit: Path) -> None:
    with pytest.raises(InputError, match="share 2 images"):
        find_sets(devkit, 2012, "voc", "train", "trainval", 1)


def test_labels_of_segmentation_class_aug_come_first_for_aug(devkit: Path) -> None:
    extra = devkit / "VOC2012" / "SegmentationClassAug"
    extra.mkdir()
    write_label_png(extra / "2008_000001.png", np.full((96, 128), 7, np.uint8))
    found = {kind: find_sets(devkit, 2012, kind, "train", "val", 0)[0] for kind in ("voc", "aug")}
    assert {kind: int(part.labels(0)[0, 0]) for kind, part in found.items()} == {
        "voc": 12,
        "aug": 7,
    }
    np.testing.assert_array_equal(found["aug"].labels(1), found["voc"].labels(1))
    assert fingerprint(found["aug"], found["voc"]) != fingerprint(found["voc"], found["voc"])


def test_the_set_without_sbds_photographs_may_be_scored_after_learning_sbd(
    devkit: Path, sbd: Path
) -> None:
    with pytest.raises(InputError, match="share 2 images"):
        find_sets(devkit, 2012, "sbd", "train", "trainval", 0)
    (devkit / "VOC2012/ImageSets/Segmentation/val.txt").write_text("".join(f"{i}\n" for i in SIZES))
    _, test = find_sets(devkit, 2012, "sbd", "train", "val_without_sbd", 0)
    assert test.ids == ("2008_000003",)


def test_voc2007_ids_are_known_by_their_later_names(tiny_voc: Path, sbd: Path) -> None:
    # Both trees lie in one folder; 000001 of VOC2007 is 2007_000001 in SBD.
    (sbd / "train.txt").write_text("2007_000001\n")
    with pytest.raises(InputError, match="2007_000001"):
        find_sets(tiny_voc, 2007, "sbd", "train", "val", 0)


def test_sbd_is_found_beside_the_devkit(devkit: Path, sbd: Path) -> None:
    for data in (devkit, devkit.parent, devkit / "VOC2012"):
        train_set, test_set = find_sets(data, 2012, "sbd", "train", "val", 0)
        assert isinstance(train_set.source, Sbd)
        assert train_set.ids == ("2008_000001", "2008_000002")
        assert test_set.ids == ("2008_000003",)
    assert load(train_set, 0).labels[0].tolist()[0] == [12] * 64 + [0] * 64


def test_missing_sbd_says_where_it_was_looked_for(devkit: Path) -> None:
    with pytest.raises(InputError, match=r"benchmark_RELEASE.*beside the VOCdevkit"):
        find_sets(devkit, 2012, "sbd", "train", "val", 0)


def test_a_label_image_of_another_size_is_named(devkit: Path) -> None:
    wrong = devkit / "VOC2012" / "SegmentationClass" / "2008_000002.png"
    write_label_png(wrong, np.zeros((20, 30), np.uint8))
    with pytest.raises(InputError, match=r"2008_000002\.png is 30 x 20 but its photograph"):
        train_data(devkit)


def test_the_fingerprint_knows_labels_and_roles(devkit: Path) -> None:
    sets = find_sets(devkit, 2012, "voc", "train", "val", 0)
    first = fingerprint(*sets)
    assert fingerprint(sets[1], sets[0]) != first
    label_file = sets[1].label_files()[0]
    labels = read_label_image(label_file)
    labels[0, 0] = 1
    write_label_png(label_file, labels)
    assert fingerprint(*sets) != first


def test_test_images_are_spread_over_the_list(tmp_path: Path, devkit: Path) -> None:
    everything = tmp_path / "list.txt"
    everything.write_text("".join(f"2009_{i:06d}\n" for i in range(10)))
    _, part = find_sets(devkit, 2012, "voc", "train", str(everything), 3)
    assert part.ids == ("2009_000000", "2009_000003", "2009_000006")


def run_measure(devkit: Path, run: Path) -> Outcome:
    chosen = recipe(steps=1, accumulate=2, short_side=32)
    with RunDirectory(run, IDENTITY) as directory:
        setting = Setting(run=directory, weights=random_weights(0), data=devkit, seed=0, device=CPU)
        return measure(chosen, setting)


def test_the_stored_predictions_score_as_recorded(devkit: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = run_measure(devkit, run)
    assert [m.metric for m in outcome.measurements] == [
        "mean_iou",
        "pixel_accuracy",
        "mean_accuracy",
        "frequency_weighted_iou",
    ]
    assert {(m.column, m.count, m.unit) for m in outcome.measurements} == {
        ("segmentation", 1, "fraction")
    }
    files = sorted((run / "predictions").iterdir())
    assert [file.name for file in files] == ["2008_000003.png"]
    with Image.open(files[0]) as stored:
        assert stored.getpalette() == voc_palette().ravel().tolist()
    truth = VocYear(devkit, 2012).segmentation("2008_000003")
    scores = segmentation_scores(confusion_matrix(truth, read_label_image(files[0]), 21))
    for measurement in outcome.measurements:
        assert measurement.value == getattr(scores, measurement.metric)
    with (run / "per_class.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows][:2] == ["background", "aeroplane"]
    assert float(rows[12]["iou"]) == scores.iou[12]
    assert (run / "samples" / "segmentation.png").is_file()
    assert (run / "curves.png").is_file()
    assert (run / "confusion.png").is_file()


def test_pictures_show_three_of_the_best_median_and_worst_once_each() -> None:
    values = np.array([0.1, np.nan, 0.9, 0.5, 0.8, 0.2, 0.4, 0.6, 0.3, 0.7])
    assert best_median_worst(values) == [
        *[("best", 2), ("best", 4), ("best", 9)],
        *[("median", 7), ("median", 3), ("median", 6)],
        *[("worst", 8), ("worst", 5), ("worst", 0)],
    ]
    assert best_median_worst(np.array([0.5])) == [("best", 0)]
    assert best_median_worst(np.array([0.2, 0.7])) == [("best", 1), ("worst", 0)]
    assert best_median_worst(np.array([np.nan])) == []


def test_the_legend_has_a_swatch_of_every_class_of_either_image() -> None:
    truth, guess = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth[:5], guess[:, :3] = 15, 255
    swatches = legend(truth, guess)[6::18, 5]
    assert swatches.tolist() == voc_palette()[[0, 15, 255]].tolist()


@pytest.mark.parametrize("tier", ["smoke", "short", "paper"])
def test_the_recipes_are_valid(tier: str) -> None:
    loaded, _ = load_recipe(SegmentationRecipe, "cebench.transfer", "segmentation", tier)
    assert loaded.tier == tier


def test_the_paper_recipe_is_the_published_schedule() -> None:
    loaded, _ = load_recipe(SegmentationRecipe, "cebench.transfer", "segmentation", "paper")
    assert (loaded.steps, loaded.accumulate, loaded.learning_rate) == (100_000, 20, 1e-4)
    assert (loaded.momentum, loaded.weight_decay, loaded.short_side) == (0.9, 5e-4, 0)
    assert (loaded.train_data, loaded.train_set, loaded.test_set) == ("sbd", "train", "seg11valid")
    assert loaded.test_images == 0
