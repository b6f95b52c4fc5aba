"""Classifiers: the "Classification" column of Table 2, and its row "ImageNet"."""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.caffenet import FC_UNITS, data_dependent_init, fill_fc6_and_fc7, gaussian_filler
from cebench.models.frozen_batch_norm import freeze_statistics
from cebench.models.options import HeadInit, Part
from cebench.models.sync_layers import Dropout


class Classifier(nn.Module):
    """A trunk with fc6, fc7 and fc8 behind it, or with fc8 alone; one raw score per class.

    Batch normalisation in the trunk keeps the statistics that the weights came with, in training
    too: a step sees 16 crops. What is frozen is in eval mode and has no gradient.

    Args:
        trunk: images to features, (N, ...) with `features` numbers each.
        features: numbers per image.
        num_classes: number of classes.
        fully_connected: whether fc6 and fc7 stand between the features and fc8.
        generator: source of the initial weights (on the CPU); torch's global one if None.
        head_init: initial fc6 and fc7; `data_dependent_init` must follow for `data`. fc8 is
            N(0, 0.01), with biases of 0.1 for `voc-classification` and 0 otherwise.
    """

    def __init__(
        self,
        trunk: nn.Module,
        features: int,
        num_classes: int,
        *,
        fully_connected: bool = True,
        generator: torch.Generator | None = None,
        head_init: HeadInit = "voc-classification",
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.fully_connected = fully_connected
        self.frozen: tuple[nn.Module, ...] = ()
        if fully_connected:
            self.fc6, self.drop6 = nn.Linear(features, FC_UNITS), Dropout(0.5)
            self.fc7, self.drop7 = nn.Linear(FC_UNITS, FC_UNITS), Dropout(0.5)
            fill_fc6_and_fc7(self.fc6, self.fc7, head_init, generator)
        self.fc8 = nn.Linear(FC_UNITS if fully_connected else features, num_classes)
        bias = 0.1 if head_init == "voc-classification" else 0
        gaussian_filler(self.fc8, 0.01, bias, generator)

    def train_only(self, part: Part) -> None:
        """Freeze what comes before `part`; dropout on the input of a trained layer stays."""
        if part in ("fc6-8", "pool5"):
            self.frozen = (self.trunk,)
        elif part == "fc8":
            between = (self.fc6, self.drop6, self.fc7) if self.fully_connected else ()
            self.frozen = (self.trunk, *between)
        for module in self.frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        freeze_statistics(self.trunk)
        for module in self.frozen:
            module.eval()
        return self

    @torch.no_grad()
    def data_dependent_init(self, batches: Sequence[Tensor]) -> None:
        """Standardise fc6 and fc7 on some training images, (N, 3, side, side) each."""
        features = [self.trunk(images).flatten(1).float() for images in batches]
        data_dependent_init((self.fc6, self.fc7), features, lambda layer, x: layer(x))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) as the trunk takes them to raw scores (N, num_classes)."""
        x = self.trunk(images).flatten(1)
        if self.fully_connected:
            x = self.drop6(F.relu(self.fc6(x)))
            x = self.drop7(F.relu(self.fc7(x)))
        scores: Tensor = self.fc8(x)
        return scores


def sigmoid_cross_entropy_sum(scores: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid cross-entropy summed over the classes and averaged over the images.

    The sum over classes is the protocol's (philkr/voc-classification, src/train_cls.py); a mean
    would divide the learning rate by their number.

    Args:
        scores: (N, C) raw scores.
        labels: (N, C), 1 present, -1 absent, 0 ignored (only difficult objects of the class).

    Returns:
        A scalar.
    """
    scores = scores.float()
    present = (labels > 0).to(scores.dtype)
    counted = (labels != 0).to(scores.dtype)
    total = F.binary_cross_entropy_with_logits(scores, present, counted, reduction="sum")
    return total / len(scores)
