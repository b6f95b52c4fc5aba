import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from layer_scales import spread_of_rates
from PIL import Image
from power_cuts import power_cut

from cebench.config import load_recipe
from cebench.data.overlap import PhotoIdentities, identify
from cebench.data.photos import Photo
from cebench.data.store.ragged import RaggedImages
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.models.caffenet import CaffeNetTrunk
from cebench.models.label_network import LabelNetwork
from cebench.models.parameter_groups import scale_rates
from cebench.pretrain import sources
from cebench.pretrain.crops import Crops
from cebench.pretrain.imagenet import (
    ImagenetClassification,
    _caffes_fc,
    central_crops,
    inputs,
    top_k_accuracy,
)
from cebench.pretrain.options.imagenet import ImagenetRecipe
from cebench.pretrain.run import Request, run_pretraining
from cebench.pretrain.run_context import DataOptions
from cebench.pretrain.sources import load_source
from cebench.reporting.records import load_record
from cebench.weights.files import FC_TENSORS, load_weights
from cebench.weights.loading import load_trunk

CPU = torch.device("cpu")
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
QUICK = (
    "steps=4",
    "batch_size=3",
    "held_out_images=2",
    "checkpoint_every=2",
    "log_every=1",
    "side=227",
    "short_side=256",
    "init=caffenet",
    "units=8",
    "optimizer=sgd",
    "warmup_steps=0",
    "batch_norm=false",
    "input_divisor=1",
)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A folder per colour, two images in each."""
    for name, colour in COLOURS.items():
        (tmp_path / "classes" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (40, 30), colour).save(
                tmp_path / "classes" / name / f"{name}{number}.png"
            )
    return tmp_path / "classes"


def request(data: Path, out: Path, *changes: str) -> Request:
    return Request(
        method="imagenet", data=(data,), out=out, recipe="smoke", changes=(*QUICK, *changes)
    )


def recipe(*changes: str) -> ImagenetRecipe:
    return load_recipe(ImagenetRecipe, "cebench.pretrain", "imagenet", "smoke", changes)[0]


def program(*changes: str) -> ImagenetClassification:
    """Three grey images of classes 2, 0 and 1, none held out."""
    images = [np.full((240, 230, 3), shade, np.uint8) for shade in (20, 120, 220)]
    crops = Crops(RaggedImages.from_arrays(images), 227, 0, 0, CPU)
    return ImagenetClassification(crops, np.array([2, 0, 1]), 3, recipe(*QUICK, *changes))


@pytest.mark.slow
def test_a_run_leaves_a_trunk_a_classifier_and_its_accuracy(folders: Path, tmp_path: Path) -> None:
    path = run_pretraining(request(folders, tmp_path / "run"))
    weights, model = load_weights(path), load_weights(path.with_name("model.safetensors"))
    assert weights.sidecar.method == "imagenet"
    assert model.sidecar.architecture == "caffenet-classifier"
    factors = weights.tensors["conv1.weight"] / model.tensors["trunk.conv1.weight"]
    assert factors.std() < 1e-5 * factors.mean()
    assert spread_of_rates(weights.tensors) < 3
    assert len(load_trunk(CaffeNetTrunk(), weights).matched) == 10
    assert not set(FC_TENSORS) & set(weights.tensors)  # Few units: not the reference net's.
    accuracy = json.loads((tmp_path / "run" / "accuracy.json").read_text())
    assert accuracy["classes"] == sorted(COLOURS)
    assert (accuracy["step"], accuracy["images"], accuracy["top5"]) == (4, 2, 1.0)
    assert set(accuracy["chance"]) == {"top1", "top5"}
    assert accuracy["top1"] in (0.0, 0.5, 1.0)
    assert (tmp_path / "run" / "curves.png").exists()


def test_chance_is_the_most_frequent_classes_learned_from() -> None:
    """Of seven classes the first has most; classes 5 and 6 are not among the five most frequent."""
    images = [np.full((130, 130, 3), 9, np.uint8) for _ in range(44)]
    crops = Crops(RaggedImages.from_arrays(images), 115, 22, 0, CPU)
    labels = np.zeros(44, np.int64)
    labels[crops.training] = np.repeat(np.arange(7), (6, 4, 4, 3, 3, 1, 1))
    labels[crops.held_out] = np.arange(22) % 11 % 7  # Twice 0 to 6 and once more 0 to 3.
    trained = ImagenetClassification(crops, labels, 7, recipe("batch_size=3", "units=8"))
    # 4 of 22 have class 0; 4 have 5 or 6.
    assert trained.chance() == pytest.approx({"top1": 4 / 22, "top5": 18 / 22})


def test_fc6_and_fc7_of_the_reference_nets_shapes_go_with_the_trunk() -> None:
    network = LabelNetwork(3, torch.Generator().manual_seed(0))
    model = network.state_dict()
    found = _caffes_fc(model)
    assert list(found) == list(FC_TENSORS)
    assert torch.equal(found["fc6.weight"], network.fc6.weight)
    assert not _caffes_fc({**model, "fc6.weight": torch.zeros(4096, 2304)})


@pytest.mark.slow
def test_a_broken_off_run_ends_with_the_same_bytes(folders: Path, tmp_path: Path) -> None:
    straight = run_pretraining(request(folders, tmp_path / "straight"))
    with power_cut(ImagenetClassification, 3):
        run_pretraining(request(folders, tmp_path / "run"))
    resumed = run_pretraining(request(folders, tmp_path / "run"))
    assert sha256_of(resumed) == sha256_of(straight)


def test_labels_follow_their_images_through_every_batch() -> None:
    trained = program()
    class_of_shade = {20: 2, 120: 0, 220: 1}
    for step in range(4):
        batch = trained.batch(step)
        assert batch.images.shape == (3, 3, 227, 227)
        shades = batch.images[:, 0, 0, 0].tolist()
        assert batch.labels.tolist() == [class_of_shade[shade] for shade in shades]


def test_loss_is_the_mean_softmax_cross_entropy() -> None:
    """Zero weights and biases 0, ln 2, ln 5: the classes have 1/8, 2/8 and 5/8."""
    trained = program()
    with torch.no_grad():
        trained.network.fc8.weight.zero_()
        trained.network.fc8.bias.copy_(torch.tensor([0, math.log(2), math.log(5)]))
    loss = trained.loss(torch.zeros(3, 3, 227, 227, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    assert loss.item() == pytest.approx((math.log(8) + math.log(4) + math.log(8 / 5)) / 3)


def test_rates_and_decay_are_caffes() -> None:
    trained = program("tenth_every=2", "learning_rate=0.01")
    weights, biases = trained.optimizer.param_groups
    assert (weights["weight_decay"], biases["weight_decay"]) == (5e-4, 0)
    assert {parameter.dim() for parameter in biases["params"]} == {1}
    rates = []
    for step in range(4):
        trained.update(step, trained.batch(step))
        assert biases["lr"] == 2 * weights["lr"]
        rates.append(weights["lr"])
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_top_k_counts_images_whose_class_is_among_the_best() -> None:
    scores = torch.tensor([[3.0, 2, 1, 0], [0, 1, 2, 3], [0, 3, 2, 1]])
    labels = torch.tensor([0, 1, 2])
    assert [top_k_accuracy(scores, labels, k) for k in (1, 2, 3, 5)] == pytest.approx(
        [1 / 3, 2 / 3, 1, 1]
    )


def test_central_crops_are_the_middle_as_it_stands() -> None:
    image = np.arange(231 * 240 * 3, dtype=np.uint32).astype(np.uint8).reshape(231, 240, 3)
    crops = Crops(RaggedImages.from_arrays([image, image]), 227, 1, 0, CPU)
    (crop,) = central_crops(crops, np.array([1]))
    np.testing.assert_array_equal(crop.permute(1, 2, 0).numpy(), image[2:229, 6:233])


@pytest.mark.parametrize("layout", ["flat", "one class"])
def test_images_without_at_least_two_class_folders_are_a_mistake(
    layout: str, folders: Path, tmp_path: Path
) -> None:
    data = folders / "red" if layout == "flat" else tmp_path / "one"
    if layout == "one class":
        (folders / "red").rename((data.mkdir(), data / "red")[1])
    with pytest.raises(InputError, match="imagenet learns labels") as caught:
        run_pretraining(request(data, tmp_path / "run"))
    assert "\n" not in str(caught.value)


def test_a_class_of_one_image_is_a_mistake(folders: Path, tmp_path: Path) -> None:
    (folders / "green" / "green1.png").unlink()
    with pytest.raises(InputError, match="class folder 'green' has one image") as caught:
        run_pretraining(request(folders, tmp_path / "run"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_an_image_in_another_class_is_other_data(folders: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (9, 9, 9)).save(folders / "red" / "grey.png")
    small = ("steps=1", "side=115", "short_side=115")
    run_pretraining(request(folders, tmp_path / "run", *small))
    stored = load_record(tmp_path / "run" / "record.json").data.fingerprint
    assert inputs(recipe(*small), DataOptions(data=(folders,))).fingerprint() == stored
    (folders / "red" / "grey.png").rename(folders / "blue" / "grey.png")
    with pytest.raises(InputError, match="finished on other data"):
        run_pretraining(request(folders, tmp_path / "run", *small))


def test_each_photo_is_compared_with_the_excluded_ones_once(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "others").mkdir()
    Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / "others" / "grey.png")
    decoded: list[int] = []

    def counted(photos: Sequence[Photo]) -> PhotoIdentities:
        decoded.append(len(photos))
        return identify(photos)

    monkeypatch.setattr(sources, "identify", counted)
    given = DataOptions(data=(folders,), exclude=(tmp_path / "others",))
    assert inputs(recipe(), given).count == 6
    assert sorted(decoded) == [1, 6]


@pytest.mark.slow
def test_grey_images_are_learned_from_as_grey_colours(folders: Path, tmp_path: Path) -> None:
    """Tiny-ImageNet has JPEG files of one channel."""
    Image.new("L", (64, 64), 90).save(folders / "red" / "grey.jpg")
    run_pretraining(request(folders, tmp_path / "run", "steps=1"))
    images = load_source((folders,), (), "train", 227).images
    grey = [images.image(number) for number in range(len(images))]
    assert any((image == 90).all() for image in grey)


def test_adamw_has_one_rate_that_warms_up_and_falls() -> None:
    changes = ("optimizer=adamw", "steps=10", "warmup_steps=2", "decay_from=0.5", "final_rate=0.1")
    trained = program(*changes, "learning_rate=1", "tenth_every=100")
    weights, biases = trained.optimizer.param_groups
    rates = []
    for step in range(10):
        scale_rates(trained.optimizer, trained._rate_factor(step))
        assert biases["lr"] == weights["lr"]
        rates.append(weights["lr"])
    # Step 5 of 10 is the first after half of the steps: 1 - 0.9 * (step - 5) / 5.
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.82, 0.64, 0.46, 0.28])


@pytest.mark.slow
def test_at_115_px_the_trunk_is_the_same_and_the_model_folds(folders: Path, tmp_path: Path) -> None:
    path = run_pretraining(
        Request(
            method="imagenet",
            data=(folders,),
            out=tmp_path / "run",
            recipe="smoke",
            changes=("steps=2", "batch_size=3", "held_out_images=2", "weights_at=[1]"),
        )
    )
    trunk = load_weights(path).tensors
    assert CaffeNetTrunk().load_state_dict(trunk)
    model = load_weights(path.with_name("model.safetensors"))
    assert model.sidecar.preprocessing.side == 115
    assert model.tensors["fc6.weight"].shape == (256, 256 * 3 * 3)
    kept = load_weights(tmp_path / "run" / "weights-1.safetensors")
    assert (kept.sidecar.steps, kept.sidecar.method) == (1, "imagenet")
    assert not torch.equal(kept.tensors["conv3.weight"], trunk["conv3.weight"])


def test_paper_recipe_is_the_reference_solvers() -> None:
    paper, _ = load_recipe(ImagenetRecipe, "cebench.pretrain", "imagenet", "paper")
    assert (paper.steps, paper.batch_size, paper.tenth_every) == (450_000, 256, 100_000)
    assert (paper.learning_rate, paper.momentum, paper.weight_decay) == (0.01, 0.9, 5e-4)
    assert (paper.init, paper.optimizer, paper.units, paper.side) == ("caffenet", "sgd", 4096, 227)
    assert (paper.batch_norm, paper.input_divisor, paper.warmup_steps) == (False, 1, 0)
    assert paper.decay_from == 1


def test_he_start_lets_the_scores_depend_on_the_image() -> None:
    images = [np.full((240, 230, 3), shade, np.uint8) for shade in (20, 120, 220)]
    crops = Crops(RaggedImages.from_arrays(images), 227, 0, 0, CPU)
    spreads = []
    for init in ("he", "caffenet"):
        trained = ImagenetClassification(crops, np.arange(3), 3, recipe(*QUICK, f"init={init}"))
        trained.network.eval()
        with torch.no_grad():
            scores = trained.scores(central_crops(crops, np.arange(3)))
        spreads.append((scores.std(0).mean() / scores.abs().mean()).item())
    assert spreads[0] > 5 * spreads[1]
