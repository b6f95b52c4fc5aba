"""CaffeNet as a multi-label classifier: the "Classification" column of Table 2."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cebench.models.caffenet import (
    POOL5_FEATURES,
    CaffeNetTrunk,
    fc6_fc7_fillers,
    gaussian_filler,
)


class CaffeNetClassifier(nn.Module):
    """CaffeNet with one raw score per class; 56,950,164 parameters for 20 classes.

    Args:
        num_classes: number of classes.
        generator: source of the initial weights (on the CPU); torch's global one if None.
    """

    def __init__(self, num_classes: int = 20, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.trunk = CaffeNetTrunk(generator=generator)
        self.fc6 = nn.Linear(POOL5_FEATURES, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self.dropout = nn.Dropout(0.5)
        fc6_fc7_fillers(self.fc6, self.fc7, generator)
        # 0.1: philkr/voc-classification, src/train_cls.py, for the layers that it draws anew.
        gaussian_filler(self.fc8, 0.01, 0.1, generator)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, 227, 227) of `caffenet.preprocess` to raw scores (N, num_classes)."""
        x = self.trunk(images).flatten(1)
        x = self.dropout(F.relu(self.fc6(x)))
        x = self.dropout(F.relu(self.fc7(x)))
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
