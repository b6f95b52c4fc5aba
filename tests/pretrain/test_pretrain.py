import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from blurred_photos import save_photos
from layer_scales import spread_of_rates
from PIL import Image
from power_cuts import power_cut

from cebench.config import load_recipe
from cebench.data.hole_masks import CentralHole
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.models.context_encoder import ContextEncoder
from cebench.pretrain.health import (
    BASELINE,
    POOL5_ACTIVE,
    HealthCheck,
    reconstruction_symptoms,
)
from cebench.pretrain.methods import METHODS
from cebench.pretrain.options.reconstruction import AutoencoderRecipe, ContextRecipe
from cebench.pretrain.random import UNTRAINED
from cebench.pretrain.reconstruction import (
    Reconstruction,
    ReconstructionLoss,
    visible_context,
)
from cebench.pretrain.run import Request, run_pretraining
from cebench.pretrain.run_context import Pretrained, RunContext
from cebench.reporting.records import WeightsOrigin, load_record
from cebench.weights.files import load_weights, random_weights

QUICK = ("steps=2", "batch_size=2", "held_out_images=1", "checkpoint_every=1", "log_every=1")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four small images of different sizes and colours."""
    return save_photos(tmp_path / "photos", [(60, 40), (40, 60), (50, 50), (90, 30)])


def central_hole(count: int) -> torch.Tensor:
    """(count, 1, 227, 227)."""
    return CentralHole(227, 113)(torch.empty(count, 0)).unsqueeze(1)


def request(photos: Path, out: Path, method: str = "context", *changes: str) -> Request:
    return Request(
        method=method, data=(photos,), out=out, recipe="smoke", changes=(*QUICK, *changes)
    )


def test_a_pretraining_leaves_weights_a_model_pictures_and_a_record(
    photos: Path, tmp_path: Path
) -> None:
    path = run_pretraining(request(photos, tmp_path / "run"))
    weights, model = load_weights(path), load_weights(path.with_name("model.safetensors"))
    assert weights.sidecar.method == "context"
    assert weights.sidecar.steps == 2
    assert weights.sidecar.preprocessing.channels == "RGB"
    factors = weights.tensors["conv1.weight"] / model.tensors["encoder.conv1.weight"]
    assert factors.std() < 1e-5 * factors.mean()
    assert ContextEncoder(side=115).load_state_dict(model.tensors)
    assert model.sidecar.preprocessing.side == 115
    assert weights.sidecar.preprocessing.side == 227
    record = load_record(tmp_path / "run" / "record.json")
    (time,) = record.measurements
    assert (time.column, time.unit, time.count) == ("pretraining_time", "s", 3)
    assert record.weights.sha256 == weights.sidecar.sha256
    assert record.weights.recipe.sha256 == weights.sidecar.recipe_sha256 == record.recipe.sha256
    assert record.weights.seed == record.seed == weights.sidecar.seed
    assert tomllib.loads((tmp_path / "run" / "run.toml").read_text())["recipe"]["steps"] == 2
    for picture in ("curves.png", "samples/step-000002.png"):
        with Image.open(tmp_path / "run" / picture) as image:
            assert image.width > 100
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_the_trunk_that_is_written_learns_at_one_rate_unless_told_otherwise(
    photos: Path, tmp_path: Path
) -> None:
    scaled = load_weights(run_pretraining(request(photos, tmp_path / "scaled")))
    path = run_pretraining(request(photos, tmp_path / "trained", "context", "rescale=false"))
    trained, model = load_weights(path), load_weights(path.with_name("model.safetensors"))
    assert spread_of_rates(scaled.tensors) < 3
    assert spread_of_rates(trained.tensors) > 100
    for name, tensor in trained.tensors.items():
        assert torch.equal(tensor, model.tensors[f"encoder.{name}"])
    assert scaled.sidecar.recipe_sha256 != trained.sidecar.recipe_sha256


@pytest.mark.slow
def test_samples_are_drawn_at_the_chosen_steps_and_change_nothing(
    photos: Path, tmp_path: Path
) -> None:
    plain = run_pretraining(request(photos, tmp_path / "plain"))
    drawn = run_pretraining(request(photos, tmp_path / "drawn", "context", "samples_at=[1]"))
    names = [path.name for path in sorted((tmp_path / "drawn" / "samples").iterdir())]
    assert names == ["step-000001.png", "step-000002.png"]
    assert sha256_of(drawn) == sha256_of(plain)


@pytest.mark.slow
def test_the_trunk_is_kept_at_chosen_steps_and_is_that_of_a_run_of_so_many(
    photos: Path, tmp_path: Path
) -> None:
    run_pretraining(request(photos, tmp_path / "run", "context", "steps=3", "weights_at=[1, 2]"))
    kept = [load_weights(tmp_path / "run" / f"weights-{step}.safetensors") for step in (1, 2)]
    assert [weights.sidecar.steps for weights in kept] == [1, 2]
    assert kept[0].sidecar.data_fingerprint == kept[1].sidecar.data_fingerprint != "none"
    short = load_weights(run_pretraining(request(photos, tmp_path / "short")))  # Of two steps.
    for name, tensor in short.tensors.items():
        assert torch.equal(tensor, kept[1].tensors[name]), name


def test_a_trunk_kept_at_the_last_step_is_of_the_recipes_tier(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untrained(recipe: AutoencoderRecipe, run_context: RunContext) -> Pretrained:
        for step in recipe.weights_at:
            run_context.keep(UNTRAINED(trunk={"x": torch.zeros(1)}, steps=step))
        return UNTRAINED(trunk={"x": torch.zeros(1)})

    monkeypatch.setitem(METHODS, "autoencoder", replace(METHODS["autoencoder"], pretrain=untrained))
    given = request(photos, tmp_path / "run", "autoencoder")
    weights = run_pretraining(replace(given, changes=("weights_at=[20, 40]",)))
    files = [weights, *(weights.with_name(f"weights-{step}.safetensors") for step in (20, 40))]
    assert [load_weights(file).sidecar.tier for file in files] == ["smoke", "custom", "smoke"]


@pytest.mark.slow
def test_keeping_the_trunk_changes_no_later_step_and_not_the_recipes_hash(
    photos: Path, tmp_path: Path
) -> None:
    plain = load_weights(run_pretraining(request(photos, tmp_path / "plain")))
    kept = load_weights(
        run_pretraining(request(photos, tmp_path / "kept", "context", "weights_at=[1]"))
    )
    assert kept.sidecar.sha256 == plain.sidecar.sha256
    records = [load_record(tmp_path / name / "record.json") for name in ("plain", "kept")]
    hashes = {record.recipe.sha256 for record in records}
    assert len(hashes) == 1


@pytest.mark.slow
def test_a_network_that_learns_nothing_is_warned_about_once(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = ("input_divisor=1", "batch_norm=none", "residual=none", "learning_rate=0.1", "steps=10")
    with caplog.at_level("WARNING", logger="cebench"):
        run_pretraining(request(photos, tmp_path / "run", "context", *bad, "warmup_steps=0"))
    few, warning = [record.message for record in caplog.records]
    assert "learns these by heart" in few
    assert "times that of the mean colour of the visible pixels" in warning
    assert "\n" not in warning


def test_a_network_whose_units_die_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    class Run:
        def metrics(self) -> list[dict[str, float]]:
            return [{POOL5_ACTIVE: 0.9, BASELINE: 2.0}, {POOL5_ACTIVE: 0.031, BASELINE: 0.9}]

    health = HealthCheck(Run(), "context", 40, reconstruction_symptoms)  # type: ignore[arg-type]
    assert health.steps == {4, 8, 12, 16, 20, 24, 28, 32, 36, 40}
    with caplog.at_level("WARNING", logger="cebench"):
        for step in range(1, 41):
            health.check(step)
    (warning,) = [record.message for record in caplog.records]
    assert "only 3.1% of pool5 is positive: its units are dying" in warning


def test_random_he_is_another_trunk_than_random(tmp_path: Path) -> None:
    he = load_weights(
        run_pretraining(Request(method="random-he", data=(), out=tmp_path / "he", recipe="paper"))
    )
    assert he.sidecar.method == "random-he"
    assert he.tensors["conv2.bias"].abs().max() == 0
    # He's variance is 2 / fan-in: 2 / (256 * 9).
    assert he.tensors["conv3.weight"].std().item() == pytest.approx((2 / 2304) ** 0.5, rel=0.02)


@pytest.mark.slow
def test_bf16_learns_nearly_the_same(photos: Path, tmp_path: Path) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        run_pretraining(request(photos, out, "context", f"precision={precision}"))
        lines = (out / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_cuda_graphs_need_a_compiled_network(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cuda_graphs=true needs compile=true"):
        run_pretraining(request(photos, tmp_path / "run", "context", "cuda_graphs=true"))


def test_a_finished_run_returns_at_once_and_another_recipe_is_refused(
    photos: Path, tmp_path: Path
) -> None:
    path = run_pretraining(request(photos, tmp_path / "run"))
    written = path.stat().st_mtime_ns
    run_pretraining(request(photos, tmp_path / "run"))
    assert path.stat().st_mtime_ns == written
    with pytest.raises(InputError, match=r"recipe\.loss is 'l2' there, 'l1' here"):
        run_pretraining(request(photos, tmp_path / "run", "context", "loss=l1"))


@pytest.mark.parametrize("gone", ["weights.safetensors", "weights.json"])
def test_a_finished_run_whose_weights_are_gone_is_refused(tmp_path: Path, gone: str) -> None:
    random = Request(method="random", data=(), out=tmp_path / "run", recipe="smoke")
    path = run_pretraining(random)
    path.with_name("model.safetensors").touch()
    path.with_name(gone).unlink()
    with pytest.raises(InputError, match=rf"run/{gone} is gone, .* start over with --no-resume"):
        run_pretraining(random)
    assert run_pretraining(replace(random, resume=False)) == path


def test_a_broken_off_run_ends_with_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    straight = run_pretraining(request(photos, tmp_path / "straight", "autoencoder"))
    with power_cut(Reconstruction, 1):
        run_pretraining(request(photos, tmp_path / "run", "autoencoder"))
    resumed = run_pretraining(request(photos, tmp_path / "run", "autoencoder"))
    assert sha256_of(resumed) == sha256_of(straight)


def test_random_needs_no_data_and_depends_on_the_seed(tmp_path: Path) -> None:
    hashes = [
        load_weights(
            run_pretraining(
                Request(method="random", data=(), out=tmp_path / name, recipe="smoke", seed=seed)
            )
        ).sidecar.sha256
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("recipe", ["smoke", "short", "paper"])
def test_random_is_what_transfer_takes_by_that_name(tmp_path: Path, recipe: str) -> None:
    path = run_pretraining(
        Request(method="random", data=(), out=tmp_path / "run", recipe=recipe, seed=3)
    )
    written, named = load_weights(path), random_weights(3)
    assert all(torch.equal(written.tensors[name], named.tensors[name]) for name in named.tensors)
    origins = [WeightsOrigin.of("random", weights.sidecar) for weights in (written, named)]
    assert len({origin.recipe.hash_without() for origin in origins}) == 1
    first, second = (replace(origin, recipe=origins[0].recipe) for origin in origins)
    assert first == second


def test_excluded_photos_are_not_learned_from_under_any_name(photos: Path, tmp_path: Path) -> None:
    held_out = tmp_path / "evaluation"
    held_out.mkdir()
    (held_out / "another-name.png").write_bytes((photos / "0.png").read_bytes())
    excluding = Request(
        method="autoencoder",
        data=(photos,),
        exclude=(held_out,),
        out=tmp_path / "run",
        recipe="smoke",
        changes=QUICK,
    )
    run_pretraining(excluding)
    assert load_record(tmp_path / "run" / "record.json").measurements[0].count == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": ()}, "--data is missing"),
        ({"data": (Path("absent"),)}, "absent: no such folder"),
        ({"changes": ("mask=random-region",)}, "--region-shapes"),
        ({"exclude": (Path("nowhere.txt"),)}, "expected a folder of images or a list"),
    ],
)
def test_bad_input_is_one_line(
    photos: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    values = {"method": "context", "data": (photos,), "out": tmp_path / "run", "recipe": "smoke"}
    with pytest.raises(InputError, match=message) as caught:
        run_pretraining(Request(**{**values, **change}))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_truncated_image_is_named(photos: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "cut.jpg")
    content = (photos / "cut.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.jpg"):
        run_pretraining(request(photos, tmp_path / "run"))


def test_the_loss_is_the_mean_error_over_the_missing_pixels_alone() -> None:
    """A prediction of 0 everywhere: the loss is the mean of truth^2 inside the hole."""
    images = torch.zeros(1, 3, 227, 227, dtype=torch.uint8)
    images[..., 57:170, 57:170] = 255
    holes = central_hole(1)
    # Inside the hole truth is 255 / 127.5 - 1 = 1, outside it is -1; half the hole becomes 0.498.
    images[..., 57:170, 57:113] = 191
    inside = (56 * (191 / 127.5 - 1) ** 2 + 57 * 1.0) / 113
    base = torch.zeros(1, 3, 1, 1)
    loss, baseline = ReconstructionLoss("l2", "missing")(
        torch.zeros(images.shape), images, holes, base
    )
    assert loss == baseline
    assert loss.item() == pytest.approx(inside, rel=1e-6)


def test_the_loss_over_all_pixels_counts_each_once() -> None:
    images = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
    holes = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    prediction = torch.zeros(2, 3, 4, 4)
    prediction[0] = -1  # |error| 2 in one image, 1 in the other.
    base = torch.full((2, 3, 1, 1), 0.5)
    for kind, holes_or_none, expected in (("l1", holes, (1.5, 0.5)), ("l2", None, (2.5, 0.25))):
        criterion = ReconstructionLoss(kind, "all")  # type: ignore[arg-type]
        losses = criterion(prediction, images, holes_or_none, base)
        assert tuple(loss.item() for loss in losses) == expected


def test_missing_pixels_are_the_mean_and_the_network_sees_nothing_of_them() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 227, 227), dtype=torch.uint8, generator=generator)
    holes = central_hole(2)
    context = visible_context(images, holes)
    assert (context.masked_select(holes) == 0).all()
    changed = torch.where(holes, 255 - images, images)
    assert torch.equal(visible_context(changed, holes), context)


def test_the_paper_recipe_is_the_papers() -> None:
    recipe, _ = load_recipe(ContextRecipe, "cebench.pretrain", "context", "paper")
    assert (recipe.mask, recipe.loss, recipe.steps) == ("random-region", "l2", 100_000)
    assert recipe.learning_rate == 1e-4
