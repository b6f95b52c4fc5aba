"""`cebench inpaint`: what it writes, what it leaves alone, and what it refuses."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from samples import SIDECAR

from cebench.commands.inpaint import METHODS, inpaint
from cebench.errors import InputError
from cebench.files import replace_atomically
from cebench.inpainting import photos
from cebench.inpainting.classical import CLASSICAL
from cebench.models.context_encoder import ContextEncoder
from cebench.weights.files import random_weights, save_weights


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with model.safetensors and weights.safetensors."""
    folder = tmp_path_factory.mktemp("pretraining") / "encoder"
    folder.mkdir()
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


def report(*arguments: str | Path) -> dict:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refusal(*arguments: str | Path) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=-1)


@pytest.mark.parametrize("blend", ["paste", "feather", "poisson"])
def test_the_hole_of_table_1_is_filled_and_nothing_else(
    pretraining: Path, photo: Path, tmp_path: Path, blend: str
) -> None:
    out = tmp_path / "out"
    result = call(photo, "--weights", pretraining, "--out", out, "--blend", blend)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}/photo.png\n{out}/photo-comparison.png\n"
    different = changed(pixels(photo), pixels(out / "photo.png"))
    # Rows 11.25 to 28.75 of 40, columns 16.9 to 43.1 of 60.
    assert different[12:28, 17:43].mean() > 0.99
    different[12:28, 17:43] = False
    assert not different.any()


def test_the_blend_is_what_is_written_and_measured(photo: Path, tmp_path: Path) -> None:
    blended = set()
    for blend in ("paste", "feather", "poisson"):
        options = ["--fill", "mean-of-context", "--blend", blend, "--out", tmp_path / blend]
        (image,) = report(photo, *options)["images"]
        filled = pixels(tmp_path / blend / "photo.png").astype(float)
        error = np.abs(filled - pixels(photo))[12:28, 17:43].mean() / 255
        assert image["fillings"]["mean-of-context"]["mean_l1"] == pytest.approx(error)
        blended.add(filled.tobytes())
    assert len(blended) == 3


@pytest.mark.parametrize("size", [(3, 3), (8, 8), (3, 400), (500, 3), (1200, 900)])
def test_any_size_works(pretraining: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    image = save(tmp_path / "odd.png", noise(*size))
    options = ["--weights", pretraining, "--out", tmp_path / "out", "--sheet", tmp_path / "s.png"]
    result = call(image, *options)
    assert result.exit_code == 0, result.output
    assert pixels(tmp_path / "out" / "odd.png").shape == (*size, 3)


@pytest.mark.parametrize("beside", [False, True])
def test_a_folder_of_images_and_masks_elsewhere_or_beside_them(
    pretraining: Path, photo: Path, tmp_path: Path, beside: bool
) -> None:
    folder, ending = (photo.parent, "_mask001") if beside else (tmp_path / "masks", "")
    save(photo.with_name("other.png"), noise(30, 20, seed=1))
    masks = {"photo": np.zeros((40, 60), np.uint8), "other": np.zeros((30, 20), np.uint8)}
    masks["photo"][3:9, 50:] = 255
    masks["photo"][20, :] = 128
    masks["other"][::7] = 255
    for name, mask in masks.items():
        save(folder / f"{name}{ending}.bmp", mask)
    out = tmp_path / "out"
    options = ["--weights", pretraining / "model.safetensors", "--mask", folder]
    found = report(photo.parent, *options, "--out", out)
    assert [Path(image["image"]).stem for image in found["images"]] == ["other", "photo"]
    for name, mask in masks.items():
        before = pixels(photo.with_name(f"{name}.png"))
        different = changed(before, pixels(out / f"{name}.png"))
        assert different[mask >= 128].mean() > 0.95
        assert not different[mask < 128].any()


def test_the_report_names_files_shares_and_the_errors_in_the_hole(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    options = ["--weights", f"ours={pretraining}", "--rectangle", "50,3,10,6", "--out"]
    found = report(photo, *options, tmp_path / "out", "--intact", "--no-comparison")
    (image,) = found["images"]
    assert image["hole_share"] == 60 / 2400
    assert image["comparison"] is None
    assert found["sheet"] is None
    errors = image["fillings"]["ours"]
    assert errors["path"] == str(tmp_path / "out" / "photo.png")
    truth, filled = (pixels(p)[3:9, 50:].astype(float) for p in (photo, Path(errors["path"])))
    squared = np.mean((truth - filled) ** 2) / 255**2
    assert errors["mean_l1"] == pytest.approx(np.mean(np.abs(truth - filled)) / 255)
    assert errors["mean_l2"] == pytest.approx(squared)
    assert errors["psnr_db"] == pytest.approx(10 * math.log10(1 / squared))
    damaged = report(photo, *options, tmp_path / "damaged")
    assert list(damaged["images"][0]["fillings"]["ours"]) == ["path"]


def test_several_ways_stand_beside_each_other(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    save(photo.with_name("wide.png"), noise(20, 90, seed=1))
    out, sheet = tmp_path / "out", tmp_path / "sheets" / "figure.png"
    two = ["--weights", pretraining, "--weights", f"again={pretraining / 'model.safetensors'}"]
    found = report(photo.parent, *two, "--out", out, "--sheet", sheet)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{stem}{end}.png"
        for stem in ("photo", "wide")
        for end in ("-encoder", "-again", "-comparison")
    )
    assert found["sheet"] == str(sheet)
    # input, two fillings and the truth, each 192 wide with 6 on either side.
    assert pixels(sheet).shape[1] == 4 * (192 + 12)
    assert "two are named encoder" in refusal(photo, *two[:2], *two[:2], "--out", out)


def test_a_grey_photo_stays_grey_and_a_transparent_one_transparent(
    pretraining: Path, tmp_path: Path
) -> None:
    grey = save(tmp_path / "grey.png", noise(40, 60)[..., 0])
    clear = save(tmp_path / "clear.png", np.dstack([noise(40, 60), noise(40, 60)[..., :1]]))
    call(grey, clear, "--weights", pretraining, "--out", tmp_path / "out")
    with Image.open(tmp_path / "out" / "grey.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.array(image)[:12], noise(40, 60)[:12, :, 0])
    with Image.open(tmp_path / "out" / "clear.png") as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.array(image)[..., 3], noise(40, 60)[..., 0])


def test_random_holes_differ_between_images_and_not_between_calls(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    save(photo.with_name("twin.png"), noise(40, 60))
    options = ["--weights", pretraining, "--random", "block", "--out"]
    first = report(photo.parent, *options, tmp_path / "a")
    report(photo.parent, *options, tmp_path / "b")
    assert all(0 < image["hole_share"] < 0.3 for image in first["images"])
    a, b, twin = (pixels(tmp_path / name) for name in ("a/photo.png", "b/photo.png", "a/twin.png"))
    np.testing.assert_array_equal(a, b)
    assert (a != twin).any()


def test_an_interrupt_leaves_whole_files_only(
    pretraining: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(photo.with_name("second.png"), noise(40, 60, seed=1))

    def interrupted(path: Path, write: object) -> None:
        def half(temporary: Path) -> None:
            temporary.write_bytes(b"half of a picture")
            if path.stem == "second":
                raise KeyboardInterrupt
            write(temporary)  # type: ignore[operator]

        replace_atomically(path, half)

    monkeypatch.setattr(photos, "replace_atomically", interrupted)
    result = call(photo.parent, "--weights", pretraining, "--out", tmp_path / "out")
    assert result.exit_code != 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "photo-comparison.png",
        "photo.png",
    ]
    assert pixels(tmp_path / "out" / "photo.png").shape == (40, 60, 3)


def test_what_is_no_image_and_a_mask_that_does_not_fit_are_refused_before_anything_is_written(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    options = ["--weights", pretraining, "--out", tmp_path / "out"]
    assert "text.png is not an image" in refusal(photo, text, *options)
    assert "text.png is not an image" in refusal(photo, "--mask", text, *options)
    mask = save(tmp_path / "mask.png", np.zeros((60, 40), np.uint8))
    assert "a mask must have the size" in refusal(photo, "--mask", mask, *options)
    assert "too small" in refusal(save(tmp_path / "dot.png", noise(1, 1)), *options)
    assert not list(tmp_path.glob("out/*"))
    assert call(tmp_path / "absent.png", *options).exit_code == 2


def test_no_input_and_no_other_result_is_overwritten(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    options = ["--weights", pretraining, "--out"]
    assert "photo.png: is an input" in refusal(photo, *options, photo.parent)
    elsewhere = save(tmp_path / "elsewhere" / "photo.png", noise(40, 60))
    mask = save(photo.parent / "photo-comparison.png", noise(40, 60))
    text = refusal(elsewhere, "--mask", mask, *options, photo.parent)
    assert "photo.png" in text
    assert "is an input" in text
    twin = save(tmp_path / "elsewhere" / "photo.jpg", noise(40, 60))
    assert "is the result for" in refusal(photo, twin, *options, tmp_path / "out")
    sheet = ["--sheet", photo]
    assert "photo.png: is an input" in refusal(photo, *options, tmp_path / "out", *sheet)
    assert "name it .png" in refusal(photo, *options, tmp_path / "out", "--sheet", "sheet.jpg")
    gallery = ["--fill", "nn-hog", "--gallery", photo.parent, "--out"]
    assert "photo.png: is an input" in refusal(
        save(tmp_path / "other" / "photo.png", noise(40, 60, 1)), *gallery, photo.parent
    )
    np.testing.assert_array_equal(pixels(photo), noise(40, 60))


def test_a_trunk_and_a_run_without_model_are_refused(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    options = ["--out", tmp_path / "out", "--weights"]
    text = refusal(photo, *options, pretraining / "weights.safetensors")
    assert "holds a caffenet-trunk" in text
    assert "no such weights file" in refusal(photo, *options, photo.parent)
    assert "no such weights file" in refusal(photo, *options, "absent")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --weights, --fill, or both"),
        (["--fill", "nn-hog"], "--gallery and --fill nn-hog or nn-features need each other"),
        (["--weights", "w", "--gallery", "."], "need each other"),
        (["--fill", "nn-features", "--gallery", "."], "of the first --weights"),
        (["--weights", "w", "--center", "--random", "block"], "--center and --random exclude"),
        (["--weights", "w", "--rectangle", "1,2,3"], "1,2,3: give X,Y,WIDTH,HEIGHT"),
        (["--weights", "w", "--rectangle", "1,2,0,4"], "give X,Y,WIDTH,HEIGHT"),
        (["--weights", "w", "--rectangle", "-1,2,3,4"], "give X,Y,WIDTH,HEIGHT"),
        (["--weights", "w", "--random", "region"], "--random region and --region-shapes need"),
        (["--weights", "w", "--seed", "0"], "--seed needs --random"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    photo: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    result = call(photo, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")


def test_every_way_without_a_network_fills_the_hole_and_nothing_else(
    photo: Path, tmp_path: Path
) -> None:
    assert list(METHODS) == [*CLASSICAL, "nn-features", "nn-hog"]
    ways = [option for name in CLASSICAL for option in ("--fill", name)]
    found = report(photo, *ways, "--rectangle", "30,10,8,6", "--out", tmp_path / "out", "--intact")
    for name in CLASSICAL:
        different = changed(pixels(photo), pixels(tmp_path / "out" / f"photo-{name}.png"))
        assert different[10:16, 30:38].any()
        different[10:16, 30:38] = False
        assert not different.any()
        assert 0 < found["images"][0]["fillings"][name]["mean_l1"] < 1


@pytest.mark.parametrize("method", ["nn-hog", "nn-features"])
def test_the_neighbour_is_the_gallery_image_with_the_same_surroundings(
    pretraining: Path, tmp_path: Path, method: str
) -> None:
    for seed in range(3):
        save(tmp_path / "gallery" / f"{seed}.png", noise(128, 128, seed))
    emptied = noise(128, 128, seed=1)
    emptied[36:92, 36:92] = 0
    photo = save(tmp_path / "photo.png", emptied)
    options = ["--weights", pretraining, "--fill", method, "--gallery", tmp_path / "gallery"]
    found = report(photo, *options, "--out", tmp_path / "out")
    filled = Path(found["images"][0]["fillings"][method]["path"])
    np.testing.assert_array_equal(pixels(filled), noise(128, 128, seed=1))
    answer = tmp_path / "gallery" / "1.png"
    text = refusal(answer, *options, "--out", tmp_path / "whole")
    assert "so the answer would be pasted (1 of 1 images)" in text
    assert not (tmp_path / "whole").exists()


def test_a_method_that_cannot_fill_an_image_names_both(tmp_path: Path) -> None:
    tiny = save(tmp_path / "tiny.png", noise(5, 5))
    text = refusal(tiny, "--fill", "patch-match", "--out", tmp_path / "out")
    assert "tiny.png, patch-match: " in text


def test_weights_by_the_name_of_a_method_are_refused(
    pretraining: Path, photo: Path, tmp_path: Path
) -> None:
    options = ["--weights", f"telea={pretraining}", "--fill", "telea", "--out", tmp_path / "out"]
    for dry in ([], ["--dry-run"]):
        assert "--weights: telea is also a --fill; give another" in refusal(photo, *options, *dry)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a/b", "", "."])
def test_names_that_no_file_can_have_are_refused_by_the_dry_run_too(
    photo: Path, pretraining: Path, tmp_path: Path, name: str
) -> None:
    options = ["--weights", f"{name}={pretraining}", "--fill", "telea", "--out", tmp_path / "out"]
    for dry in ([], ["--dry-run"]):
        assert "cannot stand in a file's name" in refusal(photo, *options, *dry)
    assert not (tmp_path / "out").exists()
