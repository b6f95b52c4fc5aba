"""Inpainting: every row of Table 1, what a run leaves behind, and the scores of what is stored."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from inpainting_scenes import HOLE, pictures
from PIL import Image
from rescoring import assert_rescored
from samples import SIDECAR

from cebench.commands.score import score
from cebench.errors import InputError
from cebench.inpainting.networks import load_context_features
from cebench.inpainting.squares import load_squares
from cebench.metrics.inpainting import inpainting_sums
from cebench.models.context_encoder import ContextEncoder
from cebench.models.inpainting_gan import InpaintingGenerator
from cebench.training.run_directory import RunDirectory
from cebench.transfer.inpainting.data import InpaintingImages, data_fingerprint
from cebench.transfer.inpainting.prediction import (
    Row,
    describe_contexts,
    features_row,
    nearest_patches,
    paste_nearest,
    prediction_row,
)
from cebench.transfer.inpainting.report import errors_by_texture
from cebench.transfer.inpainting.task import InpaintingRecipe, measure
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import Weights, random_weights, save_weights

CPU = torch.device("cpu")
FAST = ("prediction", "nn-features", "nn-hog", "mean-of-context")
FAST_ROWS = ("context", "nn-features-context", "nn-hog", "mean-of-context")


@pytest.fixture(scope="module")
def weights() -> Weights:
    network = ContextEncoder(generator=torch.Generator().manual_seed(0))
    return Weights(name="run/model", tensors=network.state_dict(), sidecar=SIDECAR)


def generator_weights(**changes: Any) -> Weights:
    values = {"side": 128, "region": "center", "bottleneck": 20, "overlap": 4, "objective": "joint"}
    values |= changes
    network = InpaintingGenerator(128, "center", 20, torch.Generator().manual_seed(0))
    sidecar = dataclasses.replace(
        SIDECAR,
        architecture="inpainting-generator",
        method="context-gan",
        recipe_values=values,
        recipe_sha256="",
        sha256="gan",
    )
    return Weights(name="gan/model", tensors=network.state_dict(), sidecar=sidecar)


def test_the_fingerprint_knows_which_images_were_filled(tmp_path: Path) -> None:
    for name, shades in {"a": (0, 50), "b": (100,)}.items():
        (tmp_path / name).mkdir()
        for shade in shades:
            Image.new("L", (130, 130), shade).save(tmp_path / name / f"{shade}.png")

    def fingerprint_of(gallery: str, test: str) -> str:
        roles = InpaintingRecipe(tier="smoke", gallery=gallery, test=test)
        return data_fingerprint(roles, tmp_path, "none")

    in_order = fingerprint_of("a", "b")
    assert in_order == fingerprint_of("a", "b") != fingerprint_of("b", "a")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four gallery images (of several sizes) and three test images of smooth noise."""
    sizes = {"train": [(144, 144), (90, 200), (128, 128), (40, 30)], "test": [(227, 227)] * 3}
    for number, (folder, shapes) in enumerate(sizes.items()):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for i, (height, width) in enumerate(shapes):
            image = Image.fromarray(pictures(1, seed=10 * number + i)[0]).resize((width, height))
            image.save(tmp_path / "data" / folder / f"{i:03d}_im.png")
    return tmp_path / "data"


def run(data: Path, weights: Weights, out: Path, **changes: Any) -> Outcome:
    recipe = InpaintingRecipe(tier="smoke", **{"rows": FAST, **changes})
    with RunDirectory(out, {"run": {"verb": "transfer"}}) as run_directory:
        return measure(
            recipe,
            RunContext(run=run_directory, weights=weights, data=data, seed=0, device=CPU),
        )


def stored(run: Path, row: str) -> np.ndarray:
    files = sorted((run / "predictions" / row).iterdir())
    return np.stack([np.asarray(Image.open(file)) for file in files])


def test_hole_is_56_pixels_of_128() -> None:
    assert HOLE.sum() == 56 * 56
    assert HOLE[36:92, 36:92].all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["context-encoder", "generator", "trunk"])
def test_hidden_pixels_change_no_row(
    data: Path, weights: Weights, tmp_path: Path, kind: str
) -> None:
    chosen = {"context-encoder": weights, "generator": generator_weights()}
    rows = get_args(Row) if kind == "trunk" else FAST
    for file in sorted((data / "test").iterdir())[1:]:  # One image will do: some rows take long.
        file.unlink()
    run(data, chosen.get(kind, random_weights(0)), tmp_path / "before", rows=rows)
    for file in (data / "test").iterdir():
        pixels = np.array(Image.open(file))
        pixels[64:163, 64:163] = 255 - pixels[64:163, 64:163]  # all that the hole is made from
        Image.fromarray(pixels).save(file)
    run(data, chosen.get(kind, random_weights(0)), tmp_path / "after", rows=rows)
    made = {path.name for path in (tmp_path / "before" / "predictions").iterdir()}
    assert len(made) == len(rows) - (kind == "trunk")  # which predicts nothing
    for row in made:
        np.testing.assert_array_equal(
            stored(tmp_path / "before", row)[:, HOLE], stored(tmp_path / "after", row)[:, HOLE]
        )


def test_nearest_rows_paste_the_centre_of_the_twin(weights: Weights, tmp_path: Path) -> None:
    for folder, order in (("train", range(5)), ("test", (3, 1))):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for place, number in enumerate(order):
            pixels = pictures(5)[number]
            if folder == "test":
                pixels[HOLE] = pictures(5)[0][HOLE][::-1]  # another picture of the same place
            Image.fromarray(pixels).save(tmp_path / "data" / folder / f"{place}.png")
    rows = ("nn-features", "nn-hog", "nn-pixels")
    run(tmp_path / "data", weights, tmp_path / "run", rows=rows)
    for row in ("nn-features-context", "nn-hog", "nn-pixels"):
        np.testing.assert_array_equal(stored(tmp_path / "run", row), pictures(5)[[3, 1]])


def test_the_papers_features_are_those_of_the_joint_model_alone(weights: Weights) -> None:
    rows = {
        (prediction_row(w.sidecar), features_row(w.sidecar))
        for w in (
            weights,
            generator_weights(),
            generator_weights(objective="l2"),
            generator_weights(region="image"),
            random_weights(0),
        )
    }
    assert rows == {
        ("context", "nn-features-context"),
        ("context-gan", "nn-features"),
        ("context-gan-l2", "nn-features-context-gan-l2"),
        ("context-gan-image", "nn-features-context-gan-image"),
        ("random", "nn-features-random"),
    }


def test_mirrored_views_may_be_pasted_too() -> None:
    gallery, hole = pictures(3), HOLE
    views = np.concatenate([gallery, gallery[:, :, ::-1]])
    files = [Path(f"{i}.png") for i in range(3)]
    images = InpaintingImages(files, views, ["a"], gallery[1:2, :, ::-1].copy(), hole)
    filling = paste_nearest(np.array([[4, 1]]), images)
    np.testing.assert_array_equal(filling.images, images.targets)


def test_distance_to_the_nearest_patch_by_hand() -> None:
    # Centres of 10, 60 and 200: 70 is 10 from 60; errors are of pixels in [0, 1].
    gallery = np.stack([np.full((128, 128, 3), value, np.uint8) for value in (10, 60, 200)])
    filled = np.full((2, 128, 128, 3), 70, np.uint8)
    filled[1] = 200
    images = InpaintingImages([], gallery, ["a", "b"], filled, HOLE)
    patches = nearest_patches(filled, images, CPU)
    assert patches.mean_l1 == pytest.approx([10 / 255, 0])
    assert patches.mean_l2 == pytest.approx([(10 / 255) ** 2, 0])


def test_numbers_are_those_that_score_finds_in_the_stored_images(
    data: Path, weights: Weights, tmp_path: Path, runner: CliRunner
) -> None:
    out = tmp_path / "run"
    outcome = run(data, weights, out)
    assert [m.row for m in outcome.measurements[::10]] == list(FAST_ROWS)
    assert {m.row for m in outcome.measurements if m.of_weights} == set(FAST_ROWS[:2])
    assert_rescored(outcome, images=3)
    for row in FAST_ROWS:
        folders = [
            "--predictions",
            str(out / "predictions" / row),
            "--targets",
            str(out / "targets"),
        ]
        result = runner.invoke(
            score, ["inpainting", *folders, "--hole", "center:56", "--size", "128", "--json"]
        )
        found = json.loads(result.output)
        assert found["images"] == 3
        measured = {m.metric: m.value for m in outcome.measurements if m.row == row}
        over_image = {f"image_{metric}": value for metric, value in found["image"].items()}
        assert measured == {**found["hole"], **over_image}
    kinds = {(m.metric, m.column, m.unit, m.higher_is_better) for m in outcome.measurements}
    assert {kind for kind in kinds if not kind[0].startswith("image_")} == {
        ("mean_l1", "mean_l1", "fraction", False),
        ("mean_l2", "mean_l2", "fraction", False),
        ("psnr_per_image_mean_db", "psnr", "db", True),
        ("psnr_pooled_db", "psnr", "db", True),
        ("ssim", "ssim", "fraction", True),
    }


def test_errors_stand_beside_the_texture_in_four_groups() -> None:
    one = inpainting_sums(
        np.full((1, 3, 8, 8), 0.5), np.zeros((1, 3, 8, 8)), np.ones((1, 8, 8), bool)
    )
    groups = errors_by_texture(np.linspace(0.9, 0.1, 9), {"network": [one] * 9})
    assert [group.images for group in groups] == [3, 2, 2, 2]
    assert [group.least for group in groups] == pytest.approx([0.1, 0.4, 0.6, 0.8])
    assert groups[0].mean_l1 == {"network": pytest.approx(0.5)}


def test_two_joint_models_describe_contexts_each(tmp_path: Path) -> None:
    one, other = generator_weights(), generator_weights()
    (tmp_path / "other").mkdir()
    save_weights(tmp_path / "other" / "model.safetensors", other.tensors, other.sidecar)
    recipe = InpaintingRecipe(
        tier="smoke", rows=("nn-features",), retrieval_weights=str(tmp_path / "other")
    )
    with RunDirectory(tmp_path / "run", {"run": {"verb": "transfer"}}) as run_directory:
        context = RunContext(run=run_directory, weights=one, data=tmp_path, seed=0, device=CPU)
        found = describe_contexts(recipe, context, load_context_features(one, CPU), HOLE)
    assert list(found) == ["nn-features", "nn-features (other/model)"]


def distance_of_truth(data: Path) -> dict[str, float]:
    """Mean errors of the gallery's holes nearest to those of the test images, plainly."""
    test, gallery = (
        load_squares(sorted((data / part).iterdir()), part)[:, HOLE] / 255
        for part in ("test", "train")
    )
    errors = test[:, None] - gallery
    squared = np.square(errors).mean(axis=(2, 3))
    absolute = np.abs(errors).mean(axis=(2, 3))
    nearest = squared.argmin(axis=1)
    return {
        "mean_l1": float(absolute[np.arange(len(test)), nearest].mean()),
        "mean_l2": float(squared.min(axis=1).mean()),
    }


def test_run_leaves_a_table_a_summary_and_pictures(data: Path, tmp_path: Path) -> None:
    other = random_weights(1)
    (tmp_path / "other").mkdir()
    save_weights(tmp_path / "other" / "weights.safetensors", other.tensors, other.sidecar)
    out = tmp_path / "run"
    run(data, generator_weights(), out, retrieval_weights=str(tmp_path / "other"))
    lines = (out / "per_image.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * 3
    assert lines[1].startswith("context-gan,000_im,0.")
    assert lines[7].split(",")[-2] in {f"{i:03d}_im.png" for i in range(4)}
    shares = {line.split(",")[1]: float(line.split(",")[-1]) for line in lines[1:4]}
    groups = json.loads((out / "texture.json").read_text())["groups"]
    assert [group["least"] for group in groups] == pytest.approx(sorted(shares.values()), abs=1e-6)
    assert list(groups[0]["behind_first"]) == ["nn-features", "nn-hog", "mean-of-context"]
    assert (out / "samples" / "texture.png").stat().st_size > 5_000
    summary = json.loads((out / "memorisation.json").read_text())
    distances = summary["distance_to_nearest_gallery_patch"]
    assert list(distances) == ["context-gan", "nn-features", "nn-hog", "mean-of-context", "truth"]
    assert distances["nn-hog"] == {"mean_l1": 0.0, "mean_l2": 0.0}
    assert distances["truth"] == pytest.approx(distance_of_truth(data))
    step = 128 + 2 * 6
    with Image.open(out / "samples" / "inpainting.png") as sheet:
        assert sheet.width == 6 * step
    with Image.open(out / "samples" / "retrieval.png") as sheet:
        assert sheet.width == (1 + 3 * 4) * step  # our features, HOG, the other trunk


def test_the_same_run_again_gives_the_same_numbers(
    data: Path, weights: Weights, tmp_path: Path
) -> None:
    first, again = (run(data, weights, tmp_path / name) for name in ("a", "b"))
    assert first == again


def test_a_trunk_has_the_row_of_its_features_alone(data: Path, tmp_path: Path) -> None:
    outcome = run(data, random_weights(0), tmp_path / "run", rows=("prediction", "nn-features"))
    assert {m.row for m in outcome.measurements} == {"nn-features-random"}


def test_images_of_any_shape_become_squares_of_128(data: Path) -> None:
    files = sorted((data / "train").iterdir())
    squares = load_squares(files, "gallery images")
    assert squares.shape == (4, 128, 128, 3)
    with Image.open(files[2]) as image:
        np.testing.assert_array_equal(squares[2], np.asarray(image))


@pytest.mark.parametrize("name", ["000_im.png", "another_name.png"])
def test_a_test_photo_in_the_gallery_is_refused(
    data: Path, weights: Weights, tmp_path: Path, name: str
) -> None:
    (data / "train" / name).write_bytes((data / "test" / "001_im.png").read_bytes())
    with pytest.raises(InputError, match=r"001_im\.png: this test photo is also in the gallery"):
        run(data, weights, tmp_path / "run")


def test_two_test_images_of_one_stem_are_refused(
    data: Path, weights: Weights, tmp_path: Path
) -> None:
    Image.fromarray(pictures(1, seed=50)[0]).save(data / "test" / "001_im.jpg")
    with pytest.raises(InputError, match="one stem"):
        run(data, weights, tmp_path / "run")


def test_a_missing_folder_is_named_with_what_is_there(
    data: Path, weights: Weights, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"holds test, train; .*--set gallery=NAME"):
        run(data, weights, tmp_path / "run", gallery="cmp_train")


def test_a_generator_of_another_hole_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="central 50 x 50 of 128 x 128"):
        run(data, generator_weights(overlap=7), tmp_path / "run")


def test_a_row_twice_or_unknown_is_no_recipe() -> None:
    for rows in (("telea", "telea"), ("sketch",), ()):
        with pytest.raises(ValueError, match="rows"):
            InpaintingRecipe(tier="smoke", rows=rows)  # type: ignore[arg-type]


def test_a_blank_test_image_has_no_psnr_and_is_named(
    data: Path, weights: Weights, tmp_path: Path
) -> None:
    Image.new("RGB", (128, 128), (9, 9, 9)).save(data / "test" / "blank.png")
    with pytest.raises(InputError, match="test image blank: mean-of-context"):
        run(data, weights, tmp_path / "run")
