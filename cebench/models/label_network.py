"""The network that learns labels: CaffeNet's trunk and its three fully connected layers."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.backbones import build_trunk
from cebench.models.caffenet import (
    POOL5_CHANNELS,
    fill_fc6_and_fc7,
    gaussian_filler,
    he_weights,
)
from cebench.models.foldable import make_trainable
from cebench.models.options import pool5_side
from cebench.models.sync_layers import Dropout


class LabelNetwork(nn.Module):
    """A trunk with fc6, fc7 and fc8 behind it; one raw score per class.

    Its tensors have the names of a `classifier.Classifier` on CaffeNet, once folded, and with
    227 px and 4096 units their shapes.

    Args:
        num_classes: number of classes.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        side: of the square images, in pixels.
        units: of fc6 and fc7.
        init: "caffenet", the reference net's fillers, or "he": He's normals in the convolutions and
            no biases.
        batch_norm: whether each convolution is batch-normalised before its ReLU.
        input_divisor: what conv1's input is divided by.
    """

    def __init__(
        self,
        num_classes: int,
        generator: torch.Generator | None = None,
        *,
        side: int = 227,
        units: int = 4096,
        init: Literal["caffenet", "he"] = "caffenet",
        batch_norm: bool = False,
        input_divisor: float = 1,
    ) -> None:
        super().__init__()
        self.trunk = build_trunk(generator=generator)
        features = POOL5_CHANNELS * pool5_side(side) ** 2
        self.fc6, self.drop6 = nn.Linear(features, units), Dropout(0.5)
        self.fc7, self.drop7 = nn.Linear(units, units), Dropout(0.5)
        self.fc8 = nn.Linear(units, num_classes)
        fill_fc6_and_fc7(self.fc6, self.fc7, init, generator)
        gaussian_filler(self.fc8, 0.01, 0, generator)
        if init == "he":
            he_weights(self.trunk, generator)
        if batch_norm or input_divisor != 1:
            make_trainable(self.trunk, input_divisor=input_divisor, batch_norm=batch_norm)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) as `caffenet.preprocess` returns them to scores (N, num_classes)."""
        x = self.trunk(images).flatten(1)
        x = self.drop6(F.relu(self.fc6(x)))
        x = self.drop7(F.relu(self.fc7(x)))
        scores: Tensor = self.fc8(x)
        return scores
