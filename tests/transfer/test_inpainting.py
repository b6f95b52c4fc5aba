"""Inpainting: the geometry of the hole, every row by hand, and the scores of what is stored."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from samples import SIDECAR

from cebench.commands.score import score
from cebench.data.resize import resize
from cebench.errors import InputError
from cebench.inpainting import fill_holes, network_hole, visible_context
from cebench.models.caffenet import IMAGENET_MEAN_RGB
from cebench.models.context_encoder import ContextEncoder
from cebench.run_directory import RunDirectory
from cebench.transfer.inpainting import InpaintingRecipe, central_hole, load_squares, measure
from cebench.transfer.inpainting_rows import fill_every_way, fill_with_mean
from cebench.transfer.setting import Outcome, Setting
from cebench.weights import Weights, random_weights

HOLE = central_hole()
ROWS = ("context", "nn-features", "nn-hog", "mean-of-context")


@pytest.fixture(scope="module")
def network() -> ContextEncoder:
    return ContextEncoder(generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def weights(network: ContextEncoder) -> Weights:
    return Weights(name="run/model", tensors=network.state_dict(), sidecar=SIDECAR)


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


def run(data: Path, weights: Weights, out: Path, **changes: str) -> Outcome:
    recipe = InpaintingRecipe(tier="smoke", **changes)
    with RunDirectory(out, {"run": {"verb": "transfer"}}) as run_directory:
        device = torch.device("cpu")
        return measure(
            recipe,
            Setting(run=run_directory, weights=weights, data=data, seed=0, device=device),
        )


def test_hole_is_56_pixels_of_128_and_99_of_227() -> None:
    assert HOLE.sum() == 56 * 56
    assert HOLE[36:92, 36:92].all()
    expected = np.zeros((227, 227), bool)
    expected[64:163, 64:163] = True
    np.testing.assert_array_equal(network_hole(HOLE), expected)


def test_a_hole_at_the_networks_size_is_that_hole_and_a_thin_one_is_not_lost() -> None:
    hole = np.random.default_rng(0).random((227, 227)) < 0.1
    np.testing.assert_array_equal(network_hole(hole), hole)
    scratch = np.zeros((2000, 1000), bool)
    scratch[1003] = True  # its centre, 1003.5, is 113.9 in network pixels
    assert np.flatnonzero(network_hole(scratch).all(axis=1)).tolist() == [113]
    assert network_hole(scratch).sum() == 227


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


def test_context_is_made_of_visible_pixels_alone() -> None:
    images = np.full((1, 128, 128, 3), 200, np.uint8)
    images[:, HOLE] = 0
    context, missing = visible_context(images, HOLE)
    np.testing.assert_allclose(context[0, ~missing], 200)
    np.testing.assert_array_equal(
        context[0, missing], np.broadcast_to(IMAGENET_MEAN_RGB, (9801, 3))
    )


def test_filling_pastes_the_prediction_into_the_hole_only(network: ContextEncoder) -> None:
    images = pictures(2)
    filled = fill_holes(network, images, HOLE)
    np.testing.assert_array_equal(filled[:, ~HOLE], images[:, ~HOLE])
    context, _ = visible_context(images, HOLE)
    shifted = torch.from_numpy(context - np.array(IMAGENET_MEAN_RGB)).permute(0, 3, 1, 2)
    with torch.no_grad():
        prediction = (network(shifted.float()).clamp(-1, 1) + 1) * 127.5
    whole = cv2.resize(
        prediction[0].permute(1, 2, 0).numpy(), (128, 128), interpolation=cv2.INTER_AREA
    )
    # One pixel in, where no visible network pixel has a share.
    inner = (slice(37, 91), slice(37, 91))
    np.testing.assert_allclose(filled[0][inner], whole[inner], atol=0.51)


def test_hidden_pixels_change_no_row(network: ContextEncoder) -> None:
    gallery, test = pictures(4), pictures(2, seed=1)
    changed = test.copy()
    changed[:, HOLE] = np.random.default_rng(2).integers(0, 256, (2, 56 * 56, 3), dtype=np.uint8)
    before = fill_every_way(network, "context", gallery, test, HOLE)
    after = fill_every_way(network, "context", gallery, changed, HOLE)
    assert tuple(before) == ROWS
    for row in ROWS:
        np.testing.assert_array_equal(before[row].images, after[row].images)


def test_nearest_rows_paste_the_centre_of_the_twin(network: ContextEncoder) -> None:
    gallery = pictures(5)
    test = gallery[[3, 1]].copy()
    test[:, HOLE] = 0
    fillings = fill_every_way(network, "context", gallery, test, HOLE)
    for row in ("nn-features", "nn-hog"):
        assert fillings[row].neighbours == [3, 1]
        np.testing.assert_array_equal(fillings[row].images, gallery[[3, 1]])


def test_features_that_are_not_the_papers_have_a_row_of_their_own(network: ContextEncoder) -> None:
    fillings = fill_every_way(network, "autoencoder", pictures(2), pictures(1, seed=1), HOLE)
    assert list(fillings)[:2] == ["autoencoder", "nn-features-autoencoder"]


def test_mean_row_is_the_mean_of_what_is_visible() -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    hole = np.zeros((4, 4), bool)
    hole[1:3, 1:3] = True
    image[0, 0] = (30, 60, 120)  # 4 of 12 visible pixels
    image[0, hole] = 255
    filled = fill_with_mean(image, hole)
    assert (filled[0, hole] == (10, 20, 40)).all()
    np.testing.assert_array_equal(filled[0, ~hole], image[0, ~hole])


def test_a_dead_trunk_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    dead = ContextEncoder(generator=torch.Generator().manual_seed(0)).eval()
    torch.nn.init.constant_(dead.encoder.conv5.bias, -1e6)
    with caplog.at_level(logging.WARNING, "cebench"):
        fillings = fill_every_way(dead, "context", pictures(3), pictures(2, seed=1), HOLE)
    assert "all 3 gallery images are equal" in caplog.text
    assert fillings["nn-features"].neighbours == [0, 0]


def test_numbers_are_those_that_score_finds_in_the_stored_images(
    data: Path, weights: Weights, tmp_path: Path, runner: CliRunner
) -> None:
    out = tmp_path / "run"
    outcome = run(data, weights, out)
    assert [m.row for m in outcome.measurements[::5]] == list(ROWS)
    for row in ROWS:
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
        assert measured == found["hole"]
    assert {(m.metric, m.column, m.unit, m.higher_is_better) for m in outcome.measurements} == {
        ("mean_l1", "mean_l1", "fraction", False),
        ("mean_l2", "mean_l2", "fraction", False),
        ("psnr_per_image_mean_db", "psnr", "db", True),
        ("psnr_pooled_db", "psnr", "db", True),
        ("ssim", "ssim", "fraction", True),
    }


def test_run_leaves_a_table_and_a_picture(data: Path, weights: Weights, tmp_path: Path) -> None:
    run(data, weights, tmp_path / "run")
    lines = (tmp_path / "run" / "per_image.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 * 3
    assert lines[1].startswith("context,000_im,0.")
    assert lines[7].split(",")[-1] in {f"{i:03d}_im.png" for i in range(4)}
    with Image.open(tmp_path / "run" / "samples" / "inpainting.png") as sheet:
        assert sheet.width == 6 * 128 + 7 * 6


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


def test_weights_without_decoder_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"random: holds a caffenet-trunk, .*model\.safetensors"):
        run(data, random_weights(0), tmp_path / "run")


def test_a_blank_test_image_has_no_psnr_and_is_named(
    data: Path, weights: Weights, tmp_path: Path
) -> None:
    Image.new("RGB", (128, 128), (9, 9, 9)).save(data / "test" / "blank.png")
    with pytest.raises(InputError, match="test image blank: mean-of-context"):
        run(data, weights, tmp_path / "run")
