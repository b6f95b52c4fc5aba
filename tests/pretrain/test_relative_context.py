import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from power_cuts import power_cut
from torch import Tensor

from cebench.config import load_recipe
from cebench.data.store.ragged import RaggedImages, load_ragged
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.models.caffenet import CaffeNetTrunk, preprocess
from cebench.models.foldable import FoldableConv2d
from cebench.pretrain.crops import Crops
from cebench.pretrain.options.relative_context import RelativeContextRecipe
from cebench.pretrain.relative_context import RelativeContext, whole_images
from cebench.pretrain.run import Request, run_pretraining
from cebench.weights.exporting import export_weights
from cebench.weights.files import load_weights

EXPORT = "exported.safetensors"
QUICK = ("steps=4", "batch_size=2", "units=16", "checkpoint_every=2", "log_every=1")


@pytest.fixture(scope="module")
def skies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images that are bright above and, on the left, striped: position can be seen."""
    folder = tmp_path_factory.mktemp("skies")
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[0:128, 0:170]
    for number in range(12):
        stripes = np.sin(rows * (0.1 + columns / 170)) * 40
        picture = 200 - rows + stripes + generator.normal(0, 4, rows.shape)
        image = np.repeat(picture[:, :, None], 3, 2).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def request(data: Path, out: Path, *changes: str) -> Request:
    return Request(
        method="relative-context",
        data=(data,),
        out=out,
        recipe="smoke",
        changes=(*QUICK, *changes),
    )


@pytest.mark.parametrize("colours", ["dropping", "projection", "none"])
def test_a_run_leaves_a_folded_trunk_without_groups_and_its_accuracy(
    skies: Path, tmp_path: Path, colours: str
) -> None:
    path = run_pretraining(request(skies, tmp_path / "run", f"colours={colours}"))
    weights, model = load_weights(path), load_weights(path.with_name("model.safetensors"))
    assert weights.sidecar.architecture == "caffenet-trunk-nogroups"
    assert model.sidecar.architecture == "patch-pairs"
    seen = model.sidecar.preprocessing
    assert (seen.side, seen.contrast_rms, weights.sidecar.preprocessing.side) == (48, 50, 227)
    exported = export_weights(path.with_name("model.safetensors"), "safetensors", tmp_path / EXPORT)
    assert exported.pixels == "RGB less each image's own means, at RMS 50, 48 x 48 pixels"
    assert CaffeNetTrunk(groups=False).load_state_dict(weights.tensors)
    assert torch.equal(weights.tensors["conv2.weight"], model.tensors["trunk.conv2.weight"])
    assert not torch.equal(weights.tensors["conv3.weight"], model.tensors["trunk.conv3.weight"])
    accuracy = json.loads((tmp_path / "run" / "accuracy.json").read_text())
    assert (accuracy["step"], accuracy["images"]) == (4, 4)
    assert accuracy["chance"] == {"accuracy": 0.125}
    assert accuracy["pairs"] >= 8


@pytest.mark.slow
def test_statistics_of_whole_images_change_what_is_folded_and_nothing_that_learns(
    skies: Path, tmp_path: Path
) -> None:
    conditioned = ("batch_norm=true", "input_divisor=60")
    written = {}
    for kind in ("patches", "images"):
        path = run_pretraining(
            request(skies, tmp_path / kind, *conditioned, f"statistics={kind}", "weights_at=[2]")
        )
        files = (path, path.with_name("model.safetensors"))
        written[kind] = [load_weights(file).tensors for file in files]
    (of_patches, model), (of_images, same_model) = written.values()
    for name, tensor in model.items():
        assert torch.equal(tensor, same_model[name]), name
    for n in range(1, 6):
        assert not torch.equal(of_patches[f"conv{n}.weight"], of_images[f"conv{n}.weight"]), n


def program_on(images: RaggedImages, *changes: str) -> RelativeContext:
    recipe, _ = load_recipe(
        RelativeContextRecipe, "cebench.pretrain", "relative-context", "smoke", (*QUICK, *changes)
    )
    return RelativeContext(Crops(images, 48, 2, 0, torch.device("cpu")), recipe)


def coloured() -> RaggedImages:
    """Four images of 128 px with colours that have nothing to do with each other."""
    coarse = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    pictures = [np.array(Image.fromarray(part).resize((128, 128))) for part in coarse]
    return RaggedImages.from_arrays(pictures)


def test_the_recipes_divisor_and_normalisation_are_the_networks() -> None:
    trunk = program_on(coloured(), "batch_norm=true", "input_divisor=7").network.trunk
    for conv, divisor in ((trunk.conv1, 7), (trunk.conv2, 1)):
        assert isinstance(conv, FoldableConv2d)
        assert (conv.divisor, conv.norm is not None) == (divisor, True)


def test_the_recipes_colours_are_those_of_the_patches() -> None:
    """One channel of three is more than noise; nothing is left of -R + 2 G - B; or all is there."""

    def patches(colours: str) -> Tensor:
        return program_on(coloured(), f"colours={colours}").batch(0).patches

    def green_magenta(patches: Tensor) -> float:
        red, green, blue = patches.unbind(1)
        return (2 * green - red - blue).abs().max().item()

    assert (_lively(patches("dropping")).sum(1) == 1).all()
    assert green_magenta(patches("projection")) < 1e-2
    assert green_magenta(patches("none")) > 10
    assert _lively(patches("none")).all()


def test_each_image_has_noise_of_its_own() -> None:
    """A channel that is dropped in the first patch of both images: its noise does not agree."""
    sampler, index = program_on(coloured(), "colours=dropping").pairs, np.array([0, 0])
    parts = [sampler.batch(index, slice(n, n + 1), "grids", 0).patches[0] for n in range(2)]
    cosines = F.cosine_similarity(*(part.flatten(1) for part in parts))
    dropped = ~_lively(torch.stack(parts)).any(0)
    assert dropped.any()
    assert cosines[dropped].abs().max() < 0.2


def _lively(patches: Tensor) -> Tensor:
    """(M, 3) bool: which channels are more than a tenth of the patch's RMS of 50."""
    return patches.std((2, 3)) > 5


def test_the_loss_is_summed_or_averaged_and_the_rate_warms_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All scores alike: each pair costs ln 8."""
    descended: list[float] = []
    monkeypatch.setattr(
        "cebench.pretrain.relative_context.backward_and_step",
        lambda loss, network, optimizer: descended.append(loss.item()),
    )
    for loss in ("sum", "mean"):
        solver = ("optimizer=sgd", "momentum=0.4", "learning_rate=0.01", "warmup_steps=2")
        program = program_on(coloured(), f"loss={loss}", *solver)
        monkeypatch.setattr(program, "scores", lambda batch: torch.zeros(len(batch.labels), 8))
        batch = program.batch(0)
        (group,) = program.optimizer.param_groups
        assert (group["momentum"], group["weight_decay"]) == (0.4, 0)
        for step, rate in enumerate((0.005, 0.01)):
            logged = program.update(step, batch)
            assert (group["lr"], logged["loss"].item()) == pytest.approx((rate, np.log(8)))
            pairs = len(batch.labels) if loss == "sum" else 1
            assert descended.pop() == pytest.approx(pairs * np.log(8), rel=1e-5)


def test_whole_images_are_central_squares_as_transfer_shows_them(skies: Path) -> None:
    images = load_ragged(sorted(skies.glob("*.png")), short_side=128)
    crops = Crops(images, 48, 2, 0, torch.device("cpu"))
    (first, second) = whole_images(crops)
    assert (first.shape, second.shape) == ((8, 3, 227, 227), (2, 3, 227, 227))
    stored = images.image(int(crops.training[0]))
    square = stored[:, 21:149].permute(2, 0, 1).float()  # (170 - 128) / 2 = 21
    expected = F.interpolate(square[None], (227, 227), mode="bilinear", align_corners=False)
    torch.testing.assert_close(
        first[:1, :, :, 1:-1], preprocess(expected)[:, :, :, 1:-1], rtol=1e-3, atol=1e-2
    )


@pytest.mark.slow
def test_its_trunk_is_rescaled_on_demand(skies: Path, tmp_path: Path) -> None:
    path = run_pretraining(request(skies, tmp_path / "run", "rescale=true"))
    weights, model = load_weights(path), load_weights(path.with_name("model.safetensors"))
    factors = weights.tensors["conv2.weight"] / model.tensors["trunk.conv2.weight"]
    assert factors.std() < 1e-5 * factors.mean()
    assert abs(factors.mean() - 1) > 0.05


@pytest.mark.slow
def test_a_broken_off_run_ends_with_the_same_bytes(skies: Path, tmp_path: Path) -> None:
    straight = run_pretraining(request(skies, tmp_path / "straight"))
    with power_cut(RelativeContext, 3):
        run_pretraining(request(skies, tmp_path / "run"))
    resumed = run_pretraining(request(skies, tmp_path / "run"))
    assert sha256_of(resumed) == sha256_of(straight)


@pytest.mark.long
def test_positions_are_learned_where_they_can_be_seen(skies: Path, tmp_path: Path) -> None:
    changes = ("steps=60", "learning_rate=1e-3", "batch_size=6", "units=64", "log_every=10")
    run_pretraining(request(skies, tmp_path / "run", *changes))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["loss"] < 0.75 * np.log(8)
    accuracy = json.loads((tmp_path / "run" / "accuracy.json").read_text())
    assert accuracy["accuracy"] > 2 * accuracy["chance"]["accuracy"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("fewest_pixels=1000", "fewest_pixels=1000 must lie between 36481"),
        ("patch_side=20", "20 pixels are too small"),
        ("compile=true", "grids differ in size"),
        ("colours=grey", "colours"),
        ("rescale=true short_side=32", "squares of patch_side=48 pixels; short_side=32 is less"),
    ],
)
def test_bad_options_are_one_line(skies: Path, tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run_pretraining(request(skies, tmp_path / "run", *change.split()))
    assert "\n" not in str(caught.value)


def test_the_paper_recipe_is_the_released_codes() -> None:
    paper, _ = load_recipe(RelativeContextRecipe, "cebench.pretrain", "relative-context", "paper")
    assert (paper.patch_side, paper.gap, paper.jitter) == (96, 48, 7)
    assert (paper.fewest_pixels, paper.most_pixels, paper.grids_per_image) == (150_000, 450_000, 4)
    assert (paper.optimizer, paper.learning_rate, paper.momentum) == ("sgd", 1e-5, 0)
    assert (paper.loss, paper.colours, paper.reduced_share) == ("sum", "dropping", 0.33)
