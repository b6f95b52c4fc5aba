import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from layer_scales import spread_of_rates
from PIL import Image
from power_cuts import power_cut

from cebench.config import load_recipe
from cebench.data.store.ragged import RaggedImages
from cebench.data.tracked_patches import FEWEST
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.models.caffenet import CaffeNetTrunk
from cebench.pretrain.command import pretrain
from cebench.pretrain.motion import Motion, inputs, load_patches
from cebench.pretrain.options.motion import MotionRecipe
from cebench.pretrain.run import Request, run_pretraining
from cebench.pretrain.run_context import DataOptions, RunContext
from cebench.reporting.records import load_record
from cebench.weights.files import load_weights

QUICK = ("steps=4", "units=32", "descriptor=16", "checkpoint_every=2", "log_every=1")


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs: a pattern, and the same shifted and brighter."""
    folder = tmp_path_factory.mktemp("tracks")
    generator, lines = np.random.default_rng(0), []
    for track in range(12):
        coarse = generator.integers(0, 200, (6, 6, 3), dtype=np.uint8)
        pattern = np.array(Image.fromarray(coarse).resize((140, 140)))
        for place, patch in enumerate((pattern[:120, :120], pattern[12:132, 8:128] + 30)):
            name = f"{track}-{place}.png"
            Image.fromarray(patch).save(folder / name)
            lines.append(f"{name} {track}\n")
    (folder / "pairs.txt").write_text("".join(lines))
    return folder


def request(data: Path, out: Path, *changes: str) -> Request:
    return Request(
        method="motion", data=(data,), out=out, recipe="smoke", changes=(*QUICK, *changes)
    )


@pytest.mark.slow
def test_a_run_leaves_a_trunk_and_its_accuracy(tracks: Path, tmp_path: Path) -> None:
    path = run_pretraining(request(tracks, tmp_path / "run", "held_out_pairs=3"))
    weights, model = load_weights(path), load_weights(path.with_name("model.safetensors"))
    assert model.sidecar.architecture == "ranking"
    assert CaffeNetTrunk().load_state_dict(weights.tensors)
    assert spread_of_rates(weights.tensors) < 3
    accuracy = json.loads((tmp_path / "run" / "accuracy.json").read_text())
    assert (accuracy["pairs"], accuracy["chance"]) == (3, {"triplets": 0.5})
    assert load_record(tmp_path / "run" / "record.json").measurements[0].count == 18


@pytest.mark.slow
def test_a_broken_off_run_ends_with_the_same_bytes(tracks: Path, tmp_path: Path) -> None:
    straight = run_pretraining(request(tracks, tmp_path / "straight"))
    with power_cut(Motion, 3):
        run_pretraining(request(tracks, tmp_path / "run"))
    resumed = run_pretraining(request(tracks, tmp_path / "run"))
    assert sha256_of(resumed) == sha256_of(straight)


@pytest.mark.slow
def test_the_loss_falls_below_chance_level(tracks: Path, tmp_path: Path) -> None:
    """Descriptors that say nothing cost the margin, 1, and tell half of the triplets."""
    changes = ("steps=40", "batch_size=12", "held_out_pairs=4", "margin=1", "log_every=5")
    run_pretraining(request(tracks, tmp_path / "run", *changes))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["loss"] < 0.8
    accuracy = json.loads((tmp_path / "run" / "accuracy.json").read_text())
    assert accuracy["triplets"] > 0.6


def test_pairs_stay_together_and_negatives_are_random_first() -> None:
    shades = [np.full((115, 115, 3), 10 * n, np.uint8) for n in range(16)]
    program = program_on(shades, "random_steps=2")
    assert program.training == 4  # At most half is held out.
    for step in range(3):
        batch = program.batch(step)
        seen = (batch.images[:, 0, 0, 0] // 10).tolist()
        assert seen[1::2] == [image + 1 for image in seen[0::2]]
        assert batch.tracks.tolist() == [image // 2 for image in seen[0::2]]
        assert max(seen) < 8
    assert [program._mining(step).hard for step in range(4)] == [0, 0, 2, 2]


def program_on(images: list[np.ndarray], *changes: str) -> Motion:
    """Motion on pairs of `images` of 115 px, each pair a track of its own."""
    recipe, _ = load_recipe(MotionRecipe, "cebench.pretrain", "motion", "smoke", (*QUICK, *changes))
    tracks = np.arange(len(images) // 2)
    return Motion(RaggedImages.from_arrays(images), tracks, recipe, 0, torch.device("cpu"))


def test_each_image_of_a_pair_is_mirrored_by_itself_half_of_the_time() -> None:
    bright_right = np.repeat(np.arange(115, dtype=np.uint8)[None, :, None], 3, 2).repeat(115, 0)
    program = program_on([bright_right] * 16)
    first_pixels = torch.cat([program.batch(step).images[:, 0, 0, 0] for step in range(100)])
    mirrored = (first_pixels > 0).view(-1, 2)
    assert mirrored.float().mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.1)
    assert (mirrored[:, 0] == mirrored[:, 1]).float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_rates_are_caffes(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ("optimizer=sgd", "learning_rate=0.01", "warmup_steps=0", "tenth_every=2")
    program = program_on([np.zeros((115, 115, 3), np.uint8)] * 16, *changes)
    descriptors = torch.eye(8, requires_grad=True)
    monkeypatch.setattr(program, "_descriptors", lambda images: descriptors)
    weights, biases = program.optimizer.param_groups
    rates = []
    for step in range(4):
        program.update(step, program.batch(step))
        rates.append((weights["lr"], biases["lr"]))
    np.testing.assert_allclose(rates, [(0.01, 0.02)] * 2 + [(0.001, 0.002)] * 2)


def test_descriptors_that_are_all_equal_tell_half(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_on([np.zeros((115, 115, 3), np.uint8)] * 8, "held_out_pairs=2")
    equal = torch.tensor([[1.0, 0.0]])
    monkeypatch.setattr(program, "_descriptors", lambda images: equal.expand(len(images), 2))
    assert program.held_out_accuracy() == 0.5


def test_accuracy_is_the_share_of_held_out_triplets_that_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first of pair 2 is nearest to its second; that of pair 3 is nearer to pair 2's second."""
    shades = [np.full((115, 115, 3), 10 * n, np.uint8) for n in range(8)]
    program = program_on(shades, "held_out_pairs=2")
    told = torch.tensor([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]])
    monkeypatch.setattr(
        program, "_descriptors", lambda images: told[images[:, 0, 0, 0].long() // 10 - 4]
    )
    assert program.held_out_accuracy() == 0.75


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("batch_size=7",), "batch_size=7: needs two images"),
        (("compile=true",), "compile=true is not offered"),
    ],
)
def test_bad_options_are_one_line(
    tracks: Path, tmp_path: Path, changes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run_pretraining(request(tracks, tmp_path / "run", *changes))
    assert "\n" not in str(caught.value)


def test_the_plan_counts_the_pairs(tracks: Path, tmp_path: Path) -> None:
    arguments = ["--method", "motion", "--data", str(tracks / "pairs.txt"), "--recipe", "smoke"]
    result = CliRunner().invoke(
        pretrain, [*arguments, "--out", str(tmp_path / "run"), "--dry-run", "--json"]
    )
    plan = json.loads(result.stdout)
    assert (plan["pairs_found"], plan["images_seen"]) == (12, 40 * 8)
    assert plan["images_learned_from"] == 2 * 6  # At most half of the pairs are held out.
    assert "accuracy.json" in plan["outputs"]  # Though as many images are learned from.


def test_data_without_pairs_or_with_one_track_is_one_line(tracks: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="expected a list of tracked pairs"):
        run_pretraining(request(tmp_path / "photos", tmp_path / "a"))
    with pytest.raises(InputError, match=r"held out of 1; at least two .* held_out_pairs$"):
        run_pretraining(request(tracks, tmp_path / "c", "held_out_pairs=1"))
    few = tracks / "few.txt"
    few.write_text("0-0.png 1\n0-1.png 1\n1-0.png 1\n1-1.png 1\n")
    with pytest.raises(InputError, match="2 pairs of 1 tracks"):
        run_pretraining(request(few, tmp_path / "b"))


def test_the_fewest_pairs_of_mining_are_the_fewest_that_can_be_learned_from(
    tracks: Path,
) -> None:
    listing = tracks / "fewest.txt"
    lines = (tracks / "pairs.txt").read_text().splitlines(keepends=True)
    recipe, _ = load_recipe(MotionRecipe, "cebench.pretrain", "motion", "small")
    listing.write_text("".join(lines[: 2 * FEWEST]))
    assert inputs(recipe, DataOptions(data=(listing,))).count == FEWEST
    listing.write_text("".join(lines[: 2 * (FEWEST - 1)]))
    with pytest.raises(InputError, match="3 pairs of 3 tracks, those held out of 1"):
        inputs(recipe, DataOptions(data=(listing,)))


def test_the_paper_recipe_is_the_released_codes() -> None:
    paper, _ = load_recipe(MotionRecipe, "cebench.pretrain", "motion", "paper")
    assert (paper.steps, paper.batch_size, paper.tenth_every) == (400_000, 100, 100_000)
    assert (paper.margin, paper.negatives, paper.hard_share) == (1, 4, 0.5)
    assert (paper.units, paper.descriptor, paper.learning_rate) == (4096, 1024, 1e-3)


def patches_of(data: Path) -> RaggedImages:
    """The patches of --data as `motion` holds them, 115 px."""
    values: dict[str, Any] = dict.fromkeys(("run", "keep"))
    recipe, _ = load_recipe(MotionRecipe, "cebench.pretrain", "motion", "smoke")
    context = RunContext(**values, data=(data,), seed=0, device=torch.device("cpu"))
    return load_patches(recipe, context)[0]


def test_patches_are_resized_to_squares_whatever_their_shape(tmp_path: Path) -> None:
    """Left half black, right half white: so is the square, and nothing is cut off."""
    for number in range(8):
        shape = (60, 120) if number % 2 else (240, 120)
        patch = np.zeros((*shape, 3), np.uint8)
        patch[:, 60:] = 255
        Image.fromarray(patch).save(tmp_path / f"{number}.png")
    (tmp_path / "list.txt").write_text("".join(f"{n}.png {n // 2}\n" for n in range(8)))
    patches = patches_of(tmp_path / "list.txt")
    for number in range(8):
        square = patches.image(number).numpy()
        assert square.shape == (115, 115, 3)
        assert (square[:, :56] == 0).all()
        assert (square[:, 59:] == 255).all()


def test_square_patches_are_resized_with_antialias(tracks: Path) -> None:
    with Image.open(tracks / "3-1.png") as patch:
        expected = np.asarray(patch.resize((115, 115), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(patches_of(tracks / "pairs.txt").image(7).numpy(), expected)


def test_other_pairs_of_the_same_patches_are_other_data(tracks: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tracks, tmp_path / "tracks")
    given = request(data / "pairs.txt", tmp_path / "run", "steps=1")
    run_pretraining(given)
    lines = [line.split() for line in (data / "pairs.txt").read_text().splitlines()]
    lines[1][0], lines[3][0] = lines[3][0], lines[1][0]
    (data / "pairs.txt").write_text("".join(f"{name} {track}\n" for name, track in lines))
    with pytest.raises(InputError, match="finished on other data"):
        run_pretraining(given)


def test_a_changed_patch_of_a_list_is_seen(tracks: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tracks, tmp_path / "tracks")
    given = request(data / "pairs.txt", tmp_path / "run", "steps=1")
    run_pretraining(given)
    Image.new("RGB", (120, 120)).save(data / "3-1.png")
    with pytest.raises(InputError, match="finished on other data"):
        run_pretraining(given)
