from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from foreign_networks import NETWORKS, random_foreign_weights
from svm_scenes import measured, smoke

from cebench.commands.score import score
from cebench.errors import InputError
from cebench.models.backbones import CAFFENET, build_backbone
from cebench.models.dense_probe import DenseProbe, patch_loss
from cebench.training.loop import Schedule, train
from cebench.training.run_directory import RunDirectory
from cebench.transfer.dense_probe import task as dense_probe
from cebench.transfer.dense_probe.data import Patches, class_shares
from cebench.transfer.dense_probe.recipe import DenseProbeRecipe
from cebench.transfer.dense_probe.task import LinearProbe


def test_class_shares_by_hand() -> None:
    # Patches of 2 x 2 pixels from pixel 1 on: the first row and column of pixels are in none, and
    # the last patch reaches out of the image by a column.
    labels = torch.tensor([[9, 9, 9, 9], [9, 0, 0, 3], [9, 0, 12, 255]], dtype=torch.uint8)
    shares = class_shares(labels, (1, 2), stride=2, first=1)
    expected = torch.zeros(2, 21)
    expected[0, 0], expected[0, 12], expected[1, 3] = 0.75, 0.25, 0.25
    assert torch.equal(shares, expected)


def test_the_loss_is_that_of_the_pixels_with_their_patchs_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 21, (12, 16), generator=generator).to(torch.uint8)
    labels[:5, 3] = 255
    scores = torch.randn(3, 4, 21, generator=generator)
    shares = class_shares(labels, (3, 4), stride=4, first=0)
    pixels = scores.repeat_interleave(4, 0).repeat_interleave(4, 1)
    expected = F.cross_entropy(pixels.permute(2, 0, 1)[None], labels[None].long(), ignore_index=255)
    torch.testing.assert_close(patch_loss(scores.flatten(0, 1), shares), expected)


def test_features_are_standardised_by_those_given() -> None:
    probe = DenseProbe(build_backbone("torchvision/resnet18"), 21)
    features = (5 + 3 * torch.randn(5000, 256)).half()
    probe.standardise_by(features)
    standard = (features.float() - probe.mean.flatten()) / probe.deviation.flatten()
    torch.testing.assert_close(standard.mean(0), torch.zeros(256), rtol=0, atol=1e-3)
    torch.testing.assert_close(standard.std(0), torch.ones(256), rtol=0, atol=1e-3)


def test_the_bias_does_not_decay() -> None:
    probe = DenseProbe(build_backbone("torchvision/resnet18"), 21)
    patches = Patches(features=torch.zeros(4, 256).half(), shares=torch.zeros(4, 21))
    recipe = DenseProbeRecipe(tier="smoke", steps=1, weight_decay=0.25)
    weight, bias = LinearProbe(probe, patches, recipe, 0).optimizer.param_groups
    assert (weight["params"], weight["weight_decay"]) == ([probe.linear.weight], 0.25)
    assert (bias["params"], bias["weight_decay"]) == ([probe.linear.bias], 0)


@pytest.mark.parametrize("architecture", [CAFFENET, "torchvision/resnet18", "torchvision/alexnet"])
def test_a_patch_is_scored_where_it_lies(architecture: str) -> None:
    """One score in the middle of the map is greatest in the middle of the patch's pixels."""
    probe = DenseProbe(build_backbone(architecture), 2)
    maps = torch.zeros(1, probe.mean.shape[0], 10, 12)
    maps[0, :, 4, 5] = 1
    probe.patch_features = lambda images: maps  # type: ignore[method-assign]
    torch.nn.init.ones_(probe.linear.weight)
    with torch.no_grad():
        found = probe(torch.zeros(1, 3, 200, 220))[0, 0]
    row, column = divmod(int(found.argmax()), 220)
    for place, index in ((row, 4), (column, 5)):
        first = probe.first_pixel + index * probe.stride
        assert abs(place - (first + (probe.stride - 1) / 2)) <= 1


@pytest.mark.parametrize("architecture", ["random", *NETWORKS])
def test_a_whole_run_and_its_stored_predictions(
    architecture: str, toy: Path, tmp_path: Path, runner: CliRunner
) -> None:
    if architecture.startswith("timm/"):
        pytest.importorskip("timm")
    weights = None if architecture == "random" else random_foreign_weights(architecture)
    recipe = smoke(DenseProbeRecipe, "dense-probe")
    outcome = measured(dense_probe, recipe, toy, tmp_path / "run", weights=weights)
    values = {m.metric: m.value for m in outcome.measurements}
    assert {m.column for m in outcome.measurements} == {"dense_probe"}
    assert 0 < values["mean_iou"] < 1
    stored = tmp_path / "run" / "predictions"
    ids = sorted(path.stem for path in stored.glob("*.png"))
    (tmp_path / "ids.txt").write_text("\n".join(ids))
    arguments = ["segmentation", "--predictions", str(stored), "--data", str(toy), "--year", "2012"]
    result = runner.invoke(score, [*arguments, "--image-set", str(tmp_path / "ids.txt")])
    assert f"{100 * values['mean_iou']:.1f}" in result.stdout, result.output


def test_stopping_and_continuing_changes_no_bit(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(300, 256, generator=generator).half()
    shares = F.one_hot(torch.randint(0, 21, (300,), generator=generator), 21).float()
    recipe = smoke(DenseProbeRecipe, "dense-probe")
    states = []
    for name, stops in (("straight", (6,)), ("continued", (3, 6))):
        for steps in stops:
            probe = DenseProbe(build_backbone("torchvision/resnet18"), 21)
            program = LinearProbe(probe, Patches(features, shares), recipe, 0)
            with RunDirectory(tmp_path / name, {"run": {"verb": "transfer"}}) as run:
                schedule = Schedule(
                    label="dense_probe",
                    steps=steps,
                    seed=0,
                    data_fingerprint="",
                    log_every=1,
                    checkpoint_every=10,
                )
                train(program, run, schedule)
        states.append(probe.linear.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_separable_patches_are_learned() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 21, (2000,), generator=generator)
    centres = 3 * torch.randn(21, 256, generator=generator)
    features = (centres[labels] + torch.randn(2000, 256, generator=generator)).half()
    probe = DenseProbe(build_backbone("torchvision/resnet18"), 21)
    probe.standardise_by(features)
    recipe = smoke(DenseProbeRecipe, "dense-probe", "steps=150", "learning_rate=0.01")
    program = LinearProbe(probe, Patches(features, F.one_hot(labels, 21).float()), recipe, 0)
    for step in range(recipe.steps):
        program.update(step, program.batch(step))
    scores = probe.scores_of(features.float()[:, :, None, None]).flatten(1)
    assert np.mean((scores.argmax(1) == labels).numpy()) > 0.99


def test_a_network_without_maps_is_refused(toy: Path, tmp_path: Path) -> None:
    weights = random_foreign_weights("torchvision/shufflenet_v2_x0_5")
    recipe = smoke(DenseProbeRecipe, "dense-probe")
    with pytest.raises(InputError, match="has no feature maps that are known"):
        measured(dense_probe, recipe, toy, tmp_path / "run", weights=weights)


def test_the_size_of_the_images_is_part_of_the_protocols_name() -> None:
    recipe = smoke(DenseProbeRecipe, "dense-probe", "short_side=224")
    assert dense_probe.TASK.protocol_name(recipe, "native") == "voc-dense-probe-224px"
