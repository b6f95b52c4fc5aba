"""Options of the inpainting model that the released code does not have: they are off by default."""

from pathlib import Path

import numpy as np
import pytest
import torch
from blurred_photos import save_photos
from power_cuts import power_cut
from torch import nn

from cebench.config import load_recipe, recipe_sha256
from cebench.data.hole_masks import CentralHole
from cebench.data.store.packing import prepare_store
from cebench.data.store.ragged import RaggedImages
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.inpainting.networks import load_inpainter
from cebench.pretrain.context_gan import ContextGan
from cebench.pretrain.crops import Crops
from cebench.pretrain.options.context_gan import ContextGanRecipe
from cebench.pretrain.run import Request, run_pretraining
from cebench.pretrain.sources import load_source
from cebench.pretrain.weight_average import WeightAverage
from cebench.weights.files import load_weights

TINY = ("steps=4", "batch_size=2", "bottleneck=4", "held_out_images=1", "log_every=1")


def recipe(*changes: str) -> ContextGanRecipe:
    return load_recipe(ContextGanRecipe, "cebench.pretrain", "context-gan", "smoke", changes)[0]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_photos(tmp_path / "photos", [(80, 60)] * 3)


def request(photos: Path, out: Path, *changes: str) -> Request:
    return Request(
        method="context-gan", data=(photos,), out=out, recipe="smoke", changes=(*TINY, *changes)
    )


def test_both_rates_rise_and_fall_together() -> None:
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (140, 140, 3), dtype=np.uint8) for _ in range(3)]
    crops = Crops(RaggedImages.from_arrays(images), 128, 0, 0, torch.device("cpu"))
    changes = (*TINY, "warmup_steps=2", "decay_from=0.5", "final_rate=0.5", "learning_rate=0.001")
    trained = ContextGan(crops, CentralHole(128, 56), recipe(*changes))
    rates = []
    for step in range(4):
        trained.update(step, trained.batch(step))
        adams = (trained.adversary, trained.adam)
        rates.append([adam.param_groups[0]["lr"] for adam in adams])
    # Step 3 of 4 is half way from step 2, half of the steps, to the end: 1 - 0.5 / 2.
    expected = [[0.001 * factor, 0.01 * factor] for factor in (0.5, 1, 1, 0.75)]
    assert rates == pytest.approx(np.array(expected))


def test_the_average_follows_as_written_out() -> None:
    """Decays 1/10, 2/11, then 0.25: the early ones are below it."""
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    average = WeightAverage(network, 0.25)
    expected, expected_mean = network[0].weight.item(), 0.0
    for step, decay in enumerate((0.1, 2 / 11, 0.25, 0.25)):
        with torch.no_grad():
            network[0].weight.fill_(step)
            network[1].running_mean.fill_(step)
            network[1].num_batches_tracked.fill_(step)
        average.follow(network, step)
        expected = decay * expected + (1 - decay) * step
        assert average.network[0].weight.item() == pytest.approx(expected)
        expected_mean = decay * expected_mean + (1 - decay) * step
        assert average.network[1].running_mean.item() == pytest.approx(expected_mean)
    assert average.network[1].num_batches_tracked == 3
    assert not any(parameter.requires_grad for parameter in average.parameters())


@pytest.mark.slow
def test_the_average_is_what_is_written_and_survives_a_broken_off_run(
    photos: Path, tmp_path: Path
) -> None:
    changes = ("average_decay=0.9", "checkpoint_every=2")
    straight = run_pretraining(request(photos, tmp_path / "straight", *changes))
    plain = run_pretraining(request(photos, tmp_path / "plain", "average_decay=0"))
    ours, last = (load_weights(path).tensors for path in (straight, plain))
    assert ours.keys() == last.keys()
    assert not all(torch.equal(ours[name], last[name]) for name in ours)
    with power_cut(ContextGan, 3):
        run_pretraining(request(photos, tmp_path / "run", *changes))
    resumed = run_pretraining(request(photos, tmp_path / "run", *changes))
    assert sha256_of(resumed) == sha256_of(straight)


def test_the_generator_is_kept_at_chosen_steps_and_fills_holes(
    photos: Path, tmp_path: Path
) -> None:
    """It is the average of so many steps, as a run that ends there has it."""
    small = ("side=64", "short_side=64", "region=image", "mask=random-block", "average_decay=0.5")
    ended = run_pretraining(request(photos, tmp_path / "short", *small, "steps=2"))
    run_pretraining(request(photos, tmp_path / "run", *small, "steps=3", "weights_at=[2]"))
    kept = tmp_path / "run" / "model-2.safetensors"
    for name, tensor in load_weights(ended).tensors.items():
        assert torch.equal(tensor, load_weights(kept).tensors[name]), name
    sidecar = load_weights(kept).sidecar
    assert (sidecar.steps, sidecar.architecture) == (2, "inpainting-generator")
    assert sidecar.preprocessing == load_weights(ended).sidecar.preprocessing
    load_inpainter(load_weights(kept), torch.device("cpu"))
    assert not list((tmp_path / "run").glob("weights*"))
    plain, keeping = recipe(*TINY), recipe(*TINY, "weights_at=[2]")
    assert recipe_sha256(plain) == recipe_sha256(keeping)


def test_images_of_further_sizes_follow_those_of_the_first(photos: Path) -> None:
    source = load_source((photos,), (), "train", 128, (150, 256))
    assert source.images.heights.tolist() == [128] * 3 + [150] * 3 + [256] * 3
    one = load_source((photos,), (), "train", 150)
    assert torch.equal(source.images.image(4), one.images.image(1))
    assert source.fingerprint == one.fingerprint


def test_what_cannot_be_is_said_in_one_line(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more_short_sides=100 is less than side=128"):
        recipe("more_short_sides=[200, 100]")
    store = tmp_path / "store"
    prepare_store((photos,), store, short_side=144, workers=1)
    with pytest.raises(InputError, match="more_short_sides needs the images") as caught:
        run_pretraining(request(store, tmp_path / "run", "more_short_sides=[200]"))
    assert "\n" not in str(caught.value)


def test_the_released_codes_recipe_has_none_of_it() -> None:
    paper, _ = load_recipe(ContextGanRecipe, "cebench.pretrain", "context-gan", "paper")
    assert (paper.decay_from, paper.warmup_steps, paper.average_decay) == (1, 0, 0)
    assert paper.more_short_sides == ()
