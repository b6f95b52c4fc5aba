"""`--method random`: initial weights of CaffeNet and of other networks."""

from pathlib import Path

import pytest
import torch
import torchvision
from click.testing import CliRunner

from cebench.cli import cli
from cebench.errors import InputError
from cebench.models.backbones import CAFFENET_WITHOUT_GROUPS
from cebench.pretrain.run import Request, run_pretraining
from cebench.randomness import torch_seed
from cebench.weights.files import Weights, load_weights
from cebench.weights.loading import load_backbone


def drawn(out: Path, network: str, seed: int = 0, recipe: str = "short") -> Weights:
    """The weights file of one pretraining."""
    change = f'network="{network}"'
    request = Request(
        method="random", data=(), out=out, recipe=recipe, seed=seed, changes=(change,)
    )
    return load_weights(run_pretraining(request))


def test_another_librarys_network_is_drawn_as_the_library_draws_it(tmp_path: Path) -> None:
    weights = drawn(tmp_path / "run", "torchvision/mobilenet_v3_small", seed=4)
    torch.manual_seed(torch_seed(4, "random-trunk"))
    library = torchvision.models.mobilenet_v3_small(weights=None).state_dict()
    assert weights.sidecar.architecture == "torchvision/mobilenet_v3_small"
    assert sum(name.startswith("features.0") for name in weights.tensors) == 6
    for name, value in weights.tensors.items():
        torch.testing.assert_close(value, library[name], rtol=0, atol=0)


def test_the_file_says_which_pixels_the_network_takes(tmp_path: Path) -> None:
    pixels = drawn(tmp_path / "run", "torchvision/mobilenet_v3_small").sidecar.preprocessing
    assert (pixels.range, pixels.side) == ((0.0, 1.0), 224)
    assert pixels.mean_rgb == pytest.approx((0.485, 0.456, 0.406))


def test_seeds_differ_and_none_is_the_twin_of_the_proof(tmp_path: Path) -> None:
    runs = [
        drawn(tmp_path / name, "torchvision/mobilenet_v3_small", seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    hashes = [weights.sidecar.sha256 for weights in runs]
    assert hashes[0] == hashes[1] != hashes[2]
    assert all(load_backbone(weights)[1].relative_response_change > 0.01 for weights in runs)


def test_caffenet_without_groups(tmp_path: Path) -> None:
    weights = drawn(tmp_path / "run", "caffenet-nogroups")
    assert weights.sidecar.architecture == CAFFENET_WITHOUT_GROUPS
    assert weights.tensors["conv2.weight"].shape == (256, 96, 5, 5)
    assert weights.tensors["conv2.bias"].eq(1).all()


def test_the_network_is_no_part_of_the_recipes_hash(tmp_path: Path) -> None:
    """The architecture says it, so that CaffeNet's random row keeps its identity."""
    hashes = {
        drawn(tmp_path / network, network).sidecar.recipe_sha256
        for network in ("caffenet", "caffenet-nogroups")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("resnet50", "network: expected caffenet, caffenet-nogroups, torchvision/NAME or"),
        ("keras/resnet50", "network: expected caffenet, caffenet-nogroups, torchvision/NAME or"),
        ("torchvision/", "network: expected caffenet, caffenet-nogroups, torchvision/NAME or"),
        ("torchvision/resnet5", "torchvision/resnet5: torchvision has no classifier of this name"),
    ],
)
def test_an_unknown_network_is_one_line_and_leaves_nothing(
    tmp_path: Path, network: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        drawn(tmp_path / "run", network)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_quotes_are_not_needed_on_the_command_line(runner: CliRunner, tmp_path: Path) -> None:
    out = tmp_path / "run"
    changes = ["--set", "network=torchvision/mobilenet_v3_small"]
    result = runner.invoke(cli, ["pretrain", "--method", "random", "--out", str(out), *changes])
    assert result.exit_code == 0, result.output
    assert load_weights(out).sidecar.architecture == "torchvision/mobilenet_v3_small"
