"""A network of a few channels, and the smallest recipe, for the tests of segmentation."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.data.store.ragged import RaggedImages
from cebench.data.voc.devkit import VocYear
from cebench.models.fcn import FCN, upscore
from cebench.training.loop import Schedule, train
from cebench.training.run_directory import RunDirectory
from cebench.transfer.segmentation.data import SegmentationImages, SegmentationSet, load
from cebench.transfer.segmentation.recipe import SegmentationRecipe
from cebench.transfer.segmentation.task import Segmentation
from cebench.weights.files import Preprocessing

CPU = torch.device("cpu")
MEAN = (120.0, 120.0, 120.0)
PIXELS = Preprocessing(mean_rgb=MEAN)
SIZES = {"2008_000001": (96, 128), "2008_000002": (128, 64), "2008_000003": (64, 128)}
IDENTITY = {"run": {"verb": "transfer"}, "recipe": {"tier": "smoke"}}


class ThinFCN(FCN):
    """A few channels at FCN-32s's stride of 32, so that a step takes milliseconds."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 32, stride=32), nn.ReLU())  # type: ignore[assignment]
        self.fc6 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc7 = nn.Conv2d(16, 16, 1)
        self.score_fr = nn.Conv2d(16, 21, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        features = self.dropout(F.relu(self.fc7(F.relu(self.fc6(self.trunk(images / 100))))))
        return upscore(self.score_fr(features), 32, *images.shape[-2:], offset=18)


def recipe(**changes: object) -> SegmentationRecipe:
    values = {"tier": "smoke", "steps": 2, "accumulate": 3, "learning_rate": 0.01, "log_every": 1}
    return SegmentationRecipe.model_validate({**values, **changes})


def train_data(devkit: Path, short_side: int = 0) -> SegmentationImages:
    voc = VocYear(devkit, 2012)
    return load(SegmentationSet("train", voc, tuple(voc.ids("train", "Segmentation"))), short_side)


def program(data: SegmentationImages, **changes: object) -> Segmentation:
    return Segmentation(ThinFCN(), data, recipe(**changes), PIXELS, 0, CPU)


def train_to(steps: int, subject: Segmentation, run: Path) -> None:
    with RunDirectory(run, IDENTITY) as directory:
        schedule = Schedule(
            label="segmentation",
            steps=steps,
            seed=0,
            data_fingerprint="",
            log_every=1,
            checkpoint_every=1,
        )
        train(subject, directory, schedule)


def three_scenes(side: int = 48) -> tuple[RaggedImages, list[np.ndarray]]:
    """A red dog on the left, a green person below, a blue cat on the right; the rest is grey."""
    rng = np.random.default_rng(0)
    left, low = (np.indices((side, side))[axis] < side // 2 for axis in (1, 0))
    images, labels = [], []
    for label, colour, there in (
        (12, (220, 60, 60), left),
        (15, (60, 220, 60), ~low),
        (8, (60, 60, 220), ~left),
    ):
        pixels = np.where(there[:, :, None], colour, 100) + rng.integers(-20, 21, (side, side, 3))
        images.append(pixels.astype(np.uint8))
        labels.append(np.where(there, label, 0).astype(np.uint8))
    return RaggedImages.from_arrays(images), labels
