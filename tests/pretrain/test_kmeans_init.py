from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from blurred_photos import save_photos
from torch import Tensor

from cebench.models.backbones import build_trunk
from cebench.models.caffenet import CaffeNetTrunk, preprocess
from cebench.models.data_dependent import gradient_ratios
from cebench.pretrain import kmeans_init
from cebench.pretrain.options.initial_weights import KmeansInitRecipe
from cebench.pretrain.run import Request, run_pretraining
from cebench.pretrain.run_context import Pretrained, RunContext
from cebench.training.run_directory import RunDirectory
from cebench.weights.files import load_weights
from cebench.weights.loading import load_trunk


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_photos(tmp_path / "photos", [(80, 60)] * 4, colours=9)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The batches that layers would be made of; the trunk keeps its weights, for speed."""
    seen: list[Tensor] = []

    def keep_weights(trunk: CaffeNetTrunk, images: Sequence[Tensor], *options: object) -> None:
        seen.extend(images)

    monkeypatch.setattr(kmeans_init, "initialise_from_data", keep_weights)
    return seen


def pretrained(recipe: KmeansInitRecipe, photos: Path, out: Path) -> Pretrained:
    torch.manual_seed(0)
    with RunDirectory(out, {"run": {"verb": "pretrain"}}) as run:
        context = RunContext(
            data=(photos,),
            run=run,
            seed=3,
            device=torch.device("cpu"),
            keep=lambda pretrained: None,
        )
        return kmeans_init.pretrain(recipe, context)


def test_layers_are_made_of_as_many_batches_as_steps_say(
    batches: list[Tensor], tmp_path: Path
) -> None:
    six = save_photos(tmp_path / "six", [(80, 60)] * 6, colours=9)
    recipe = KmeansInitRecipe(tier="smoke", steps=2, batch_size=2, balance=False)
    found = pretrained(recipe, six, tmp_path / "run")
    assert (found.images, found.steps) == (4, 2)
    assert [len(batch) for batch in batches] == [2, 2]


def test_balance_makes_the_gradient_ratios_agree_within_one_percent(
    batches: list[Tensor], photos: Path, tmp_path: Path
) -> None:
    spreads = {}
    for balance in (False, True):
        recipe = KmeansInitRecipe(tier="smoke", steps=1, batch_size=1, balance=balance)
        found = pretrained(recipe, photos, tmp_path / f"run-{balance}")
        trunk = build_trunk().eval()
        trunk.load_state_dict(found.trunk)
        ratios = gradient_ratios(trunk, batches[-1], seed=3)
        spreads[balance] = float((ratios / ratios.log().mean().exp() - 1).abs().max())
    assert spreads[True] < 0.01 < 0.3 < spreads[False]


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
