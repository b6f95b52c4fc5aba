from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cebench.commands.weights import weights as weights_command
from cebench.data.images import read_image
from cebench.weights.files import Weights, load_weights


@pytest.fixture(scope="session")
def toy(toy_world: Callable[[int], Path]) -> Path:
    """The VOCdevkit of a toy world of 24 images."""
    return toy_world(24) / "VOCdevkit"


@pytest.fixture(scope="session")
def imagenet_alexnet(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """torchvision's AlexNet with its ImageNet weights, up to pool5."""
    out = tmp_path_factory.mktemp("alexnet")
    file = shared_data / "weights" / "alexnet-imagenet.safetensors"
    arguments = ["import", str(file), "--as", "torchvision/alexnet", "--out", str(out)]
    result = CliRunner().invoke(weights_command, [*arguments, "--method", "imagenet"])
    assert not result.exit_code, result.output
    return load_weights(out)


@pytest.fixture(scope="session")
def photograph(shared_data: Path) -> np.ndarray:
    """(H, W, 3) uint8: the first of VOC2007."""
    folder = shared_data / "VOCdevkit" / "VOC2007" / "JPEGImages"
    return read_image(min(folder.iterdir()), upright=False)
