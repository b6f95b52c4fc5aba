"""The silhouettes of random regions are part of what a run is, wherever they lie."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from samples import DETECTION

from cebench.errors import InputError
from cebench.pretrain import run
from cebench.pretrain.methods import METHODS
from cebench.pretrain.run import Request, identity_of, run_pretraining
from cebench.training.run_directory import RunDirectory
from cebench.weights.files import read_sidecar


def shapes_hash(voc: Path, mask: str = "random-region") -> object:
    request = Request(
        method="context", data=(), out=Path("run"), region_shapes=voc, changes=(f"mask={mask}",)
    )
    recipe, name = request.resolve()
    identity = identity_of(request, recipe, name, torch.device("cpu"))
    return identity["run"].get("region_shapes_sha256")


def test_equal_silhouettes_elsewhere_are_equal_and_others_are_not(
    tiny_voc: Path, tmp_path: Path
) -> None:
    voc = tiny_voc / "VOC2007"
    first = shapes_hash(voc)
    assert isinstance(first, str)
    shutil.copytree(voc, tmp_path / "scratch" / "VOC2007")
    assert shapes_hash(tmp_path / "scratch" / "VOC2007") == first
    save_label(voc)
    assert shapes_hash(voc) != first
    assert shapes_hash(voc, "random-block") is None


def test_a_finished_run_needs_no_silhouettes_and_reads_them_once(
    tiny_voc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(voc: Path) -> Request:
        data = tiny_voc / "VOC2007" / "JPEGImages"
        return Request(
            method="context",
            recipe="smoke",
            data=(data,),
            out=tmp_path / "run",
            region_shapes=voc,
            changes=("mask=random-region",),
            device="cpu",
        )

    shapes = tmp_path / "VOC2012"
    shutil.copytree(tiny_voc / "VOC2007", shapes)
    finish(request(shapes))
    reading = []
    fingerprint = run.fingerprint_files
    monkeypatch.setattr(run, "fingerprint_files", lambda *a: reading.append(a) or fingerprint(*a))
    run_pretraining(request(shapes))
    assert len(reading) == 1
    run_pretraining(request(shapes))
    assert len(reading) == 1
    save_label(shapes)
    with pytest.raises(InputError, match=r"finished on other data than .*VOC2012 now holds"):
        run_pretraining(request(shapes))
    shutil.rmtree(shapes)
    touch(tiny_voc)
    assert run_pretraining(request(shapes)) == tmp_path / "run" / "weights.safetensors"


def test_a_devkit_stands_for_its_year_2012(tiny_voc: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_voc / "VOC2007", tmp_path / "devkit" / "VOC2012")
    shutil.copytree(tiny_voc / "VOC2007", tmp_path / "devkit" / "VOC2007")
    save_label(tmp_path / "devkit" / "VOC2007")
    year_2012, year_2007 = (tmp_path / "devkit" / year for year in ("VOC2012", "VOC2007"))
    assert shapes_hash(tmp_path / "devkit") == shapes_hash(year_2012) != shapes_hash(year_2007)


def touch(folder: Path) -> None:
    """Give the files below `folder` another time."""
    for path in folder.rglob("*.jpg"):
        os.utime(path, (1, 1))


def finish(request: Request) -> None:
    """Leave the finished run of `request`, without weights that mean anything."""
    identity = identity_of(request, *request.resolve(), torch.device("cpu"))
    with RunDirectory(request.out, identity) as directory:
        found = METHODS["context"].inputs(request.resolve()[0], request)
        data = replace(DETECTION.data, fingerprint=found.fingerprint())
        directory.finish(replace(DETECTION, data=data))
        for name in ("weights.safetensors", "weights.json"):
            (directory.path / name).touch()


def save_label(voc: Path) -> None:
    """Replace a label image by another one."""
    labels = np.zeros((60, 80), np.uint8)
    labels[:10, :10] = 3
    Image.fromarray(labels).save(voc / "SegmentationClass" / "000001.png")


def test_weights_know_the_silhouettes_outside_their_recipes_hash(
    tiny_voc: Path, tmp_path: Path
) -> None:
    """They are data: rows whose holes had other shapes are told apart by them alone."""
    voc = tiny_voc / "VOC2007"
    request = Request(
        method="context",
        recipe="smoke",
        data=(voc / "JPEGImages",),
        region_shapes=voc,
        out=tmp_path / "run",
        device="cpu",
        changes=("mask=random-region", "steps=1", "batch_size=2"),
    )
    run_pretraining(request)
    sidecar = read_sidecar(tmp_path / "run" / "weights.safetensors")
    assert sidecar.recipe_values["region_shapes_sha256"] == shapes_hash(voc)
    assert "region_shapes_sha256" in sidecar.recipe_excluded_from_hash
