"""That the reconstruction methods learn: the step itself, and what becomes of the network."""

import math
from collections.abc import Callable
from importlib.resources import files

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from cebench.config import load_recipe
from cebench.data.hole_masks import CentralHole, Holes, RandomBlocks, ScatteredPixels
from cebench.data.store.ragged import RaggedImages
from cebench.models.context_encoder import AreaResize
from cebench.pretrain.context import CENTRAL_HOLE_SIDES
from cebench.pretrain.crops import Crops
from cebench.pretrain.health import BASELINE, POOL5_ACTIVE
from cebench.pretrain.options import RECIPES
from cebench.pretrain.options.reconstruction import ReconstructionRecipe
from cebench.pretrain.reconstruction import Counted, Reconstruction, ReconstructionLoss

CPU = torch.device("cpu")
TASKS: dict[str, tuple[Callable[[int], Holes | None], Counted]] = {
    "autoencoder": (lambda side: None, "all"),
    "denoising-autoencoder": (lambda side: ScatteredPixels(side, 0.25), "all"),
    "context": (RandomBlocks, "missing"),
}


WITHOUT_EFFECT = {
    *("tier", "steps", "log_every", "checkpoint_every", "samples_at", "weights_at"),
    *("batch_size", "warmup_steps", "precision", "compile", "cuda_graphs"),
    *("decay_from", "final_rate", "short_side", "held_out_images", "voc_image_set"),
    *("block_sides", "block_share", "region_image_set"),
}
"""Options that are set, or not looked at, where the first steps of a recipe are taken below."""


def recipe(method: str, name: str, **changes: object) -> ReconstructionRecipe:
    kind = RECIPES[method]
    loaded, _ = load_recipe(kind, "cebench.pretrain", method, name)
    assert isinstance(loaded, ReconstructionRecipe)
    return loaded.model_copy(update=changes)


def program(method: str, values: ReconstructionRecipe, images: int = 8) -> Reconstruction:
    """On smooth images of the crops' side, so that a crop is a whole image, mirrored or not."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (images, 4, 4, 3), dtype=np.uint8)
    size = (values.side, values.side)
    pictures = [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in coarse]
    crops = Crops(RaggedImages.from_arrays(pictures), values.side, 0, 0, CPU)
    holes, counted = TASKS[method]
    made = holes(values.side)
    if getattr(values, "mask", "") == "central":
        made = CentralHole(values.side, CENTRAL_HOLE_SIDES[values.side])
    trained = Reconstruction(crops, made, counted, values)
    trained.network.train()
    return trained


def metrics(trained: Reconstruction, steps: range) -> list[dict[str, float]]:
    lines = []
    for step in steps:
        torch.manual_seed(step)
        values = trained.update(step, trained.batch(step))
        lines.append({name: value.item() for name, value in values.items()})
    return lines


def test_the_steps_are_adams_written_out() -> None:
    """Three steps: the first alone would be the rate times a sign, whatever the decay rates are."""
    values = recipe(
        "context", "smoke", batch_size=2, learning_rate=1e-3, encoder_rate=0.1, weight_decay=0.1
    ).model_copy(update={"adam_beta1": 0.8, "warmup_steps": 2, "steps": 100})
    trained = program("context", values, images=2)
    parameters = dict(trained.network.named_parameters())
    expected = {name: p.detach().clone().double() for name, p in parameters.items()}
    first = {name: torch.zeros_like(p) for name, p in expected.items()}
    second = {name: torch.zeros_like(p) for name, p in expected.items()}
    for step in range(3):
        trained.update(step, trained.batch(step))
        for name, parameter in parameters.items():
            assert parameter.grad is not None
            gradient = parameter.grad.double()
            first[name] = 0.8 * first[name] + 0.2 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            rate = 1e-3 * (0.1 if name.startswith("encoder") else 1) * (0.5, 1, 1)[step]
            if parameter.dim() > 1 and name.endswith("weight"):
                expected[name] *= 1 - 0.1 * rate
            mean = first[name] / (1 - 0.8 ** (step + 1))
            deviation = (second[name] / (1 - 0.999 ** (step + 1))).sqrt()
            expected[name] -= rate * mean / (deviation + 1e-8)
    for name, parameter in parameters.items():
        change = (expected[name] - parameter.double()).abs().max().item()
        assert change < 2e-6, name


@pytest.mark.parametrize("method", TASKS)
def test_every_layer_changes_and_the_loss_falls_on_eight_images(method: str) -> None:
    values = recipe(method, "smoke", batch_size=8, warmup_steps=0, learning_rate=3e-3)
    trained = program(method, values)
    before = {name: p.detach().clone() for name, p in trained.network.named_parameters()}
    lines = metrics(trained, range(12))
    for name, parameter in trained.network.named_parameters():
        assert not torch.equal(parameter, before[name]), name
    first, last = (np.mean([line["loss"] for line in part]) for part in (lines[:2], lines[-2:]))
    assert last < 0.8 * first


def share_of_mean_colours_error(trained: Reconstruction) -> float:
    """The loss of four batches in eval mode over that of the mean colour."""
    trained.network.eval()
    with torch.no_grad():
        batches = [trained.batch(step) for step in range(1000, 1004)]
        losses = [trained.loss(batch.images, batch.holes)[:2] for batch in batches]
    trained.network.train()
    loss, baseline = torch.tensor(losses).sum(0)
    return float(loss / baseline)


@pytest.mark.slow
@pytest.mark.parametrize("method", TASKS)
def test_eight_images_are_learned_to_a_tenth_of_the_mean_colours_error(method: str) -> None:
    """Within 200 steps; measured every 20, since half of them are mostly enough."""
    values = recipe(method, "smoke", batch_size=8, warmup_steps=0, learning_rate=2e-3)
    trained, shares = program(method, values), [1.0]
    while shares[-1] > 0.1 and len(shares) <= 10:
        metrics(trained, range(20 * (len(shares) - 1), 20 * len(shares)))
        shares.append(share_of_mean_colours_error(trained))
    assert shares[-1] < 0.1, shares


def shipped() -> list[tuple[str, str]]:
    """Method and name of the shipped recipes, of those that begin alike the first."""
    folder, found = files("cebench.pretrain") / "recipes", {}
    for method in TASKS:
        for entry in sorted((folder / method).iterdir(), key=lambda entry: entry.name):
            name = entry.name.removesuffix(".toml")
            values = recipe(method, name).model_dump(exclude=WITHOUT_EFFECT)
            mask = "central" if values.pop("mask", "") == "central" else "blocks"
            found.setdefault((method, mask, *values.items()), (method, name))
    return list(found.values())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "name"), shipped())
def test_no_shipped_rate_kills_pool5_within_30_steps(method: str, name: str) -> None:
    values = recipe(method, name, batch_size=4, warmup_steps=0, precision="fp32")
    active = [line[POOL5_ACTIVE] for line in metrics(program(method, values, 4), range(30))]
    assert min(active) > 0.2


@pytest.mark.slow
def test_the_unconditioned_encoder_dies_at_the_papers_central_rate() -> None:
    """What the conditioning is for; the test above would pass with dead units if this one did."""
    values = recipe(
        "context",
        "paper-central",
        batch_size=4,
        input_divisor=1,
        batch_norm="none",
        residual="none",
    )
    active = [line[POOL5_ACTIVE] for line in metrics(program("context", values, 4), range(30))]
    assert active[0] > 0.2
    assert active[-1] < 0.2


def test_the_metrics_are_the_loss_over_the_mean_colours_and_the_share_of_live_values() -> None:
    values = recipe("context", "smoke", batch_size=4, learning_rate=1e-9, weight_decay=0)
    trained = program("context", values, images=4)
    batch = trained.batch(0)
    (line,) = metrics(trained, range(1))
    holes, images = batch.holes, batch.images.double() / 127.5 - 1
    assert holes is not None
    share = AreaResize(115, 33)
    target, missing = share(images.float()), share(holes)
    visible = (images * ~holes).sum((2, 3), keepdim=True) / (~holes).sum((2, 3), keepdim=True)
    error = ((visible - target) ** 2 * missing).sum() / (3 * missing.sum())
    assert line["loss"] / line[BASELINE] == pytest.approx(error.item(), rel=1e-4)
    assert 0 < line[POOL5_ACTIVE] < 1


def test_area_resize_is_the_mean_over_the_area_worked_out_by_hand() -> None:
    """3 pixels to 2: each target covers one and a half."""
    maps = torch.tensor([[1.0, 2, 4], [1, 2, 4], [1, 2, 4]]).view(1, 1, 3, 3)
    expected = torch.tensor([[4 / 3, 10 / 3]] * 2)
    torch.testing.assert_close(AreaResize(3, 2)(maps)[0, 0], expected)


def test_a_target_pixel_counts_by_its_missing_share() -> None:
    """Four pixels to one: white, of which one pixel is missing, in the second image all four."""
    images = torch.full((2, 3, 2, 2), 255, dtype=torch.uint8)
    holes = torch.zeros(2, 1, 2, 2, dtype=torch.bool)
    holes[0, 0, 0, 0] = holes[1] = True
    prediction = torch.tensor([0.0, 0.5]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    base = torch.zeros(2, 3, 1, 1)
    loss, baseline = ReconstructionLoss("l2", "missing", AreaResize(2, 1))(
        prediction, images, holes, base
    )
    # Squared errors 1 and 1/4 with weights 1/4 and 1; the image with the larger hole weighs more.
    assert loss.item() == pytest.approx((0.25 * 1 + 1 * 0.25) / 1.25)
    assert baseline.item() == pytest.approx(1)


def test_rates_rise_stay_and_fall() -> None:
    values = recipe("context", "small", steps=100, warmup_steps=10, decay_from=0.7, final_rate=0.02)
    factors = [values.rate_factor(step, 100) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert set(factors[10:71]) == {1.0}
    assert factors[85] == pytest.approx(0.51)
    assert factors[99] == pytest.approx(1 - 29 / 30 * 0.98)
    assert math.isclose(values.rate_factor(100, 100), 0.02)


def test_a_bf16_step_gives_nearly_the_loss_of_fp32() -> None:
    losses: list[Tensor] = []
    for precision in ("fp32", "bf16"):
        trained = program("context", recipe("context", "smoke", batch_size=4, precision=precision))
        trained.network.eval()
        batch = trained.batch(0)
        losses.append(trained.loss(batch.images, batch.holes)[0])
    assert losses[0] != losses[1]
    torch.testing.assert_close(losses[0], losses[1], rtol=0.02, atol=0)
