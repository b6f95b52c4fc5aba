"""The silhouettes of random regions are part of what a run is, wherever they lie."""

import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cebench.pretrain.run import Request, identity_of, run_pretraining
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
    labels = np.zeros((60, 80), np.uint8)
    labels[:10, :10] = 3
    Image.fromarray(labels).save(voc / "SegmentationClass" / "000001.png")
    assert shapes_hash(voc) != first
    assert shapes_hash(voc, "random-block") is None


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
