"""The counted work of each method against the operations of a real step of its program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blurred_photos import save_photos
from click.testing import CliRunner
from torch.utils.flop_counter import FlopCounterMode

from cebench.config import load_recipe
from cebench.data.hole_masks import CentralHole
from cebench.data.poses import window_side
from cebench.data.store.ragged import RaggedImages
from cebench.models import data_dependent
from cebench.models.backbones import build_trunk
from cebench.pretrain.command import pretrain
from cebench.pretrain.context_gan import ContextGan
from cebench.pretrain.crops import Crops
from cebench.pretrain.egomotion import Egomotion
from cebench.pretrain.egomotion_pairs import ViewPairs
from cebench.pretrain.imagenet import ImagenetClassification
from cebench.pretrain.motion import Motion
from cebench.pretrain.options import RECIPES
from cebench.pretrain.reconstruction import Reconstruction
from cebench.pretrain.relative_context import RelativeContext
from cebench.pretrain.run_context import Inputs
from cebench.pretrain.work import BYTES_PER_PIXEL, KMEANS_GFLOP, work_of

CPU = torch.device("cpu")
INPUTS = Inputs(files=[], count=10, learned_from=10, bytes=0, fingerprint=str)


def recipe_of(method: str, name: str, *changes: str) -> Any:
    return load_recipe(RECIPES[method], "cebench.pretrain", method, name, changes)[0]


def crops(side: int, count: int = 6) -> Crops:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 200, 267, 3), dtype=np.uint8)
    return Crops(RaggedImages.from_arrays(list(pixels)), side, 2, 0, CPU)


def _reconstruction(recipe: Any) -> Reconstruction:
    return Reconstruction(crops(recipe.side), None, "all", recipe)


def _context_gan(recipe: Any) -> ContextGan:
    return ContextGan(crops(recipe.side), CentralHole(recipe.side, recipe.hole_side), recipe)


def _imagenet(recipe: Any) -> ImagenetClassification:
    return ImagenetClassification(crops(recipe.side), np.arange(6) % 1000, 1000, recipe)


def _relative_context(recipe: Any) -> RelativeContext:
    return RelativeContext(crops(recipe.patch_side), recipe)


def _motion(recipe: Any) -> Motion:
    patches = [np.zeros((recipe.side, recipe.side, 3), np.uint8)] * 12
    return Motion(RaggedImages.from_arrays(patches), np.arange(6), recipe, 0, CPU)


def _egomotion(recipe: Any) -> Egomotion:
    window = window_side(recipe.side, recipe.most_shift / 2, np.pi / 12)
    pairs = ViewPairs(
        crops(window),
        side=recipe.side,
        most_shift=recipe.most_shift,
        most_turn=np.pi / 6,
        class_counts=(recipe.shift_classes, recipe.shift_classes, recipe.turn_classes),
    )
    return Egomotion(pairs, recipe, 0, CPU)


PROGRAMS: dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]] = {
    "context": (_reconstruction, ("batch_size=2",)),
    "context-gan": (_context_gan, ("batch_size=2", "bottleneck=100")),
    "imagenet": (_imagenet, ("batch_size=2",)),
    "relative-context": (_relative_context, ("batch_size=8", "grids_per_image=2")),
    "motion": (_motion, ("batch_size=4", "held_out_pairs=1")),
    "egomotion": (_egomotion, ("batch_size=2",)),
}


@pytest.mark.parametrize("method", PROGRAMS)
def test_a_step_is_counted_as_its_program_takes_it(method: str) -> None:
    make, changes = PROGRAMS[method]
    recipe = recipe_of(method, "smoke", "steps=3", *changes)
    program = make(recipe)
    batch, counter = program.batch(0), FlopCounterMode(display=False)
    with counter:
        program.update(0, batch)
    step = counter.get_total_flops() / 1e9
    # Grids have another number of patches in every batch.
    near = 0.15 if method == "relative-context" else 0.01
    assert work_of(method, recipe, INPUTS).gflop == pytest.approx(3 * step, rel=near)


@pytest.mark.parametrize(
    ("method", "changes", "gflop", "squares", "side", "millions"),
    [
        # Of context 5.0 by hand: torch counts the gradients of grouped convolutions twice.
        ("context", (), 6.0, 1, 227, 3.9),
        ("context-gan", (), 3.7, 1, 128, 71.1 + 2.8),
        ("imagenet", (), 4.96, 1, 227, 61.0),
        ("motion", (), 9.71 / 2, 1, 227, 44.3),
        ("egomotion", (), 10.1, 2, 227, 5.4),
    ],
)
def test_the_paper_recipes_cost_what_one_image_or_pair_does(
    method: str, changes: tuple[str, ...], gflop: float, squares: int, side: int, millions: float
) -> None:
    recipe = recipe_of(method, "paper", *changes)
    found, batch = work_of(method, recipe, INPUTS), recipe.batch_size
    assert found.gflop / (recipe.steps * batch) == pytest.approx(gflop, rel=0.02)
    pixels = batch * squares * side**2
    expected = millions * 1e6 * 16 + pixels * BYTES_PER_PIXEL
    assert found.network_bytes == pytest.approx(expected, rel=0.02)


def test_an_image_of_relative_context_is_its_grids_of_about_nine_patches() -> None:
    """Nine patches and their 40 pairs are 17.9 billion operations with 4,096 units."""
    paper = recipe_of("relative-context", "paper")
    images = paper.steps * paper.batch_size
    found = work_of("relative-context", paper, INPUTS)
    assert found.gflop / (4 * images) == pytest.approx(17.9, rel=0.15)
    one = recipe_of("relative-context", "paper", "grids_per_image=1")
    assert work_of("relative-context", one, INPUTS).gflop * 4 == pytest.approx(
        found.gflop, rel=0.01
    )
    memory = 4 * 9 * paper.batch_size * 96**2 * BYTES_PER_PIXEL + 63.6e6 * 16
    assert found.network_bytes == pytest.approx(memory, rel=0.15)
    few = recipe_of("relative-context", "paper", "units=512")
    assert work_of("relative-context", few, INPUTS).gflop < 0.7 * found.gflop


def test_the_average_of_a_generator_is_in_memory_too() -> None:
    plain = recipe_of("context-gan", "smoke", "average_decay=0")
    average = recipe_of("context-gan", "smoke", "average_decay=0.9")
    found = [work_of("context-gan", r, INPUTS) for r in (plain, average)]
    assert found[0].gflop == found[1].gflop
    generator = sum(p.numel() for p in _context_gan(plain).generator.parameters())
    assert found[1].network_bytes - found[0].network_bytes == 4 * generator


def test_drawing_filters_is_counted_by_hand() -> None:
    """By torch's counter; k-means, which is no convolution, is left out."""
    recipe = recipe_of("kmeans-init", "paper", "balance=false")
    images, counter = torch.randn(2, 3, 227, 227), FlopCounterMode(display=False)
    with counter:
        data_dependent.initialise_from_data(build_trunk(), [images], "normal", 0.1, 0)
    assert pytest.approx(counter.get_total_flops() / 2e9, rel=0.01) == KMEANS_GFLOP
    # Ten of the 160 images that the recipe asks for are there.
    assert work_of("kmeans-init", recipe, INPUTS).gflop == pytest.approx(10 * KMEANS_GFLOP)


def test_a_method_without_steps_has_no_work() -> None:
    assert work_of("random-he", recipe_of("random-he", "paper"), INPUTS).gflop == 0


def test_a_step_of_egomotion_sees_both_images_of_its_pairs(tmp_path: Path) -> None:
    save_photos(tmp_path / "photos", [(200, 180)] * 12)
    arguments = ["--method", "egomotion", "--data", str(tmp_path / "photos"), "--recipe", "smoke"]
    arguments += ["--out", str(tmp_path / "run"), "--dry-run"]
    found = json.loads(CliRunner().invoke(pretrain, [*arguments, "--json"]).stdout)
    assert found["images_seen"] == 2 * 40 * 16
    assert "40 steps of 32 images see each" in CliRunner().invoke(pretrain, arguments).output
