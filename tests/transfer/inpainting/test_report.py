"""What an inpainting run writes: whose seed fills, which gallery image was pasted, distances."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from inpainting_scenes import HOLE, pictures
from PIL import Image

from cebench.inpainting.networks import load_context_features
from cebench.inpainting.photo_holes import central_hole
from cebench.training.run_directory import RunDirectory
from cebench.transfer.inpainting.data import InpaintingImages
from cebench.transfer.inpainting.prediction import Patches, predict
from cebench.transfer.inpainting.report import write_memorisation
from cebench.transfer.inpainting.task import InpaintingRecipe, measure
from cebench.transfer.run_context import RunContext
from cebench.weights.files import random_weights

CPU = torch.device("cpu")
IDENTITY = {"run": {"verb": "transfer"}}


def test_patch_match_fills_by_the_seed_of_the_run(tmp_path: Path) -> None:
    weights, photos = random_weights(0), pictures(1)[:, :64, :64]
    images = InpaintingImages([], photos, ["a"], photos, central_hole(64, 64))
    network, fills = load_context_features(weights, CPU), []
    with RunDirectory(tmp_path / "run", IDENTITY) as run:
        for seed in (1, 1, 2):
            context = RunContext(run=run, weights=weights, data=tmp_path, seed=seed, device=CPU)
            fillings = predict(("patch-match",), context, network, {}, images)
            fills.append(fillings["patch-match"].images)
    np.testing.assert_array_equal(fills[0], fills[1])
    assert (fills[0] != fills[2]).any()


@pytest.mark.parametrize("mirror", [False, True])
def test_a_pasted_mirror_image_is_called_mirrored(tmp_path: Path, mirror: bool) -> None:
    gallery = pictures(4)
    test = gallery[1, :, ::-1].copy() if mirror else gallery[1].copy()
    test[HOLE] = pictures(1, seed=9)[0][HOLE]  # so that it is another photo
    for folder, images in (("train", gallery), ("test", test[None])):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "data" / folder / f"{number}.png")
    recipe = InpaintingRecipe(tier="smoke", rows=("nn-pixels",), gallery_views="mirrored-too")
    with RunDirectory(tmp_path / "run", IDENTITY) as run:
        measure(
            recipe,
            RunContext(
                run=run, weights=random_weights(0), data=tmp_path / "data", seed=0, device=CPU
            ),
        )
    with (tmp_path / "run" / "per_image.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert line["neighbour"] == ("1.png (mirrored)" if mirror else "1.png")


def test_the_summary_has_the_mean_of_each_distance(tmp_path: Path) -> None:
    patches = Patches(np.array([0.1, 0.3]), np.array([0.02, 0.12]))
    write_memorisation(tmp_path / "memorisation.json", {"truth": patches})
    summary = json.loads((tmp_path / "memorisation.json").read_text())
    assert summary == {
        "distance_to_nearest_gallery_patch": {
            "truth": {"mean_l1": pytest.approx(0.2), "mean_l2": pytest.approx(0.07)}
        }
    }
