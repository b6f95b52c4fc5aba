"""What each reconstruction method takes away from its images, and which pixels its loss counts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from cebench.config import load_recipe
from cebench.data.hole_masks import (
    CentralHole,
    Holes,
    NoisePattern,
    RandomBlocks,
    RandomRegions,
    ScatteredPixels,
)
from cebench.errors import InputError
from cebench.pretrain import autoencoder, context, denoising, options
from cebench.pretrain.holes import holes_of
from cebench.pretrain.options.reconstruction import ContextRecipe
from cebench.pretrain.run_context import RunContext
from cebench.randomness import numpy_generator

PROGRAMS = {"autoencoder": autoencoder, "context": context, "denoising-autoencoder": denoising}


@pytest.fixture
def run_context(tiny_voc: Path) -> RunContext:
    values: dict[str, Any] = dict.fromkeys(("run", "data", "exclude", "keep"))
    voc = tiny_voc / "VOC2012"
    (tiny_voc / "VOC2007").rename(voc)
    (voc / "SegmentationObject").mkdir()
    objects = np.zeros((60, 80), np.uint8)
    objects[20:40, 10:30] = 1
    Image.fromarray(objects).save(voc / "SegmentationObject" / "000001.png")
    (voc / "ImageSets" / "Segmentation").mkdir(exist_ok=True)
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("000001\n")
    return RunContext(**values, region_shapes=voc, seed=0, device=torch.device("cpu"))


def asked(
    method: str,
    recipe: str,
    run_context: RunContext,
    monkeypatch: pytest.MonkeyPatch,
    *changes: str,
) -> tuple[Holes | None, str]:
    """What the method hands to the common program: its holes, and the pixels that count."""
    program, calls = PROGRAMS[method], []
    monkeypatch.setattr(program, "pretrain_by_reconstruction", lambda *given: calls.append(given))
    values, _ = load_recipe(options.RECIPES[method], "cebench.pretrain", method, recipe, changes)
    program.pretrain(values, run_context)  # type: ignore[attr-defined]
    ((_, _, label, holes, counted),) = calls
    assert label == method
    return holes, counted


def masks(holes: Holes, count: int = 200) -> Tensor:
    shape = (count, *holes.sample_shape)
    return holes(torch.from_numpy(numpy_generator(0, "test").random(shape, dtype=np.float32)))


def neighbours_agree(missing: Tensor) -> float:
    """Share of horizontal neighbours of a missing pixel that are missing too."""
    return (missing[..., 1:] & missing[..., :-1]).sum().item() / missing[..., :-1].sum().item()


RECIPES = [(method, name) for method in PROGRAMS for name in ("smoke", "short", "small", "paper")]


@pytest.mark.parametrize(("method", "name"), RECIPES)
def test_each_method_asks_for_its_own_pixels(
    method: str, name: str, run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes, counted = asked(method, name, run_context, monkeypatch)
    if method == "autoencoder":
        assert (holes, counted) == (None, "all")
    elif method == "denoising-autoencoder":
        assert holes is not None
        missing = masks(holes, 20)
        assert (isinstance(holes, ScatteredPixels), counted) == (True, "all")
        assert missing.float().mean().item() == pytest.approx(0.25, abs=0.01)
        assert neighbours_agree(missing) == pytest.approx(0.25, abs=0.02)  # They are scattered.
    else:
        assert holes is not None
        assert counted == "missing"
        assert neighbours_agree(masks(holes, 20)) > 0.9  # They are regions.


KINDS = {
    "central": CentralHole,
    "random-block": RandomBlocks,
    "random-region": RandomRegions,
    "noise": NoisePattern,
}


@pytest.mark.parametrize("mask", KINDS)
@pytest.mark.parametrize("side", [115, 227])
def test_a_mask_by_its_name(
    mask: str, side: int, run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = (f"mask={mask}", f"side={side}", f"short_side={side}")
    holes, _ = asked("context", "paper", run_context, monkeypatch, *changes)
    assert type(holes) is KINDS[mask]
    assert masks(holes, 2).shape == (2, side, side)
    assert type(holes_of(mask, 128, 56, "train", run_context)) is KINDS[mask]  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "first", "last"), [(227, 64, 162), (115, 32, 82)])
def test_the_central_hole_is_the_one_that_table_1_is_scored_in(
    side: int, first: int, last: int, run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 64 to 162 of 227, as in the authors' evaluation images; 99 / 227 of 115 is 50.2."""
    changes = (f"side={side}", f"short_side={side}")
    holes, _ = asked("context", "paper-central", run_context, monkeypatch, *changes)
    assert holes is not None
    (missing,) = masks(holes, 1)
    rows, columns = missing.nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (first, last, first, last)
    assert missing.sum() == (last - first + 1) ** 2


def test_the_blocks_of_a_recipe_are_those_it_names(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    holes, _ = asked("context", "small-block", run_context, monkeypatch)
    assert holes == RandomBlocks(115, (0.17, 0.41), overhang=True)
    changes = ("block_sides=[0.2, 0.3]", "block_overhang=false")
    holes, _ = asked("context", "small-block", run_context, monkeypatch, *changes)
    assert holes == RandomBlocks(115, (0.2, 0.3), overhang=False)


def test_the_share_of_scattered_pixels_is_the_recipes(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ("missing_share=0.6",)
    holes, _ = asked("denoising-autoencoder", "smoke", run_context, monkeypatch, *changes)
    assert holes == ScatteredPixels(115, 0.6)


def test_random_regions_need_shapes(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = replace(run_context, region_shapes=None)
    with pytest.raises(InputError, match="--region-shapes"):
        asked("context", "small", without, monkeypatch)


def test_a_pool_free_encoder_has_no_trunk_to_keep() -> None:
    changes = ["pooling=none", "side=227", "short_side=256"]
    with pytest.raises(InputError, match=r"weights_at must be \[\] with pooling=none"):
        load_recipe(ContextRecipe, "cebench.pretrain", "context", "small", changes)
    load_recipe(ContextRecipe, "cebench.pretrain", "context", "small", [*changes, "weights_at=[]"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("side=100", "side: Input should be 115 or 227, got 100"),
        ("short_side=90", "short_side=90 is less than side=115"),
        ("central_side=115", "central_side=115 hides the whole of 115 px"),
        (
            "central_side=51",
            "central_side applies to mask=central only; leave it out with mask=random-",
        ),
        ("block_overhang=false", "block_overhang applies to mask=random-block only; leave it out"),
        ("block_sides=[0.5, 0.2]", "block_sides must be 0 < least <= largest"),
        (
            "weights_at=[10, 30000]",
            "weights_at=30000 lies beyond the last step, 23500; --set weights_at=[]",
        ),
        ("samples_at=[10, 30000]", "samples_at=30000 lies beyond the last step, 23500; --set samp"),
        ("pooling=none", "pooling=none needs side=227, got 115"),
        ("decay_from=0", "decay_from: Input should be greater than 0"),
    ],
)
def test_what_a_recipe_cannot_be_is_said_in_one_line(change: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(ContextRecipe, "cebench.pretrain", "context", "small", [change])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
