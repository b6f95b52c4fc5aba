"""What the paper names beside the default context encoder, each as a short real run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from blurred_photos import save_photos

from cebench.config import load_recipe
from cebench.inpainting.networks import load_inpainter
from cebench.pretrain.options.reconstruction import ContextRecipe, DenoisingRecipe
from cebench.pretrain.run import Request, run_pretraining
from cebench.reporting.records import load_record
from cebench.weights.files import load_weights

QUICK = ("steps=2", "batch_size=2", "held_out_images=1", "checkpoint_every=2", "log_every=1")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_photos(tmp_path / "photos", [(60, 50)] * 3)


def pretrain(method: str, photos: Path, out: Path, *changes: str) -> Path:
    return run_pretraining(
        Request(method=method, data=(photos,), out=out, recipe="smoke", changes=(*QUICK, *changes))
    )


def test_a_pool_free_run_leaves_a_model_that_inpaints_and_no_trunk(
    photos: Path, tmp_path: Path
) -> None:
    changes = ("side=227", "short_side=256", "pooling=none", "up_kernel=3", "mask=noise")
    path = pretrain("context", photos, tmp_path / "run", *changes)
    assert path.name == "model.safetensors"
    assert not (tmp_path / "run" / "weights.safetensors").exists()
    assert load_record(tmp_path / "run" / "record.json").measurements == ()
    inpainter = load_inpainter(load_weights(path), torch.device("cpu"))
    hole = np.zeros((60, 60), bool)
    hole[20:40, 20:40] = True
    images = np.full((1, 60, 60, 3), 200, np.uint8)
    filled = inpainter.fill(images, hole)
    assert (filled[:, ~hole] == 200).all()
    assert (filled[:, hole] != 200).any()


def test_the_denoising_autoencoder_leaves_a_trunk(photos: Path, tmp_path: Path) -> None:
    path = pretrain("denoising-autoencoder", photos, tmp_path / "run", "missing_share=0.5")
    weights = load_weights(path)
    assert path.name == "weights.safetensors"
    assert weights.sidecar.method == "denoising-autoencoder"
    assert weights.sidecar.recipe_values["missing_share"] == 0.5
    assert (tmp_path / "run" / "samples" / "step-000002.png").exists()


def test_the_two_paper_recipes_have_the_papers_masks_and_rates() -> None:
    region, central = (
        load_recipe(ContextRecipe, "cebench.pretrain", "context", name)[0]
        for name in ("paper", "paper-central")
    )
    assert (region.mask, region.learning_rate) == ("random-region", 1e-4)
    assert (central.mask, central.learning_rate) == ("central", 1e-3)
    different = {"mask", "learning_rate"}
    assert region.model_dump(exclude=different) == central.model_dump(exclude=different)


def test_the_denoising_autoencoder_follows_the_context_encoders_schedule() -> None:
    denoising, _ = load_recipe(
        DenoisingRecipe, "cebench.pretrain", "denoising-autoencoder", "paper"
    )
    context, _ = load_recipe(ContextRecipe, "cebench.pretrain", "context", "paper")
    for name in ("steps", "batch_size", "learning_rate", "loss"):
        assert getattr(denoising, name) == getattr(context, name)
