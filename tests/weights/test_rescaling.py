from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from blurred_photos import save_photos
from click.testing import CliRunner

from cebench.commands.weights import weights as weights_command
from cebench.errors import InputError
from cebench.models.backbones import CAFFENET
from cebench.models.caffenet import CaffeNetTrunk, he_weights, preprocess
from cebench.models.data_dependent import gradient_ratios
from cebench.weights.files import load_weights, random_weights, save_weights
from cebench.weights.importing import import_weights
from cebench.weights.rescaling import rescale_weights, rescaled_trunk

IMAGES = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (4, 3, 115, 115)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_photos(tmp_path / "photos", [(70, 60)] * 3)


@pytest.fixture
def trunk(tmp_path: Path) -> Path:
    network = CaffeNetTrunk()
    he_weights(network, torch.Generator().manual_seed(1))
    with torch.no_grad():
        network.conv3.weight.mul_(20)
    folder = tmp_path / "trunk"
    folder.mkdir()
    save_weights(folder / "weights.safetensors", network.state_dict(), random_weights(0).sidecar)
    return folder


@pytest.mark.slow
def test_a_rescaled_trunk_is_a_row_of_its_own(trunk: Path, photos: Path, tmp_path: Path) -> None:
    command = ["rescale", str(trunk), "--on", str(photos), "--out", str(tmp_path / "out")]
    none = CliRunner().invoke(weights_command, [*command, "--images", "0"])
    assert (none.exit_code, "0 is not in the range x>=1" in none.output) == (2, True)
    result = CliRunner().invoke(weights_command, command)
    assert result.exit_code == 0, result.output
    assert "row random-rescaled; gradient ratios before and after:" in result.stdout
    weights = load_weights(tmp_path / "out")
    assert weights.sidecar.method == "random-rescaled"
    assert weights.sidecar.recipe_values["rescaled_images"] == 3
    again = rescale_weights(trunk, [photos], tmp_path / "again")
    ratios = torch.tensor(list(again.after.values()))
    assert [*again.after] == [f"conv{n}" for n in range(1, 6)]
    assert ratios.max() / ratios.min() < 1.02
    assert max(again.before.values()) / min(again.before.values()) > 3
    tensors = load_weights(tmp_path / "again").tensors
    assert all(torch.equal(tensors[n], value) for n, value in weights.tensors.items())


@pytest.mark.slow
def test_the_seed_is_that_of_the_gradient_too(trunk: Path, photos: Path, tmp_path: Path) -> None:
    """All three images are taken whatever the seed."""
    files = [
        rescale_weights(trunk, [photos], tmp_path / str(seed), count=3, seed=seed)
        for seed in (0, 1)
    ]
    assert files[0].before != files[1].before
    one, other = (load_weights(tmp_path / str(seed)).tensors for seed in (0, 1))
    ratio = one["conv3.weight"] / other["conv3.weight"]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
    assert abs(ratio.mean() - 1) > 1e-4


def test_networks_with_normalisations_are_refused(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "r.pth")
    import_weights(tmp_path / "r.pth", "torchvision/resnet18", "imagenet", tmp_path / "w")
    with pytest.raises(InputError, match="has 20 normalisation layers, which undo any scale"):
        rescale_weights(tmp_path / "w", [photos], tmp_path / "out")


@pytest.mark.slow
def test_pretrainings_of_one_recipe_are_replicates_when_rescaled(
    trunk: Path, photos: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    network = CaffeNetTrunk()
    he_weights(network, torch.Generator().manual_seed(2))
    sidecar = random_weights(0).sidecar
    save_weights(other / "weights.safetensors", network.state_dict(), sidecar)
    recipes = []
    for folder in (trunk, other):
        rescaled = rescale_weights(folder, [photos], tmp_path / f"{folder.name}-out")
        recipes.append(load_weights(rescaled.path).sidecar)
    assert recipes[0].sha256 != recipes[1].sha256
    assert recipes[0].recipe_sha256 == recipes[1].recipe_sha256 != sidecar.recipe_sha256


def test_a_trained_trunk_is_scaled_and_computes_the_same_up_to_a_factor() -> None:
    network = CaffeNetTrunk()
    he_weights(network, torch.Generator().manual_seed(1))
    with torch.no_grad():  # Scales at which local response normalisation does nothing.
        network.conv1.weight.mul_(1e-4)
        network.conv3.weight.mul_(20)
    scaled = rescaled_trunk(network.state_dict(), CAFFENET, IMAGES, seed=0)
    assert scaled is not None
    assert scaled.keys() == network.state_dict().keys()
    other = CaffeNetTrunk()
    other.load_state_dict(scaled)
    pixels = preprocess(IMAGES)
    ratios = gradient_ratios(other.eval(), pixels)
    assert ratios.max() / ratios.min() < 1.02
    for name in ("conv1.weight", "conv3.weight"):
        factors = scaled[name] / network.state_dict()[name]
        assert factors.std() < 1e-5 * factors.mean().abs()


@pytest.mark.slow
def test_fc6_and_fc7_are_scaled_with_the_trunk() -> None:
    network = CaffeNetTrunk()
    he_weights(network, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    layers = {
        "fc6.weight": 0.005 * torch.randn(4096, 9216, generator=generator),
        "fc6.bias": torch.ones(4096),
        "fc7.weight": 0.005 * torch.randn(4096, 4096, generator=generator),
        "fc7.bias": torch.ones(4096),
    }
    images = torch.randint(0, 256, (2, 3, 227, 227), generator=generator)
    scaled = rescaled_trunk({**network.state_dict(), **layers}, CAFFENET, images, seed=0)
    assert scaled is not None
    assert scaled.keys() == {*network.state_dict(), *layers}
    assert not torch.equal(scaled["fc7.weight"], layers["fc7.weight"])


@pytest.mark.slow
def test_a_dead_trunk_has_no_scale() -> None:
    network = CaffeNetTrunk()
    with torch.no_grad():
        network.conv3.weight.zero_()
        network.conv3.bias.fill_(-1)
    assert rescaled_trunk(network.state_dict(), CAFFENET, IMAGES, seed=0) is None
