"""Inpainting: every row of Table 1, what a run leaves behind, and the scores of what is stored."""

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from rescoring import assert_rescored
from samples import SIDECAR

from cebench.commands.score import score
from cebench.data.resize import resize
from cebench.errors import InputError
from cebench.inpainting.photo_holes import central_hole
from cebench.inpainting.squares import load_squares
from cebench.models.context_encoder import ContextEncoder
from cebench.models.inpainting_gan import InpaintingGenerator
from cebench.training.run_directory import RunDirectory
from cebench.transfer.inpainting.data import InpaintingImages
from cebench.transfer.inpainting.features import Descriptor, nearest_images
from cebench.transfer.inpainting.prediction import (
    Row,
    features_row,
    nearest_patches,
    paste_nearest,
    prediction_row,
)
from cebench.transfer.inpainting.task import InpaintingRecipe, measure
from cebench.transfer.run_context import Outcome, RunContext
from cebench.weights.files import Weights, random_weights, save_weights

CPU = torch.device("cpu")
HOLE = central_hole(128, 128)
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


def pictures(count: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (128, 128)) for image in coarse])


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


def test_resize_averages_areas_and_interpolates() -> None:
    line = np.array([0, 3, 9], np.uint8).reshape(1, 3, 1)
    # Two of three: pixels of 1.5: (0 + 3/2) / 1.5 and (3/2 + 9) / 1.5.
    assert resize(line, 1, 2).ravel().tolist() == [1, 7]
    # Six of three: centres at -.25 (the border), .25, .75, 1.25, 1.75, 2.25 (the border).
    assert resize(line, 1, 6).ravel().tolist() == [0, 0.75, 2.25, 4.5, 7.5, 9]
    assert resize(line, 2, 1).ravel().tolist() == [4, 4]


def test_resize_equals_opencvs_area_and_torchs_bilinear() -> None:
    image = np.random.default_rng(0).random((227, 227, 3))
    expected = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(resize(image, 128, 128), expected, atol=1e-12)
    batch = torch.from_numpy(image[None, :50, :40]).permute(0, 3, 1, 2)
    larger = F.interpolate(batch, (227, 150), mode="bilinear").permute(0, 2, 3, 1)
    np.testing.assert_allclose(resize(image[None, :50, :40], 227, 150), larger, atol=1e-12)


@pytest.mark.parametrize("kind", ["context-encoder", "generator", "trunk"])
def test_hidden_pixels_change_no_row(
    data: Path, weights: Weights, tmp_path: Path, kind: str
) -> None:
    chosen = {"context-encoder": weights, "generator": generator_weights()}
    rows = get_args(Row) if kind == "trunk" else FAST
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


def descriptor(describe: Callable[[np.ndarray], np.ndarray], **changes: Any) -> Descriptor:
    return Descriptor(label="means", describe=describe, identity="means", **changes)


def means(images: np.ndarray) -> np.ndarray:
    return images[:, ~HOLE].mean(axis=1).astype(np.float32)


def gallery_of(seed: int = 0) -> InpaintingImages:
    return InpaintingImages([], pictures(6, seed), ["a", "b"], pictures(2, seed=9), HOLE)


def test_features_are_kept_by_the_content_of_images_and_weights(tmp_path: Path) -> None:
    seen: list[int] = []

    def counted(images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return means(images)

    first = nearest_images(descriptor(counted), gallery_of(), tmp_path, CPU)
    again = nearest_images(descriptor(counted), gallery_of(), tmp_path, CPU)
    np.testing.assert_array_equal(first, again)
    assert seen == [6, 2, 2]
    nearest_images(descriptor(counted), gallery_of(seed=1), tmp_path, CPU)
    other = dataclasses.replace(descriptor(counted), identity="of other weights")
    nearest_images(other, gallery_of(), tmp_path, CPU)
    assert seen == [6, 2, 2, 6, 2, 6, 2]
    assert len(list(tmp_path.glob("features-*.safetensors"))) == 3


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_damaged_features_are_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    first = nearest_images(descriptor(means), gallery_of(), tmp_path, CPU)
    (cache,) = tmp_path.glob("features-*.safetensors")
    whole = cache.read_bytes()
    flipped = whole[:-3] + bytes([whole[-3] ^ 64]) + whole[-2:]
    cache.write_bytes({"cut": whole[:-5], "flipped": flipped, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING, "cebench"):
        again = nearest_images(descriptor(means), gallery_of(), tmp_path, CPU)
    np.testing.assert_array_equal(first, again)
    assert "damaged" in caplog.text
    assert cache.read_bytes() == whole


def test_cosine_ignores_length_where_l2_does_not(tmp_path: Path) -> None:
    # From (1, 2): (2, 1.9) is nearer, (10, 20) has the same direction.
    known, wanted = np.array([[2, 1.9], [10, 20]], np.float32), np.array([[1, 2]], np.float32)
    images = InpaintingImages([], pictures(2), ["a"], pictures(1, seed=9), HOLE)
    for cosine, nearest in ((False, 0), (True, 1)):
        way = descriptor(
            lambda batch: known if len(batch) == 2 else wanted, cosine=cosine, kept=False
        )
        assert nearest_images(way, images, tmp_path, CPU)[0].tolist() == [nearest, 1 - nearest]


def test_a_dead_network_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "cebench"):
        dead = descriptor(lambda images: np.ones((len(images), 5), np.float32))
        found = nearest_images(dead, gallery_of(), tmp_path, CPU)
    assert "means of all 6 gallery images are equal" in caplog.text
    assert found.tolist() == [[0, 1, 2, 3]] * 2


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


def test_run_leaves_a_table_a_summary_and_pictures(data: Path, tmp_path: Path) -> None:
    other = random_weights(1)
    (tmp_path / "other").mkdir()
    save_weights(tmp_path / "other" / "weights.safetensors", other.tensors, other.sidecar)
    out = tmp_path / "run"
    run(data, generator_weights(), out, retrieval_weights=str(tmp_path / "other"))
    lines = (out / "per_image.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * 3
    assert lines[1].startswith("context-gan,000_im,0.")
    assert lines[7].split(",")[-1] in {f"{i:03d}_im.png" for i in range(4)}
    summary = json.loads((out / "memorisation.json").read_text())
    distances = summary["distance_to_nearest_gallery_patch"]
    assert list(distances) == ["context-gan", "nn-features", "nn-hog", "mean-of-context", "truth"]
    assert distances["nn-hog"] == {"mean_l1": 0.0, "mean_l2": 0.0}
    assert distances["truth"]["mean_l2"] > 0.001
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


def test_a_trunk_asked_for_predictions_alone_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="random: a caffenet-trunk predicts no pixels"):
        run(data, random_weights(0), tmp_path / "run", rows=("prediction",))


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
