"""`cebench inpaint`: where it paints, what it leaves alone, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from samples import SIDECAR

from cebench.commands.inpaint import inpaint
from cebench.errors import InputError
from cebench.models.context_encoder import ContextEncoder
from cebench.weights import random_weights, save_weights


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with model.safetensors and weights.safetensors."""
    folder = tmp_path_factory.mktemp("pretraining")
    network = ContextEncoder(generator=torch.Generator().manual_seed(0))
    save_weights(folder / "model.safetensors", network.state_dict(), SIDECAR)
    trunk = random_weights(0)
    save_weights(folder / "weights.safetensors", trunk.tensors, trunk.sidecar)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "photos" / "photo.png", noise(40, 60))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.array(image)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(inpaint, [str(argument) for argument in arguments])


def refusal(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=-1)


@pytest.mark.parametrize("option", [[], ["--center"]])
def test_the_middle_half_is_filled_and_nothing_else(
    pretraining: Path, photo: Path, tmp_path: Path, option: list[str]
) -> None:
    result = call(photo, "--weights", pretraining, "--out", tmp_path / "out", *option)
    assert result.exit_code == 0, result.output
    filled = tmp_path / "out" / "photo.png"
    assert f"{filled}\n{tmp_path}/out/photo-comparison.png\n" in result.output
    different = changed(pixels(photo), pixels(filled))
    # Half of 40 rows and of 60 columns: 10..29 and 15..44.
    assert different[10:30, 15:45].mean() > 0.99
    different[10:30, 15:45] = False
    assert not different.any()
    with Image.open(tmp_path / "out" / "photo-comparison.png") as sheet:
        assert sheet.width == 2 * 384 + 3 * 6


def test_what_the_hole_hides_never_matters(pretraining: Path, photo: Path, tmp_path: Path) -> None:
    image = pixels(photo)
    image[10:30, 15:45] = 0
    emptied = save(tmp_path / "photos" / "emptied.png", image)
    call(photo, emptied, "--weights", pretraining, "--out", tmp_path / "out")
    first, second = (pixels(tmp_path / "out" / f"{name}.png") for name in ("photo", "emptied"))
    np.testing.assert_array_equal(first, second)


def test_a_mask_says_what_is_missing_and_a_folder_is_all_its_images(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    save(photo.with_name("grey.png"), noise(40, 60, seed=1)[..., 0])
    mask = np.zeros((40, 60), np.uint8)
    mask[3:9, 50:] = 255
    mask[20, :] = 128
    mask[30, :] = 127
    save(tmp_path / "mask.png", mask)
    arguments = ["--mask", tmp_path / "mask.png", "--out", tmp_path / "out"]
    result = call(photo.parent, "--weights", pretraining / "model.safetensors", *arguments)
    assert result.exit_code == 0, result.output
    for name, before in (("photo", pixels(photo)), ("grey", noise(40, 60, seed=1)[..., :1])):
        different = changed(before, pixels(tmp_path / "out" / f"{name}.png"))
        assert different[mask >= 128].mean() > 0.98
        assert not different[mask < 128].any()


def test_photos_are_turned_as_the_camera_says(pretraining: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise
    Image.fromarray(noise(40, 60)).save(tmp_path / "phone.png", exif=exif)
    call(tmp_path / "phone.png", "--weights", pretraining, "--out", tmp_path / "out")
    filled = pixels(tmp_path / "out" / "phone.png")
    np.testing.assert_array_equal(filled[:10], np.rot90(noise(40, 60), -1)[:10])


@pytest.mark.parametrize("size", [(2, 3), (3, 400), (500, 2)])
def test_odd_sizes_work(pretraining: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    image = save(tmp_path / "odd.png", noise(*size))
    call(image, "--weights", pretraining, "--out", tmp_path / "out")
    assert pixels(tmp_path / "out" / "odd.png").shape == (*size, 3)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((40, 60), np.uint8), r"mask.png: has no white pixel"),
        (np.full((40, 60), 255, np.uint8), r"mask.png: is white everywhere"),
        (np.full((60, 40), 255, np.uint8), r"mask.png: the mask is 40 x 60 pixels and .* 60 x 40"),
    ],
)
def test_masks_that_say_nothing_or_do_not_fit_are_refused(
    pretraining: Path, photo: Path, tmp_path: Path, mask: np.ndarray, message: str
) -> None:
    save(tmp_path / "mask.png", mask)
    arguments = ["--mask", tmp_path / "mask.png", "--out", tmp_path / "out"]
    text = refusal(photo, "--weights", pretraining, *arguments)
    assert re.search(message, text), text
    assert not (tmp_path / "out").exists()


def test_what_is_no_image_is_refused(pretraining: Path, photo: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    options = ["--weights", pretraining, "--out", tmp_path / "out"]
    assert "text.png is not an image" in refusal(text, *options)
    assert "text.png is not an image" in refusal(photo, "--mask", text, *options)
    assert "too small" in refusal(save(tmp_path / "dot.png", noise(1, 1)), *options)
    assert call(tmp_path / "absent.png", *options).exit_code == 2


def test_no_input_and_no_other_result_is_overwritten(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    options = ["--weights", pretraining, "--out"]
    assert "photo.png: is an input" in refusal(photo, *options, photo.parent)
    mask = save(photo.parent / "photo-comparison.png", noise(40, 60))
    assert "photo-comparison.png: is an input" in refusal(
        save(tmp_path / "elsewhere" / "photo.png", noise(40, 60)),
        *("--mask", mask),
        *options,
        photo.parent,
    )
    twin = save(tmp_path / "elsewhere" / "photo.jpg", noise(40, 60))
    assert "is the result for" in refusal(photo, twin, *options, tmp_path / "out")
    np.testing.assert_array_equal(pixels(photo), noise(40, 60))


def test_a_trunk_and_a_run_without_model_are_refused(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    options = ["--out", tmp_path / "out", "--weights"]
    text = refusal(photo, *options, pretraining / "weights.safetensors")
    assert "holds a caffenet-trunk" in text
    assert "model.safetensors: no such weights file" in refusal(photo, *options, photo.parent)


def test_mask_and_center_exclude_each_other(pretraining: Path, photo: Path, tmp_path: Path) -> None:
    options = ["--weights", pretraining, "--out", tmp_path / "out"]
    result = call(photo, "--center", "--mask", photo, *options)
    assert result.exit_code == 2
    assert "exclude each other" in result.output
