"""The inpainting model's training against written-out steps, at a size that takes seconds."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from power_cuts import power_cut
from torch import Tensor

from cebench.config import load_recipe, validate
from cebench.data.hole_masks import CentralHole, NoisePattern
from cebench.data.store.ragged import RaggedImages
from cebench.errors import InputError
from cebench.files import sha256_of
from cebench.models.inpainting_gan import FILL
from cebench.pretrain.context_gan import Batch, ContextGan, pretrain, visible_context
from cebench.pretrain.crops import Crops
from cebench.pretrain.options.context_gan import ContextGanRecipe
from cebench.pretrain.run_context import Pretrained, RunContext
from cebench.training.run_directory import RunDirectory

TINY = {
    "tier": "smoke",
    "steps": 3,
    "batch_size": 4,
    "bottleneck": 6,
    "learning_rate": 2e-4,
    "short_side": 130,
    "held_out_images": 1,
    "log_every": 1,
    "checkpoint_every": 1,
}


def tiny_recipe(**changes: object) -> ContextGanRecipe:
    return validate(ContextGanRecipe, {**TINY, **changes}, where="tiny")


def photo_arrays() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    sizes = [(130, 140), (150, 130), (130, 130), (160, 131), (130, 150)]
    coarse = [generator.integers(0, 256, (5, 5, 3), dtype=np.uint8) for _ in sizes]
    pairs = zip(coarse, sizes, strict=True)
    return [np.asarray(Image.fromarray(c).resize(size[::-1])) for c, size in pairs]


def program(**changes: object) -> ContextGan:
    recipe = tiny_recipe(**changes)
    images = RaggedImages.from_arrays(photo_arrays())
    crops = Crops(images, recipe.side, recipe.held_out_images, 0, torch.device("cpu"))
    noise, central = NoisePattern(recipe.side), CentralHole(recipe.side, recipe.side // 2 - 8)
    return ContextGan(crops, noise if recipe.mask == "noise" else central, recipe)


def on_unit_scale(batch: Batch) -> tuple[Tensor, Tensor]:
    """Truth of the centre, and the context with the code's constants, both written out."""
    images = batch.images.float() / 255 * 2 - 1
    context = images.clone()
    for channel, value in enumerate((117, 104, 123)):
        context[:, channel, 36:92, 36:92] = 2 * value / 255 - 1
    return images[:, :, 32:96, 32:96], context


def overlap_weights() -> Tensor:
    weights = torch.full((64, 64), 10.0)
    weights[4:60, 4:60] = 1
    return weights


def test_the_context_hides_56_of_128_pixels_behind_the_codes_constants() -> None:
    gan = program()
    batch = gan.batch(0)
    _, expected = on_unit_scale(batch)
    torch.testing.assert_close(visible_context(batch.images, batch.holes), expected)
    hidden_changed = torch.where(batch.holes, 255 - batch.images, batch.images)
    assert torch.equal(
        visible_context(hidden_changed, batch.holes), visible_context(batch.images, batch.holes)
    )


def test_the_joint_loss_and_its_gradient_are_the_written_out_formula() -> None:
    gan = program()
    batch = gan.batch(0)
    truth, _ = on_unit_scale(batch)
    prediction = torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    prediction.requires_grad_(True)
    losses = gan.generator_losses(prediction, batch.images, batch.holes)

    probability = torch.sigmoid(gan.discriminator(prediction))
    adversarial = F.binary_cross_entropy(probability, torch.ones(4))
    error = prediction - truth
    explicit = 0.999 * (overlap_weights() * error.square()).mean() + 0.001 * adversarial
    torch.testing.assert_close(losses["loss"], explicit)
    torch.testing.assert_close(losses["adversarial"], adversarial)
    torch.testing.assert_close(losses["reconstruction"], error.square().mean())

    # The released code adds the gradients: 0.001 dBCE + W * 2 (p - t) / n, W = 0.999 or 9.99.
    (gradient,) = torch.autograd.grad(losses["loss"], prediction)
    (of_adversary,) = torch.autograd.grad(adversarial, prediction)
    weights = 0.999 * overlap_weights()
    expected = 0.001 * of_adversary + weights * 2 * error.detach() / error.numel()
    torch.testing.assert_close(gradient, expected)


def test_one_wrong_pixel_weighs_ten_times_as_much_in_the_overlap() -> None:
    """Prediction and truth differ by 1 in one colour of one pixel: the loss is W / (3 * 64 * 64).

    Images are 255, that is 1 on the network's scale; the wrong pixel says 0.
    """
    gan = program(objective="l2")
    images = torch.full((1, 3, 128, 128), 255, dtype=torch.uint8)
    holes = CentralHole(128, 56)(torch.empty(1, 0)).unsqueeze(1)
    for place, weight in {(3, 30): 10, (4, 30): 1, (59, 59): 1, (59, 60): 10}.items():
        prediction = torch.ones(1, 3, 64, 64)
        prediction[0, 0, place[0], place[1]] = 0
        loss = gan.generator_losses(prediction, images, holes)["loss"]
        assert loss.item() == pytest.approx(weight / (3 * 64 * 64))


def test_for_whole_images_the_weight_is_that_of_every_visible_pixel() -> None:
    for weight in (1, 10):
        changes = {"region": "image", "mask": "noise", "visible_weight": weight, "side": 64}
        gan = program(objective="l2", short_side=64, **changes)
        batch = gan.batch(0)
        missing = batch.holes.float()
        assert 0.2 < missing.mean() < 0.3
        prediction = batch.images.float() / 127.5 - 1 + 0.5
        loss = gan.generator_losses(prediction, batch.images, batch.holes)["loss"]
        explicit = 0.25 * (missing + weight * (1 - missing)).mean()
        assert loss.item() == pytest.approx(explicit.item(), rel=1e-5)


def written_out_step(gan: ContextGan, batch: Batch) -> Mapping[str, Mapping[str, Tensor]]:
    """The first step by plain formulas on copies: discriminator, then generator against it."""
    generator, discriminator = copy.deepcopy(gan.generator), copy.deepcopy(gan.discriminator)
    truth, context = on_unit_scale(batch)
    ones, zeros = torch.ones(4), torch.zeros(4)
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
    fake = generator(context)
    F.binary_cross_entropy(torch.sigmoid(discriminator(truth)), ones).backward()
    F.binary_cross_entropy(torch.sigmoid(discriminator(fake.detach())), zeros).backward()
    adam_d.step()
    adversarial = F.binary_cross_entropy(torch.sigmoid(discriminator(fake)), ones)
    weighted = (overlap_weights() * (fake - truth).square()).mean()
    (0.999 * weighted + 0.001 * adversarial).backward()
    adam_g.step()
    return {"generator": generator.state_dict(), "discriminator": discriminator.state_dict()}


def test_a_step_is_the_discriminators_then_the_generators_against_the_new_one() -> None:
    gan = program()
    batch = gan.batch(0)
    expected = written_out_step(gan, batch)
    gradients = {}
    gan.adversary.register_step_post_hook(
        lambda *_: gradients.update(
            {name: p.grad.clone() for name, p in gan.discriminator.named_parameters()}
        )
    )
    losses = gan.update(0, batch)
    assert all(math.isfinite(loss) for loss in losses.values())
    for module, tensors in expected.items():
        for name, tensor in gan.modules[module].state_dict().items():
            # Adam's first step is the rate times the gradient's sign, so that any gradient at the
            # rounding error's size may turn: all but a few weights agree.
            close = torch.isclose(tensor, tensors[name], rtol=1e-4, atol=1e-5).float().mean()
            assert close > 0.995, (module, name)
    # The generator's step leaves no gradient in the discriminator.
    for name, parameter in gan.discriminator.named_parameters():
        assert parameter.requires_grad
        assert torch.equal(parameter.grad, gradients[name])


def test_real_and_predicted_regions_are_normalised_apart() -> None:
    """The discriminator's loss is that of two forward passes, each with its own statistics."""
    gan = program()
    batch = gan.batch(0)
    truth, context = on_unit_scale(batch)
    fake = gan.generator(context).detach()
    real_loss = F.binary_cross_entropy(torch.sigmoid(gan.discriminator(truth)), torch.ones(4))
    fake_loss = F.binary_cross_entropy(torch.sigmoid(gan.discriminator(fake)), torch.zeros(4))
    loss = gan.discriminator_loss(fake, batch.images)
    torch.testing.assert_close(loss, real_loss + fake_loss)


def test_l2_alone_has_no_discriminator_and_adversarial_alone_no_reconstruction() -> None:
    assert set(program(objective="l2").modules) == {"generator"}
    gan = program(objective="adversarial")
    losses = gan.update(0, gan.batch(0))
    assert losses["loss"] == losses["adversarial"]
    assert set(gan.optimizers) == {"generator", "discriminator"}


def test_the_generator_learns_ten_times_as_fast_with_the_codes_adam() -> None:
    groups = {name: adam.param_groups[0] for name, adam in program().optimizers.items()}
    assert groups["generator"]["lr"] == pytest.approx(0.002)
    assert groups["discriminator"]["lr"] == 0.0002
    assert all(group["betas"] == (0.5, 0.999) for group in groups.values())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, array in enumerate(photo_arrays()):
        Image.fromarray(array).save(folder / f"{number}.png")
    return folder


def run(photos: Path, out: Path, **changes: object) -> Pretrained:
    recipe = tiny_recipe(**changes)
    identity = {"run": {"verb": "test"}, "recipe": recipe.model_dump(mode="json")}
    with RunDirectory(out, identity) as directory:
        run_context = RunContext(
            run=directory,
            data=(photos,),
            exclude=(),
            region_shapes=None,
            seed=0,
            device=torch.device("cpu"),
            keep=lambda pretrained: None,
        )
        return pretrain(recipe, run_context)


@pytest.mark.slow
def test_a_broken_off_run_ends_with_the_same_bits(photos: Path, tmp_path: Path) -> None:
    """Weights, normalisations' running statistics and both optimizers: the last checkpoint."""
    straight = run(photos, tmp_path / "straight")
    with power_cut(ContextGan, 2):
        run(photos, tmp_path / "run")
    resumed = run(photos, tmp_path / "run")
    assert resumed.model is not None
    assert straight.model is not None
    assert any("running_var" in name for name in resumed.model)
    for name, tensor in straight.model.items():
        assert torch.equal(tensor, resumed.model[name]), name
    last = "checkpoints/00000003.safetensors"
    assert sha256_of(tmp_path / "run" / last) == sha256_of(tmp_path / "straight" / last)


def test_a_run_leaves_pictures_and_the_generator_without_a_trunk(
    photos: Path, tmp_path: Path
) -> None:
    changes = {"region": "image", "mask": "random-block", "side": 64, "short_side": 64}
    pretrained = run(photos, tmp_path / "run", samples_at=[1], **changes)
    assert pretrained.trunk is None
    assert pretrained.architecture == "inpainting-generator"
    assert pretrained.images == 4
    for picture in ("curves.png", "samples/step-000001.png", "samples/step-000003.png"):
        with Image.open(tmp_path / "run" / picture) as image:
            assert image.width > 4 * 64


def test_samples_show_the_fill_the_whole_prediction_and_the_hole_filled(
    photos: Path, tmp_path: Path
) -> None:
    run(photos, tmp_path / "run", steps=1)
    with Image.open(tmp_path / "run" / "samples" / "step-000001.png") as image:
        sheet = np.asarray(image)
    # Columns of 128 px with gaps of 6, titles of 20 above.
    columns = [sheet[26:154, 6 + 134 * n : 134 + 134 * n].astype(int) for n in range(4)]
    context, prediction, composite, truth = columns
    fill = np.rint((np.array(FILL) + 1) * 127.5)
    assert (context[36:92, 36:92] == fill).all()
    assert (context[:36] == truth[:36]).all()
    differs = (prediction != truth).any(axis=2)
    assert differs[32:36, 32:96].any()
    assert not differs[:32].any()
    assert (composite[36:92, 36:92] == prediction[36:92, 36:92]).all()
    composite[36:92, 36:92] = truth[36:92, 36:92]
    assert (composite == truth).all()


def test_random_regions_need_silhouettes(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--region-shapes"):
        run(photos, tmp_path / "run", region="image", mask="random-region")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"short_side": 100}, "short_side=100 is less than side=128"),
        ({"side": 64}, "region=center needs side=128"),
        ({"mask": "noise"}, "set region=image"),
        ({"overlap": 32}, "overlap"),
        ({"batch_size": 1}, "batch_size: Input should be greater than or equal to 2, got 1"),
        ({"side": 64, "region": "image", "overlap": 16}, "overlap=16 leaves no central hole"),
    ],
)
def test_impossible_recipes_are_refused_in_one_line(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tiny_recipe(**changes)
    assert "\n" not in str(caught.value)


def test_the_paper_recipe_is_the_released_commands() -> None:
    recipe, _ = load_recipe(ContextGanRecipe, "cebench.pretrain", "context-gan", "paper")
    assert (recipe.objective, recipe.region, recipe.mask) == ("joint", "center", "central")
    assert (recipe.side, recipe.bottleneck, recipe.overlap, recipe.short_side) == (
        128,
        4000,
        4,
        350,
    )
    assert (recipe.steps, recipe.batch_size) == (500 * 233, 64)
    assert (recipe.learning_rate, recipe.generator_rate_factor) == (2e-4, 10)
    assert recipe.visible_weight == 10
