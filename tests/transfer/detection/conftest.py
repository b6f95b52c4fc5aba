from pathlib import Path

import numpy as np
import pytest
import torch
from detection_scenes import write_devkit

from cebench.models.fast_rcnn import FastRCNN


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_devkit(tmp_path_factory.mktemp("toy") / "VOCdevkit")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def network() -> FastRCNN:
    return FastRCNN(generator=torch.Generator().manual_seed(0)).eval()
