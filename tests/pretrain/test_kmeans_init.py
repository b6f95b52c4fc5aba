from pathlib import Path

import pytest
import torch
from blurred_photos import save_photos

from cebench.models.caffenet import CaffeNetTrunk, preprocess
from cebench.pretrain.options.initial_weights import KmeansInitRecipe
from cebench.pretrain.run import Request, run_pretraining
from cebench.weights.files import load_weights
from cebench.weights.loading import load_trunk


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_photos(tmp_path / "photos", [(80, 60)] * 4, colours=9)


@pytest.mark.slow
def test_kmeans_init_leaves_a_trunk_that_answers_and_repeats(photos: Path, tmp_path: Path) -> None:
    changes = ("batch_size=2", "balance=false")
    runs = [
        run_pretraining(
            Request(
                method="kmeans-init",
                data=(photos,),
                out=tmp_path / name,
                recipe="smoke",
                changes=changes,
                device="cpu",
            )
        )
        for name in ("a", "b")
    ]
    first, second = (load_weights(path) for path in runs)
    assert (first.sidecar.method, first.sidecar.steps) == ("kmeans-init", 1)
    assert all(torch.equal(first.tensors[n], second.tensors[n]) for n in first.tensors)
    trunk = CaffeNetTrunk()
    proof = load_trunk(trunk, first)
    assert proof.relative_response_change > 0.1
    with torch.no_grad():
        noise = torch.rand(1, 3, 227, 227, generator=torch.Generator().manual_seed(0)) * 255
        pool5 = trunk.eval()(preprocess(noise))
    assert 0.01 < pool5.std() < 100


def test_recipes_are_those_of_the_published_code() -> None:
    recipe = KmeansInitRecipe(tier="paper")
    assert (recipe.steps, recipe.batch_size, recipe.mean_output) == (10, 16, 0.1)
