"""A finished run knows its data: by their content, wherever they lie."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from inpainting_scenes import gallery_and_test
from PIL import Image

from cebench.errors import InputError
from cebench.pretrain.run import Request, run_pretraining
from cebench.reporting.records import load_record
from cebench.training.data_state import files_named_in, stamp
from cebench.transfer.run import Request as TransferRequest
from cebench.transfer.run import run_transfer

ROWS = 'rows=["mean-of-context"]'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return gallery_and_test(tmp_path / "data")


def request(data: Path, out: Path, *, resume: bool = True) -> TransferRequest:
    return TransferRequest(
        task="inpainting",
        weights="random",
        data=data,
        out=out,
        recipe="smoke",
        changes=(ROWS,),
        resume=resume,
    )


def test_a_finished_run_whose_data_changed_says_so(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = run_transfer(request(data, run))
    assert run_transfer(request(data, run)) == first
    photograph = data / "test" / "test0.png"
    os.utime(photograph)  # Touched, not changed.
    assert run_transfer(request(data, run)) == first
    Image.fromarray(np.zeros((128, 128, 3), np.uint8) + 7).save(photograph)
    with pytest.raises(InputError, match=r"finished on other data than .*--no-resume"):
        run_transfer(request(data, run))
    pixels = np.random.default_rng(9).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photograph)
    again = run_transfer(request(data, run, resume=False))
    assert again.data.fingerprint != first.data.fingerprint


def test_the_same_images_elsewhere_are_the_same_run(data: Path, tmp_path: Path) -> None:
    first = run_transfer(request(data, tmp_path / "run"))
    shutil.copytree(data, tmp_path / "scratch" / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(data)
    assert run_transfer(request(tmp_path / "scratch" / "copy", tmp_path / "run")) == first
    # Without any data the numbers still stand.
    assert run_transfer(request(data, tmp_path / "run")) == first


@pytest.mark.slow
def test_a_pretraining_knows_its_images(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
    changes = ("steps=1", "batch_size=2", "short_side=227", "balance=false", 'filters="pca"')
    given = {"method": "kmeans-init", "recipe": "short", "out": tmp_path / "run"}
    run = Request(data=(folder,), changes=changes, **given)
    path = run_pretraining(run)
    stored = load_record(tmp_path / "run" / "record.json").data.fingerprint
    folder.rename(tmp_path / "moved")
    moved = Request(data=(tmp_path / "moved",), changes=changes, **given)
    assert run_pretraining(moved) == path
    assert load_record(tmp_path / "run" / "record.json").data.fingerprint == stored
    (tmp_path / "moved" / "0.png").unlink()
    with pytest.raises(InputError, match="finished on other data"):
        run_pretraining(moved)


def test_a_stamp_is_of_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")
    first = stamp([tmp_path / "a"])
    shutil.copytree(tmp_path / "a", tmp_path / "c")  # copy2 keeps the times.
    assert stamp([tmp_path / "c"]) == first
    (tmp_path / "c" / "b" / "x").write_text("12")
    assert stamp([tmp_path / "c"]) != first


def test_a_stamp_follows_links_and_goes_in_no_circles(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for folder in (data / "a", data / "b", elsewhere):
        folder.mkdir(parents=True)
    (elsewhere / "x.png").write_bytes(b"1")
    (data / "a" / "linked").symlink_to(elsewhere)
    before = stamp([data])
    for name in ("a/up", "b/up", "a/again"):
        (data / name).symlink_to("..")
    (data / "b" / "nowhere").symlink_to("absent")
    assert stamp([data]) == before
    (elsewhere / "x.png").write_bytes(b"22")
    assert stamp([data]) != before


def test_files_of_the_current_folder_are_files_that_a_recipe_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine.txt", "val"):
        (tmp_path / name).write_text("")
    values = {"test_set": "mine.txt", "train_set": "val", "proposals": "absent.mat", "side": 7}
    absolute = str(tmp_path / "val")
    named = files_named_in({**values, "voc_image_set": absolute})
    assert named == [Path("mine.txt"), Path(absolute)]


@pytest.mark.slow
def test_a_pretraining_knows_the_list_of_its_images(tiny_voc: Path, tmp_path: Path) -> None:
    images = tmp_path / "mine.txt"
    images.write_text("000001\n000002\n")
    run = Request(
        method="kmeans-init",
        recipe="short",
        data=(tiny_voc / "VOC2007",),
        out=tmp_path / "run",
        changes=(
            *("steps=1", "batch_size=2", "short_side=227", "balance=false", 'filters="pca"'),
            f"voc_image_set={images}",
        ),
    )
    assert run_pretraining(run) == run_pretraining(run)
    images.write_text("000001\n000003\n")
    with pytest.raises(InputError, match="finished on other data"):
        run_pretraining(run)
