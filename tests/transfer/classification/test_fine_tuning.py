import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cebench.config import load_recipe
from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VOC_CLASSES
from cebench.errors import CebenchError, InputError
from cebench.metrics.average_precision import multilabel_scores
from cebench.models.backbones import build_backbone
from cebench.models.classifier import Part
from cebench.training.run_directory import RunDirectory
from cebench.transfer.classification import fine_tuning as classification
from cebench.transfer.classification import report
from cebench.transfer.classification.data import LabelledImages
from cebench.transfer.classification.fine_tuning import (
    Classification,
    ClassificationRecipe,
    build_classifier,
    measure,
    predict,
)
from cebench.transfer.run import TASKS
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import Preprocessing, Weights, load_backbone, random_weights


def recipe(**changes: object) -> ClassificationRecipe:
    """One step of the smallest variant: without fc6 and fc7 a run takes a second."""
    values = {
        "train_from": "pool5",
        "tier": "smoke", "train_set": "train", "test_set": "val", "steps": 1, "batch_size": 2,
        "test_crops": 2, "log_every": 1, "checkpoint_every": 100,
    }  # fmt: skip
    return ClassificationRecipe.model_validate({**values, **changes})


def run(
    chosen: ClassificationRecipe,
    devkit: Path,
    out: Path,
    seed: int = 0,
    weights: Weights | None = None,
) -> Outcome:
    with RunDirectory(out, {"recipe": chosen.model_dump()}) as directory:
        run_context = RunContext(
            run=directory,
            weights=weights or random_weights(0),
            data=devkit,
            seed=seed,
            device=torch.device("cpu"),
        )
        return measure(chosen, run_context)


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
    chosen = recipe(train_from="all")
    outcome = run(chosen, devkit, tmp_path / "run")
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
    assert chosen.variant == "2-crops"
    with (tmp_path / "run" / "per_class.csv").open() as file:
        dog = list(csv.DictReader(file))[VOC_CLASSES.index("dog")]
    assert (dog["positives"], dog["images"]) == ("1", "2")
    assert float(dog["ap_sklearn"]) == measured["mean_ap_sklearn"]
    for name in ("curves.png", "precision_recall.png", "samples/mistakes.png"):
        with Image.open(tmp_path / "run" / name) as picture:
            assert picture.size[0] > 300


def test_every_definition_is_recorded_for_all_crops_and_for_one_with_its_interval(
    devkit: Path, tmp_path: Path
) -> None:
    metrics = {m.metric: m for m in run(recipe(), devkit, tmp_path / "run").measurements}
    names = [
        f"mean_ap_{definition}{crops}"
        for definition in ("sklearn", "voc07_11pt", "area")
        for crops in ("", "_one_crop")
    ]
    assert metrics.keys() == set(names)
    for measured in metrics.values():
        assert measured.interval is not None
        assert measured.interval.low <= measured.value <= measured.interval.high
        assert (measured.interval.level, measured.interval.method) == (
            0.95,
            "bootstrap over images",
        )


def test_the_sum_of_the_stored_passes_is_the_prediction(devkit: Path, tmp_path: Path) -> None:
    run(recipe(), devkit, tmp_path / "run")
    first, second, both = (
        np.genfromtxt(tmp_path / "run" / name, delimiter=",", skip_header=1)[:, 1:]
        for name in ("predictions/crop-0.csv", "predictions/crop-1.csv", "predictions.csv")
    )
    np.testing.assert_array_equal(first + second, both)
    assert not np.array_equal(first, second)


def test_a_broken_off_run_scores_the_same_bits(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(train_from="all", steps=2, checkpoint_every=1)
    run(chosen, devkit, tmp_path / "straight")
    step = Classification.update

    def breaks_at_step_1(program: Classification, number: int, batch: object) -> object:
        if number == 1:
            raise CebenchError("power cut")
        return step(program, number, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Classification, "update", breaks_at_step_1)
        with pytest.raises(CebenchError, match="power cut"):
            run(chosen, devkit, tmp_path / "run")
    run(chosen, devkit, tmp_path / "run")
    both = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("straight", "run")]
    assert both[0] == both[1]


def test_prediction_goes_on_behind_the_last_finished_pass(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(recipe(), devkit, tmp_path / "straight")
    write = classification.write_scores_csv

    def breaks_after_a_pass(path: Path, *rest: object) -> None:
        write(path, *rest)  # type: ignore[arg-type]
        raise CebenchError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(classification, "write_scores_csv", breaks_after_a_pass)
        with pytest.raises(CebenchError, match="power cut"):
            run(recipe(), devkit, tmp_path / "run")
    folder = tmp_path / "run" / "predictions"
    assert [path.name for path in folder.iterdir()] == ["crop-0.csv"]
    before = (folder / "crop-0.csv").stat().st_mtime_ns
    run(recipe(), devkit, tmp_path / "run")
    assert (folder / "crop-0.csv").stat().st_mtime_ns == before
    both = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("straight", "run")]
    assert both[0] == both[1]


PARTS: dict[Part, set[str]] = {
    "all": {"trunk", "fc6", "fc7", "fc8"},
    "fc6-8": {"fc6", "fc7", "fc8"},
    "fc8": {"fc8"},
    "pool5": {"fc8"},
}


@pytest.mark.parametrize("part", PARTS)
def test_a_variant_trains_its_part_and_leaves_the_rest_bit_for_bit(
    devkit: Path, tmp_path: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def remember(*arguments: object) -> object:
        network = build_classifier(*arguments)  # type: ignore[arg-type]
        built.append((network, {k: v.clone() for k, v in network.state_dict().items()}))
        return network

    monkeypatch.setattr(classification, "build_classifier", remember)
    outcome = run(recipe(train_from=part), devkit, tmp_path / "run")
    ((network, before),) = built
    changed = {
        name.split(".")[0]
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == PARTS[part]
    assert hasattr(network, "fc6") == (part != "pool5")
    columns = {m.column for m in outcome.measurements}
    assert columns == {"classification" if part == "all" else f"classification_{part}"}
    variant = recipe(train_from=part).variant
    assert variant == ("2-crops" if part == "all" else f"{part}-2-crops")


def test_frozen_parts_are_in_eval_mode_while_the_rest_trains() -> None:
    weights = random_weights(0)
    chosen = recipe(train_from="fc8")
    network = build_classifier(load_backbone(weights)[0], chosen, weights, 0).train()
    training = {name for name, module in network.named_children() if module.training}
    assert training == {"fc8", "drop7"}
    grown = [name for name, p in network.named_parameters() if p.requires_grad]
    assert grown == ["fc8.weight", "fc8.bias"]


def test_batch_normalisation_keeps_its_statistics_while_all_layers_train() -> None:
    backbone = build_backbone("torchvision/resnet18")
    chosen = recipe(train_from="all")
    network = build_classifier(backbone, chosen, random_weights(0), 0).train()
    assert not network.fully_connected
    before = backbone.trunk.get_buffer("bn1.running_mean").clone()
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert torch.equal(backbone.trunk.get_buffer("bn1.running_mean"), before)
    assert all(p.grad is not None for p in network.parameters())


def test_fc6_and_fc7_come_from_the_weights_if_only_fc8_is_drawn() -> None:
    drawn = random_weights(0)
    chosen = recipe(train_from="all", random_from="drop7")
    with pytest.raises(InputError, match=r"random: has no fc6.weight; random_from=drop7 needs"):
        build_classifier(load_backbone(drawn)[0], chosen, drawn, 0)
    fc = {"fc6.weight": (4096, 9216), "fc6.bias": (4096,), "fc7.weight": (4096, 4096)}
    brought = {name: torch.full(shape, 0.5) for name, shape in (fc | {"fc7.bias": (4096,)}).items()}
    weights = replace(drawn, tensors={**drawn.tensors, **brought})
    backbone, proof = load_backbone(weights)
    network = build_classifier(backbone, chosen, weights, 0)
    assert proof.unexpected == ()
    assert all((network.state_dict()[name] == 0.5).all() for name in brought)
    assert network.fc8.weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_options_that_do_not_agree_are_refused() -> None:
    for changes, message in (
        (["min_scale=3", "max_scale=1"], "recipe classification-smoke: min_scale=3 exceeds max_"),
        (["train_from=pool5", "random_from=drop7"], "smoke: train_from=pool5 has no fc6 and fc7"),
    ):
        with pytest.raises(InputError, match=message):
            load_recipe(
                ClassificationRecipe, "cebench.transfer", "classification", "smoke", changes
            )
    drawn = random_weights(0)
    sidecar = replace(drawn.sidecar, architecture="torchvision/resnet18")
    backbone = build_backbone("torchvision/resnet18")
    chosen = recipe(train_from="all", random_from="drop7")
    with pytest.raises(InputError, match="a torchvision/resnet18 has no fc6 and fc7 that random_"):
        build_classifier(backbone, chosen, replace(drawn, sidecar=sidecar), 0)


def test_the_protocols_name_tells_other_years_and_scales() -> None:
    chosen, _ = load_recipe(ClassificationRecipe, "cebench.transfer", "classification", "paper")
    assert TASKS["classification"].protocol_name(chosen, "native") == (
        "voc-classification-10-crops"
    )
    assert recipe(train_from="all", year=2012).variant == "voc2012-2-crops"
    assert recipe(train_from="all", max_scale=1).variant == "scales-0.5-1-2-crops"
    # By area the scales have no part in it.
    assert recipe(train_from="all", max_scale=1, crop_rule="area").variant == "area-rule-2-crops"


def test_scores_that_are_not_finite_end_the_run_before_anything_is_written(
    devkit: Path, tmp_path: Path
) -> None:
    drawn = random_weights(0)
    network = build_classifier(load_backbone(drawn)[0], recipe(), drawn, 0)
    torch.nn.init.constant_(network.fc8.weight, torch.nan)
    one = RaggedImages.from_arrays([np.zeros((60, 80, 3), np.uint8)])
    labelled = LabelledImages(["a"], one, np.ones((1, 20), np.int8))
    with RunDirectory(tmp_path / "run", {"recipe": {}}) as directory:
        run_context = RunContext(
            run=directory, weights=drawn, data=devkit, seed=0, device=torch.device("cpu")
        )
        with pytest.raises(CebenchError, match="scores are not finite; lower the learning rate"):
            predict(network, Preprocessing(), labelled, recipe(), run_context)
    assert not (tmp_path / "run" / "predictions").exists()


def test_a_foreign_backbone_sees_its_own_size_and_range(
    devkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build_backbone("torchvision/resnet18", seed=5)
    seen = []
    forward = torch.nn.Module.__call__

    def look(module: torch.nn.Module, *inputs: torch.Tensor) -> object:
        if isinstance(module, torch.nn.Conv2d) and inputs[0].shape[1] == 3:
            seen.append(inputs[0].detach())
        return forward(module, *inputs)

    preprocessing = Preprocessing(
        range=(0, 1), mean_rgb=(0.485, 0.456, 0.406), std_rgb=(0.229, 0.224, 0.225), side=224
    )
    drawn = random_weights(0)
    sidecar = replace(
        drawn.sidecar, architecture="torchvision/resnet18", preprocessing=preprocessing
    )
    weights = replace(drawn, tensors=dict(backbone.trunk.state_dict()), sidecar=sidecar)
    monkeypatch.setattr(torch.nn.Module, "__call__", look)
    run(recipe(test_crops=1), devkit, tmp_path / "run", weights=weights)
    assert {tuple(pixels.shape[1:]) for pixels in seen} == {(3, 224, 224)}
    assert max(float(pixels.abs().max()) for pixels in seen) < 2.7


def test_the_rule_of_the_deepcluster_port_gives_other_crops_and_another_protocol(
    devkit: Path, tmp_path: Path
) -> None:
    run(recipe(crop_rule="area"), devkit, tmp_path / "area")
    assert recipe(crop_rule="area").variant == "pool5-area-rule-2-crops"
    run(recipe(), devkit, tmp_path / "scale")
    both = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("area", "scale")]
    assert both[0] != both[1]


def test_bfloat16_scores_are_near_those_of_single_precision(devkit: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        run(recipe(precision=precision), devkit, tmp_path / precision)
    single, half = (
        np.genfromtxt(tmp_path / name / "predictions.csv", delimiter=",", skip_header=1)[:, 1:]
        for name in ("fp32", "bf16")
    )
    assert not np.array_equal(single, half)
    np.testing.assert_allclose(half, single, atol=0.05 * np.abs(single).max())


def test_sets_that_share_an_image_are_refused(devkit: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train set trainval and test set test share 3 images"):
        run(recipe(train_set="trainval", test_set="test"), devkit, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.txt", "", "the list .*list.txt is empty"),
        ("list.txt", "000003\n000003\n", "line 2: 000003 is listed twice"),
        ("list.txt", "../../secret\n", "is no VOC image id"),
        ("list.txt", "000009\n", "000009.xml does not exist, but an image set names 000009"),
        ("vals", None, "no image set .*vals.txt; VOC2007 has in ImageSets/Main: test, train"),
    ],
)
def test_bad_lists_are_named(
    devkit: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    given = name
    if content is not None:
        given = str(tmp_path / name)
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        run(recipe(test_set=given), devkit, tmp_path / "run")


def test_an_absent_and_a_truncated_image_are_named(devkit: Path, tmp_path: Path) -> None:
    path = devkit / "VOC2007" / "JPEGImages" / "000004.jpg"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"000004\.jpg"):
        run(recipe(), devkit, tmp_path / "run")
    path.unlink()
    with pytest.raises(InputError, match=r"000004\.jpg does not exist"):
        run(recipe(), devkit, tmp_path / "run")


def test_an_image_without_a_label_is_named(devkit: Path, tmp_path: Path) -> None:
    labels = devkit / "VOC2007" / "ImageSets" / "Main" / "cat_val.txt"
    labels.write_text("000003 -1\n")
    with pytest.raises(InputError, match=r"cat_val\.txt has no line for 000004"):
        run(recipe(), devkit, tmp_path / "run")


def test_classes_without_positives_are_said_and_left_out(
    devkit: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", logger="cebench"):
        run(recipe(test_crops=1), devkit, tmp_path / "run")
    train, test = (record.message for record in caplog.records)
    assert train.startswith("train: no image shows aeroplane, bicycle,")
    assert "dog" not in train
    assert test.startswith("val: no image shows aeroplane,")
    assert test.endswith("they are left out of the means")


def test_a_test_set_without_any_object_is_refused(tiny_voc: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image shows an object"):
        run(recipe(), tiny_voc, tmp_path / "run")


def test_the_fingerprint_follows_pixels_labels_and_lists(devkit: Path, tmp_path: Path) -> None:
    plain = run(recipe(), devkit, tmp_path / "a").data_fingerprint
    assert run(recipe(), devkit, tmp_path / "b", seed=1).data_fingerprint == plain
    labels = devkit / "VOC2007" / "ImageSets" / "Main" / "cat_val.txt"
    labels.write_text(labels.read_text().replace("000003 -1", "000003 1"))
    assert run(recipe(), devkit, tmp_path / "c").data_fingerprint != plain


def tiny_program(chosen: ClassificationRecipe) -> Classification:
    """One linear layer on the colour of 1 px crops."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 20))
    one = RaggedImages.from_arrays([np.zeros((60, 80, 3), np.uint8)])
    labelled = LabelledImages(["a"], one, np.ones((1, 20), np.int8))
    return Classification(
        network,  # type: ignore[arg-type]
        Preprocessing(),
        labelled,
        chosen,
        0,
        torch.device("cpu"),
    )


PLAIN_SGD = {"learning_rate": 1e-3, "momentum": 0.0, "weight_decay": 0.0}


def test_the_learning_rate_is_halved_and_biases_learn_twice_as_fast() -> None:
    program = tiny_program(recipe(steps=5, halve_every=2, **PLAIN_SGD))
    crops, labels = torch.full((2, 3, 1, 1), 130.0), torch.ones(2, 20, dtype=torch.int8)
    for step, rate in ((0, 1e-3), (1, 1e-3), (2, 5e-4), (4, 2.5e-4)):
        program.update(step, (crops, labels))
        assert [group["lr"] for group in program.sgd.param_groups] == [rate, 2 * rate]


@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_the_norm_of_all_gradients_together_is_clipped(limit: float) -> None:
    program = tiny_program(recipe(clip_gradients=limit, **PLAIN_SGD))
    _, layer = program.network
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    crops, labels = torch.full((2, 3, 1, 1), 200.0), torch.ones(2, 20, dtype=torch.int8)
    # At score 0 the gradient of a present class is -1/2, times the input for its weights.
    pixel = program.preprocessing(crops.clone())[0].flatten()
    norm = 0.5 * (20 * (1 + pixel.square().sum())) ** 0.5
    program.update(0, (crops, labels))
    expected = 1e-3 * 0.5 * min(1.0, limit / float(norm))
    torch.testing.assert_close(layer.weight.detach(), expected * pixel.expand(20, 3))
    torch.testing.assert_close(layer.bias.detach(), torch.full((20,), 2 * expected))


def test_the_paper_recipe_is_the_authors_solver() -> None:
    paper, _ = load_recipe(ClassificationRecipe, "cebench.transfer", "classification", "paper")
    assert paper.model_dump() == {
        "tier": "paper", "log_every": 100, "checkpoint_every": 2000,
        "year": 2007, "train_set": "trainval", "test_set": "test",
        "train_from": "all", "random_from": "pool5", "head_init": "voc-classification",
        "steps": 80_000, "batch_size": 16, "learning_rate": 1e-3, "halve_every": 10_000,
        "momentum": 0.9, "weight_decay": 1e-6, "clip_gradients": 10.0,
        "crop_rule": "scale", "min_scale": 0.5, "max_scale": 2.0, "test_crops": 10,
        "precision": "fp32",
    }  # fmt: skip


def test_a_wrong_picture_stands_under_its_own_title(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image lacks the left class, two the right one: the right half begins at column 5."""
    sheets = []
    monkeypatch.setattr(report, "save_contact_sheet", lambda *given, **_: sheets.append(given))
    images = RaggedImages.from_arrays([np.zeros((8, 8, 3), np.uint8)] * 2)
    labels = np.ones((2, 20), np.int8)
    labels[0, 0] = labels[:, 1] = -1
    test = LabelledImages(["a", "b"], images, labels)
    report.plot_mistakes(test, np.zeros((2, 20)), tmp_path / "mistakes.png")
    ((titles, (row,), _),) = sheets
    said = [cell.lines[0] if cell.lines else "" for cell in row]
    assert dict(zip(titles[4:], said[4:], strict=False)) == {
        "mistake 1": "bicycle? +0.0",
        "mistake 2": "bicycle? +0.0",
    }
    assert said[:4] == ["aeroplane? +0.0", "", "", ""]
