import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cebench.config import load_recipe
from cebench.data.ragged import RaggedImages
from cebench.data.voc import VOC_CLASSES
from cebench.errors import CebenchError, InputError
from cebench.metrics.average_precision import multilabel_scores
from cebench.randomness import numpy_generator
from cebench.run_directory import RunDirectory
from cebench.transfer.classification import (
    Classification,
    ClassificationRecipe,
    LabelledImages,
    measure,
    random_scale_crops,
)
from cebench.transfer.setting import Outcome, Setting
from cebench.weights import random_weights


def recipe(**changes: object) -> ClassificationRecipe:
    values = {
        "tier": "smoke", "train_set": "train", "test_set": "val", "steps": 2, "batch_size": 2,
        "test_crops": 2, "log_every": 1, "checkpoint_every": 1,
    }  # fmt: skip
    return ClassificationRecipe.model_validate({**values, **changes})


def run(chosen: ClassificationRecipe, devkit: Path, out: Path, seed: int = 0) -> Outcome:
    with RunDirectory(out, {"recipe": chosen.model_dump()}) as directory:
        setting = Setting(
            run=directory,
            weights=random_weights(0),
            data=devkit,
            seed=seed,
            device=torch.device("cpu"),
        )
        return measure(chosen, setting)


@pytest.fixture
def devkit(tiny_voc: Path) -> Path:
    """The tiny VOC2007 with one more image, 000004, that shows a dog; val = 000003 000004."""
    root = tiny_voc / "VOC2007"
    pixels = np.random.default_rng(4).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "JPEGImages" / "000004.jpg")
    lists = root / "ImageSets" / "Main"
    with (lists / "val.txt").open("a") as file:
        file.write("000004\n")
    for name in VOC_CLASSES:
        with (lists / f"{name}_val.txt").open("a") as file:
            file.write(f"000004 {1 if name == 'dog' else -1}\n")
    return tiny_voc


def test_it_measures_stores_predictions_and_they_score_the_same(
    devkit: Path, tmp_path: Path
) -> None:
    outcome = run(recipe(), devkit, tmp_path / "run")
    measured = {m.metric: m.value for m in outcome.measurements}
    assert {m.column for m in outcome.measurements} == {"classification"}
    assert {m.count for m in outcome.measurements} == {2}
    with (tmp_path / "run" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["000003", "000004"]
    scores = np.array([[float(row[name]) for name in VOC_CLASSES] for row in rows])
    labels = np.full((2, 20), -1)
    labels[1, VOC_CLASSES.index("dog")] = 1
    assert multilabel_scores(scores, labels).mean_ap_sklearn == measured["mean_ap_sklearn"]
    # One positive of two images: ranked first its AP is 1, ranked last 1/2.
    assert measured["mean_ap_sklearn"] in (0.5, 1.0)
    per_class = (tmp_path / "run" / "per_class.csv").read_text().splitlines()
    assert len(per_class) == 21
    assert per_class[1 + VOC_CLASSES.index("dog")].startswith("dog,1,")


def test_a_broken_off_run_scores_the_same_bits(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe(), devkit, tmp_path / "straight")
    step = Classification.update

    def breaks_at_step_1(program: Classification, number: int, batch: object) -> object:
        if number == 1:
            raise CebenchError("power cut")
        return step(program, number, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "update", breaks_at_step_1)
        with pytest.raises(CebenchError, match="power cut"):
            run(recipe(), devkit, tmp_path / "run")
    run(recipe(), devkit, tmp_path / "run")
    both = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("straight", "run")]
    assert both[0] == both[1]


def test_sets_that_share_an_image_are_refused(devkit: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train set trainval and test set test share 3 images"):
        run(recipe(train_set="trainval", test_set="test"), devkit, tmp_path / "run")


def test_a_test_set_without_any_object_is_refused(tiny_voc: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image shows an object"):
        run(recipe(), tiny_voc, tmp_path / "run")


def test_the_fingerprint_follows_pixels_labels_and_lists(devkit: Path, tmp_path: Path) -> None:
    plain = run(recipe(steps=1), devkit, tmp_path / "a").data_fingerprint
    assert run(recipe(steps=1), devkit, tmp_path / "b", seed=1).data_fingerprint == plain
    labels = devkit / "VOC2007" / "ImageSets" / "Main" / "cat_val.txt"
    labels.write_text(labels.read_text().replace("000003 -1", "000003 1"))
    assert run(recipe(steps=1), devkit, tmp_path / "c").data_fingerprint != plain


def gradient_image(height: int, width: int) -> np.ndarray:
    """Red is the row, green the column: a crop tells where it comes from."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    return image


def test_crops_have_the_recovered_geometry() -> None:
    """Scale uniform in [0.5, min(2, side / 227)], inside the image, mirrored half of the time."""
    height, width, count = 240, 250, 400
    images = RaggedImages.from_arrays([gradient_image(height, width)])
    crops = random_scale_crops(
        images, np.zeros(count, np.int64), (0.5, 2.0), numpy_generator(0, "t")
    )
    assert crops.shape == (count, 3, 227, 227)
    red, green = crops[:, 0, :, 113], crops[:, 1, 113]
    scale = (red[:, -1] - red[:, 0]) / 226
    largest = 240 / 227
    assert scale.min() > 0.49
    assert scale.max() < largest + 0.01
    assert scale.mean() == pytest.approx((0.5 + largest) / 2, abs=0.03)
    mirrored = green[:, -1] < green[:, 0]
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.08)
    top, bottom = red[:, 0], red[:, -1]
    assert top.min() < 10
    assert bottom.max() > height - 10


def test_an_image_smaller_than_the_crop_is_enlarged_whole() -> None:
    """60 x 80: the largest scale is 60 / 227 < 0.5, so the crop's side is the shorter side."""
    images = RaggedImages.from_arrays([gradient_image(60, 80)])
    crops = random_scale_crops(images, np.zeros(8, np.int64), (0.5, 2.0), numpy_generator(0, "t"))
    assert crops[:, 0, 0].max() <= 0.5
    assert crops[:, 0, -1].min() >= 58.5


def test_the_learning_rate_is_halved_and_biases_learn_twice_as_fast() -> None:
    chosen = recipe(steps=5, halve_every=2, learning_rate=1e-3, momentum=0.0, weight_decay=0.0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 20))
    one = RaggedImages.from_arrays([gradient_image(60, 80)])
    labelled = LabelledImages(["a"], one, np.ones((1, 20), np.int8))
    program = Classification(network, labelled, chosen, 0, torch.device("cpu"))  # type: ignore[arg-type]
    crops, labels = torch.full((2, 3, 1, 1), 130.0), torch.ones(2, 20, dtype=torch.int8)
    for step, rate in ((0, 1e-3), (1, 1e-3), (2, 5e-4), (4, 2.5e-4)):
        program.update(step, (crops, labels))
        assert [group["lr"] for group in program.sgd.param_groups] == [rate, 2 * rate]


def test_the_paper_recipe_is_the_authors_solver() -> None:
    paper, _ = load_recipe(ClassificationRecipe, "cebench.transfer", "classification", "paper")
    assert (paper.train_set, paper.test_set, paper.steps) == ("trainval", "test", 80_000)
    assert (paper.learning_rate, paper.halve_every, paper.batch_size) == (1e-3, 10_000, 16)
    assert (paper.weight_decay, paper.clip_gradients, paper.test_crops) == (1e-6, 10.0, 10)
